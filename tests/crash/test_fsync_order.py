"""Every acknowledgement comes after its effect is on the disk: each path runs under strace once.

Renamed into place, octets fsynced, the folder fsynced, SQLite's log fsynced, the store's answer, the reply.
"""

import os
import poplib
import re
import smtplib
import subprocess
from collections.abc import Callable

import pytest
from crash_load import open_imap, tls_context

pytestmark = [pytest.mark.crash, pytest.mark.sqlite_only]
PASSWORD = "order test 42"
ADDRESS = "ann@order.test"
MAIL = b"From: ann@order.test\r\nSubject: order\r\n\r\nx\r\n"
CALLS = "fsync,fdatasync,rename,renameat,renameat2,write,writev,sendto,sendmsg"


@pytest.fixture(scope="module")
def ordered_suite(suite):
    suite.add_domain("order.test")
    suite.add_mailbox(ADDRESS, PASSWORD)
    return suite


@pytest.fixture
def traced(ordered_suite, require_program, tmp_path):
    """`traced(action)` is what the services' system calls were while it ran, in order, as (service, call) pairs."""
    strace = require_program("strace")
    services = {pid: name for name in ("store", "smtpd", "retrieval") for pid in ordered_suite.services[name]}

    def traced(action: Callable[[], object]) -> list[tuple[str, str]]:
        output = tmp_path / "trace"
        command = [strace, "-f", "-yy", "-s", "256", "-e", f"trace={CALLS}", "-o", str(output)]
        command += [argument for pid in services for argument in ("-p", str(pid))]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        attached = set()
        while attached != set(services):
            line = tracer.stderr.readline()
            assert line, "strace could not attach"
            if match := re.search(r"Process (\d+) attached", line):
                attached.add(int(match[1]))
        action()
        tracer.terminate()
        tracer.communicate()
        lines = [line.split(maxsplit=1) for line in output.read_text(errors="replace").splitlines()]
        return [(_service(int(pid), services), call) for pid, call in lines]

    return traced


def _service(pid: int, services: dict[int, str]) -> str:
    """Threads are traced under ids of their own."""
    for leader, name in services.items():
        if pid == leader or os.path.exists(f"/proc/{leader}/task/{pid}"):
            return name
    return "thread"


def position(calls: list[tuple[str, str]], service: str, pattern: str, after: int = -1) -> int:
    for index, (who, call) in enumerate(calls):
        if index > after and who == service and re.search(pattern, call):
            return index
    raise AssertionError(f"no {pattern} of {service} after line {after}:\n" + "\n".join(f"{w}: {c}" for w, c in calls))


def assert_file_then_log_then_reply(calls: list[tuple[str, str]], front: str) -> None:
    rename = position(calls, "store", r"^rename\w*\(.*/spool/\w+.*, .*/\d{10}/")
    blob = re.search(r"/(\d{10}/\w+)\"", calls[rename][1])[1]
    data = position(calls, "store", rf"^(fsync|fdatasync)\(\d+<[^>]*/mail/{blob}>", after=rename)
    folder = position(calls, "store", r"^fsync\(\d+<[^>]*/mail/\d{10}>", after=data)
    assert_log_then_reply(calls, front, begin=folder)
    assert not [c for w, c in calls[rename:folder] if w == front and "TCP:" in c], "something was said before"


def assert_log_then_reply(calls: list[tuple[str, str]], front: str, begin: int = -1) -> None:
    log = position(calls, "store", r"^(fsync|fdatasync)\(\d+<[^>]*-wal>", after=begin)
    answer = position(calls, "store", r"^(sendto|write)\(\d+<UNIX", after=log)
    reply = position(calls, front, r"^(write|writev|sendto|sendmsg)\(\d+<TCP", after=answer)
    early = [call for who, call in calls[begin + 1 : answer] if who == "store" and "<UNIX" in call]
    assert not early, f"the store answered before its log was durable: {early}"
    early = [call for who, call in calls[begin + 1 : reply] if who == front and re.search(r"<TCP", call)]
    assert not early, f"{front} replied before the store had answered: {early}"


def test_mx(ordered_suite, traced):
    with smtplib.SMTP("127.0.0.1", ordered_suite.port("SMTP"), "peer.remote.test") as client:
        client.ehlo()
        client.mail("a@remote.test")
        client.rcpt(ADDRESS)
        assert_file_then_log_then_reply(traced(lambda: client.data(MAIL)), "smtpd")


def test_submission(ordered_suite, traced):
    port = ordered_suite.port("SUBMISSIONS")
    with smtplib.SMTP_SSL("127.0.0.1", port, "laptop", context=tls_context()) as client:
        client.login(ADDRESS, PASSWORD)
        client.mail(ADDRESS)
        client.rcpt(ADDRESS)
        client.rcpt("far@remote.test")
        assert_file_then_log_then_reply(traced(lambda: client.data(MAIL)), "smtpd")


@pytest.fixture
def imap(ordered_suite):
    with open_imap(ordered_suite, ADDRESS, PASSWORD) as client:
        client.append("Archive", None, None, MAIL)
        client.select("Archive")
        yield client


def test_append(imap, traced):
    assert_file_then_log_then_reply(traced(lambda: imap.append("Drafts", None, None, MAIL)), "retrieval")


def nothing(imap):
    """Needs no preparation."""


@pytest.mark.parametrize(
    ("prepare", "command"),
    [
        (nothing, lambda imap: imap.store("1", "+FLAGS", "(\\Flagged $Sure)")),
        (lambda imap: imap.store("1", "+FLAGS", "(\\Deleted)"), lambda imap: imap.expunge()),
        (nothing, lambda imap: imap.copy("1", "Sent")),
        (nothing, lambda imap: imap.uid("MOVE", "1:*", "Trash")),
        (nothing, lambda imap: imap.create("Made")),
        (lambda imap: imap.create("Old"), lambda imap: imap.rename("Old", "New")),
        (lambda imap: imap.create("Doomed"), lambda imap: imap.delete("Doomed")),
    ],
    ids=["store", "expunge", "copy", "move", "create", "rename", "delete"],
)
def test_imap_changes(imap, traced, prepare, command):
    prepare(imap)
    answers: list[tuple[str, list[bytes]]] = []
    calls = traced(lambda: answers.append(command(imap)))
    assert answers[0][0] == "OK", answers
    assert_log_then_reply(calls, "retrieval")


def test_pop3_quit(ordered_suite, traced):
    with smtplib.SMTP("127.0.0.1", ordered_suite.port("SMTP"), "peer.remote.test") as client:
        client.sendmail("a@remote.test", [ADDRESS], MAIL)
    client = poplib.POP3_SSL("127.0.0.1", ordered_suite.port("POP3S"), context=tls_context())
    client.user(ADDRESS)
    client.pass_(PASSWORD)
    client.dele(1)
    assert_log_then_reply(traced(client.quit), "retrieval")
