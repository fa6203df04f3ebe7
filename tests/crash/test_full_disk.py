"""A disk without room: nothing is lost, everybody signs in, and whoever deletes can."""

import imaplib
import os
import poplib
import smtplib
import sqlite3
import ssl
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from disk_image import mounted_disk
from running_suite import Suite

pytestmark = [pytest.mark.crash, pytest.mark.sqlite_only]
PASSWORD, ANN = "a long password", "ann@disk.test"
MAIL = b"From: x@far.test\r\nSubject: x\r\n\r\n" + b"text\r\n" * 200


@pytest.fixture
def disk(require_program):
    """A suite on a small disk, and the disk's folder."""
    require_program("mkfs.ext4", "e2fsprogs")
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount an image")
    with tempfile.TemporaryDirectory(prefix="full-") as folder, mounted_disk(Path(folder), 600 << 20) as disk:
        suite = Suite(disk.path / "data", {})
        suite.log = Path(folder) / "suite.log"
        suite.start()
        try:
            yield suite, disk.path
        finally:
            suite.kill()


def fill(folder: Path) -> None:
    """Takes all room there is."""
    with open(folder / "filler", "ab") as filler:
        for size in (1 << 24, 1 << 20, 1 << 12):
            try:
                while True:
                    os.posix_fallocate(filler.fileno(), os.fstat(filler.fileno()).st_size, size)
            except OSError:
                continue


def imap(suite):
    trusting = ssl._create_unverified_context()
    client = imaplib.IMAP4_SSL("127.0.0.1", suite.port("IMAPS"), ssl_context=trusting, timeout=60)
    client.login(ANN, PASSWORD)
    return client


def pop3(suite):
    client = poplib.POP3_SSL("127.0.0.1", suite.port("POP3S"), context=ssl._create_unverified_context(), timeout=60)
    client.user(ANN)
    client.pass_(PASSWORD)
    return client


def send(suite) -> str:
    with smtplib.SMTP("127.0.0.1", suite.port("SMTP"), timeout=60) as client:
        try:
            client.sendmail("x@far.test", ANN, MAIL)
        except smtplib.SMTPResponseException as refused:
            return f"{refused.smtp_code} {refused.smtp_error.decode()}"
    return "250"


def test_a_full_disk_locks_nobody_out_and_lets_them_make_room(disk):
    suite, folder = disk
    reserve = suite.data / "reserve"
    suite.add_domain("disk.test")
    suite.add_mailbox(ANN, PASSWORD)
    with imap(suite) as client:
        for _ in range(60):
            client.append("INBOX", None, None, MAIL)
    assert send(suite) == "250"
    assert len(os.listdir(reserve)) == 8
    with closing(sqlite3.connect(suite.data / "mailsuite.sqlite3")) as database:
        # Else the log would have room from before.
        assert database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    fill(folder)

    said = suite.run("alias", "add", "sales@disk.test", ANN)
    if said.returncode:
        assert "a reserve was set free, try again" in said.stderr and "Traceback" not in said.stderr
        suite.manage("alias", "add", "sales@disk.test", ANN)
    assert send(suite).startswith("452 4.3.1")
    with imap(suite) as client:
        assert client.select()[1] == [b"61"]
        assert client.append("INBOX", None, None, MAIL)[1][0].startswith(b"[UNAVAILABLE] the server has no room")
        for number in range(1, 31):
            assert client.store(str(number), "+FLAGS", r"(\Deleted)")[0] == "OK"
        assert client.expunge()[0] == "OK"
    mail = pop3(suite)
    for number in range(1, 21):
        mail.dele(number)
    assert mail.quit().startswith(b"+OK")
    with imap(suite) as client:
        assert client.select()[1] == [b"11"]
    assert len(os.listdir(reserve)) < 8

    (folder / "filler").unlink()
    assert send_again(suite) == "250"
    with imap(suite) as client:
        assert client.select()[1] == [b"12"]
    suite.stop()


def send_again(suite) -> str:
    """What is free is looked at once a second."""
    deadline = time.monotonic() + 30
    while (said := send(suite)) != "250" and time.monotonic() < deadline:
        time.sleep(0.1)
    return said
