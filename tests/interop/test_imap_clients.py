"""IMAP of the running suite: curl, and what clients see when mailboxes, processes and certificates change."""

import imaplib
import os
import signal
import socket
import ssl
import subprocess
import time
import uuid

import pytest

pytestmark = pytest.mark.interop

PASSWORD = "a long password"
MESSAGE = b"Subject: plain\r\n\r\n.\r\ntext\r\n"


@pytest.fixture(scope="module")
def domain(suite):
    name = f"{uuid.uuid4().hex[:8]}.example"
    suite.add_domain(name)
    return name


@pytest.fixture
def account(suite, domain):
    """The address of a fresh mailbox."""
    address = f"{uuid.uuid4().hex[:8]}@{domain}"
    suite.add_mailbox(address, PASSWORD)
    return address


def log_in(suite, account: str) -> imaplib.IMAP4:
    context = ssl.create_default_context(cafile=suite.certificate)
    client = imaplib.IMAP4_SSL("localhost", suite.port("IMAPS"), ssl_context=context, timeout=30)
    try:
        client.login(account, PASSWORD)
    except imaplib.IMAP4.error:
        client.shutdown()
        raise
    return client


def test_curl(suite, account, require_program, tmp_path):
    curl = [require_program("curl"), "--silent", "--show-error", "--cacert", str(suite.certificate)]
    curl += ["--user", f"{account}:{PASSWORD}", "--max-time", "30"]
    implicit = f"imaps://localhost:{suite.port('IMAPS')}"
    upgraded = f"imap://localhost:{suite.port('IMAP')}"
    message = tmp_path / "message"
    message.write_bytes(MESSAGE)

    def run(*arguments: str) -> bytes:
        return subprocess.run([*curl, *arguments], capture_output=True, check=True).stdout

    run(f"{implicit}/INBOX", "--upload-file", str(message))
    run("--ssl-reqd", f"{upgraded}/INBOX", "--upload-file", str(message))
    assert run(f"{implicit}/INBOX;UID=1") == MESSAGE
    assert run("--ssl-reqd", f"{upgraded}/INBOX;UID=2") == MESSAGE
    assert b'"INBOX"' in run(f"{implicit}/")
    assert b"* SEARCH 1 2\r\n" in run(f"{implicit}/INBOX", "--request", "SEARCH SUBJECT plain")


def test_suspended_mailbox_ends_its_sessions(suite, account):
    client = log_in(suite, account)
    client.select()
    client.send(b"x IDLE\r\n")
    assert client.readline().startswith(b"+ ")
    suite.manage("mailbox", "suspend", account)
    assert client.readline().startswith(b"* BYE")
    assert client.readline() == b""
    client.shutdown()
    with pytest.raises(imaplib.IMAP4.error):
        log_in(suite, account)


def test_retrieval_that_ends_says_goodbye_and_comes_back(start_suite):
    suite = start_suite()
    suite.add_domain("example.org")
    suite.add_mailbox("ann@example.org", PASSWORD)
    client = log_in(suite, "ann@example.org")
    client.append("INBOX", None, None, MESSAGE)
    for process in suite.services["retrieval"]:
        os.kill(process, signal.SIGTERM)
    assert client.readline().startswith(b"* BYE")
    client.shutdown()
    suite.wait_ready()
    with log_in(suite, "ann@example.org") as again:
        assert again.select()[1] == [b"1"]


def test_mail_can_be_read_and_filed_after_the_store_service_died(start_suite):
    suite = start_suite()
    suite.add_domain("example.org")
    suite.add_mailbox("ann@example.org", PASSWORD)
    with log_in(suite, "ann@example.org") as client:
        client.append("INBOX", None, None, MESSAGE)
        client.select()
        for process in suite.services["store"]:
            os.kill(process, signal.SIGKILL)
        assert client.fetch("1", "(BODY.PEEK[])")[1][0][1] == MESSAGE
        # Who is quicker than the new service is told so, and to try again.
        answers = (client.append("INBOX", None, None, MESSAGE) for _ in range(200))
        for status, texts in answers:
            if status == "OK":
                break
            assert texts[0].startswith(b"[UNAVAILABLE] "), texts
            time.sleep(0.1)
        assert status == "OK"
        client.noop()
        assert client.response("EXISTS")[1][-1] == b"2"


def test_what_is_pipelined_behind_starttls_is_thrown_away(suite):
    context = ssl.create_default_context(cafile=suite.certificate)
    with socket.create_connection(("127.0.0.1", suite.port("IMAP")), 30) as plain:
        assert plain.recv(4096).startswith(b"* OK")
        plain.sendall(b"a STARTTLS\r\nb NOOP\r\n")
        assert plain.recv(4096).startswith(b"a OK")
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(b"c NOOP\r\n")
            assert client.recv(4096).startswith(b"c OK")
