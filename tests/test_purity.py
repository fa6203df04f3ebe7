"""Arrows point one way; what is to be pure draws in neither Django nor anything that does I/O."""

import re
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
# Whose arrows among themselves are not all turned yet.
APPS = (
    *("abuse", "directory", "junk", "queue", "records", "reports", "screening", "store", "supervisor", "trace"),
    "transport_security",
)
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
    [(PURE, IO), (["mailsuite.mailauth"], {"django", "asyncio", "uvloop"})],
)
def test_what_is_pure_imports_no_io(rooms, forbidden):
    arguments = [" ".join(rooms), " ".join(forbidden)]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], cwd=BASE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # What one room draws in stays for those behind it: the first with a word too many is the one to look at.
    assert done.stdout.split("\n")[:-1] == rooms


@pytest.mark.parametrize(
    "room, others",
    [
        ("smtpd_service", "retrieval"),
        ("retrieval", "smtpd_service"),
        ("mailsuite/mail", r"mailsuite\.(?!mail\.)|retrieval|smtpd_service|cryptography|dkim"),
        ("mailsuite/protocol", r"mailsuite\.(?!(?:mail|protocol)\.)|retrieval|smtpd_service"),
        ("mailsuite/mailauth", r"mailsuite\.(?!mail\.|mailauth\.|resolver\.answers)|retrieval|smtpd_service"),
        (
            "mailsuite/server",
            r"mailsuite\.(?!(?:mail|server)\.|configuration|errors|ids|files|tls|env)|retrieval|smtpd_service|django",
        ),
        (
            "mailsuite/writer",
            r"mailsuite\.(?!(?:writer|database|server|mail)\b|errors|ids|files|env)|retrieval|smtpd_service",
        ),
        (
            "mailsuite/database",
            r"mailsuite\.(?!(?:database|server|mail|errors|ids|files|env)\b)|retrieval|smtpd_service",
        ),
        ("mailsuite/resolver", r"mailsuite\.(?!(?:mail|resolver|turns|bounded)\b)|retrieval|smtpd_service|django"),
        (
            "mailsuite/adminkit",
            r"mailsuite\.(?!(?:adminkit|directory|mail|protocol|errors|sizes)\b)|retrieval|smtpd_service",
        ),
        ("mailsuite/scanning", r"mailsuite\.(?!(?:configuration|scanning|mail|server)\b)|retrieval|smtpd_service"),
        (
            "mailsuite/authcheck",
            r"mailsuite\.(?!(?:authcheck|mail|mailauth|resolver|server)\b)|retrieval|smtpd_service",
        ),
        ("mailsuite/verdict", r"mailsuite\.(?!(?:verdict|authcheck|mail|mailauth)\b)|retrieval|smtpd_service"),
        *((f"mailsuite/{room}", "retrieval|smtpd_service") for room in APPS),
    ],
)
def test_arrows_point_one_way(room, others):
    imports = re.compile(rf"^\s*(?:from|import) (?:{others}).*", re.MULTILINE)
    found = [f"{path}: {line}" for path in (BASE / room).rglob("*.py") for line in imports.findall(path.read_text())]
    assert found == []
