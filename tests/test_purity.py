"""What is to be pure draws in neither Django nor anything that does I/O."""

import subprocess
import sys
from pathlib import Path

import pytest

BASE = Path(__file__).resolve().parent.parent
IO = {"django", "asyncio", "ssl", "socket", "uvloop", "dns"}
PURE = [
    *("mailsuite.mail", "mailsuite.protocol", "mailsuite.verdict"),
    *("retrieval.imap", "retrieval.pop3", "retrieval.mail_store", "retrieval.mail_values"),
    *(f"smtpd_service.inbound.{name}" for name in ("dialog", "parameters")),
    *(f"mailsuite.pipeline.{name}" for name in ("decisions", "destinations")),
    *(f"smtpd_service.outbound.{name}" for name in ("smtp_client", "remote_reply", "routing", "retry")),
]
PROGRAM = """
import importlib, pkgutil, sys
for name in sys.argv[1].split():
    room = importlib.import_module(name)
    for module in pkgutil.walk_packages(getattr(room, "__path__", ()), f"{name}."):
        importlib.import_module(module.name)
    print(name, *sorted(set(sys.argv[2].split()) & sys.modules.keys()))
"""


@pytest.mark.parametrize(
    "rooms, forbidden",
    # dkimpy, which only signs for us, draws in dnspython, and that ssl.
    [
        (PURE, IO),
        (["mailsuite.mail"], {"cryptography", "dkim"}),
        (["mailsuite.mailauth"], {"django", "asyncio", "uvloop"}),
        (["mailsuite.server", "mailsuite.resolver"], {"django"}),
    ],
)
def test_what_is_pure_imports_no_io(rooms, forbidden):
    arguments = [" ".join(rooms), " ".join(forbidden)]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], cwd=BASE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # What one room draws in stays for those behind it: the first with a word too many is the one to look at.
    assert done.stdout.split("\n")[:-1] == rooms
