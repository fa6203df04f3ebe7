"""The room and what it stands on stay pure: imported alone, they draw in neither Django nor anything that does I/O."""

import subprocess
import sys

PROGRAM = """
import importlib, pkgutil, sys
import retrieval.buffer, retrieval.sasl, retrieval.mail_store, retrieval.pop3
for module in pkgutil.iter_modules(retrieval.pop3.__path__, "retrieval.pop3."):
    importlib.import_module(module.name)
print(*sorted({"django", "asyncio", "ssl", "socket", "uvloop"} & sys.modules.keys()))
"""


def test_the_room_imports_no_io():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
