"""The room stays pure: imported alone, it draws in neither Django nor anything that does I/O."""

import subprocess
import sys

PROGRAM = """
import importlib, pkgutil, sys
import retrieval.imap
for module in pkgutil.iter_modules(retrieval.imap.__path__, "retrieval.imap."):
    importlib.import_module(module.name)
print(*sorted({"django", "asyncio", "ssl", "socket", "uvloop"} & sys.modules.keys()))
"""


def test_the_room_imports_no_io():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
