"""A bounded attack on the real suite: the guesser is kept out everywhere, its neighbour is not, restart or no."""

import base64
import imaplib
import poplib
import smtplib
import socket
import ssl
import time

import pytest

pytestmark = pytest.mark.interop
GUESSER = "127.0.0.9"
PASSWORD = "a password of ann's"


def context() -> ssl.SSLContext:
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


def pop3_guess(suite, number):
    with socket.create_connection(("127.0.0.1", suite.port("POP3S")), 30, source_address=(GUESSER, 0)) as sock:
        with context().wrap_socket(sock) as stream:
            stream.recv(500)
            stream.sendall(f"USER p{number}@example.org\r\n".encode())
            stream.recv(500)
            stream.sendall(f"PASS guess {number}\r\n".encode())
            return stream.recv(500)


def imap_guess(suite, number):
    with socket.create_connection(("127.0.0.1", suite.port("IMAPS")), 30, source_address=(GUESSER, 0)) as sock:
        with context().wrap_socket(sock) as stream:
            stream.recv(500)
            stream.sendall(f'a LOGIN i{number}@example.org "guess {number}"\r\n'.encode())
            return stream.recv(500)


def smtp_guess(suite, number):
    with socket.create_connection(("127.0.0.1", suite.port("SUBMISSIONS")), 30, source_address=(GUESSER, 0)) as sock:
        with context().wrap_socket(sock) as stream:
            stream.recv(500)
            stream.sendall(b"EHLO x\r\n")
            stream.recv(2000)
            plain = base64.b64encode(f"\0s{number}@example.org\0guess {number}".encode())
            stream.sendall(b"AUTH PLAIN " + plain + b"\r\n")
            return stream.recv(500)


def first_words(suite, listener, address=GUESSER) -> bytes:
    with socket.create_connection(("127.0.0.1", suite.port(listener)), 30, source_address=(address, 0)) as sock:
        return sock.recv(500)


def until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_served(suite) -> bool:
    return first_words(suite, "SMTP").startswith(b"220 ")


@pytest.mark.sqlite_only
def test_three_hundred_guesses(start_suite):
    suite = start_suite()
    suite.add_domain("example.org")
    suite.add_mailbox("ann@example.org", PASSWORD)
    for number in range(300):
        try:
            (smtp_guess, imap_guess, pop3_guess)[number % 3](suite, number)
        except OSError:
            break
    until(lambda: not is_served(suite))
    assert "password-guessing" in suite.manage("ban", "list")
    refused_everywhere(suite)
    the_owner_gets_in(suite)

    suite.stop()
    suite.start()
    until(lambda: not is_served(suite))
    refused_everywhere(suite)
    the_owner_gets_in(suite)

    suite.manage("ban", "lift", GUESSER)
    until(lambda: is_served(suite))
    # Each process reads the bans for itself.
    until(lambda: first_words(suite, "IMAP").startswith(b"* OK"))


def refused_everywhere(suite):
    assert first_words(suite, "SMTP").startswith(b"421 4.7.0 ")
    assert first_words(suite, "SUBMISSION").startswith(b"421 4.7.0 ")
    until(lambda: first_words(suite, "IMAP") == b"* BYE Service unavailable: your network is not served\r\n")
    assert first_words(suite, "POP3") == b"-ERR [SYS/PERM] Service unavailable: your network is not served\r\n"
    with pytest.raises(OSError):
        assert imap_guess(suite, 0)


def the_owner_gets_in(suite):
    with imaplib.IMAP4_SSL("127.0.0.1", suite.port("IMAPS"), ssl_context=context()) as imap:
        imap.login("ann@example.org", PASSWORD)
    pop3 = poplib.POP3_SSL("127.0.0.1", suite.port("POP3S"), context=context())
    pop3.user("ann@example.org")
    pop3.pass_(PASSWORD)
    pop3.quit()
    with smtplib.SMTP_SSL("127.0.0.1", suite.port("SUBMISSIONS"), context=context()) as smtp:
        smtp.login("ann@example.org", PASSWORD)
