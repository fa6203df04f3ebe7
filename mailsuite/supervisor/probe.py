"""Asks a listener for its greeting, as a client would: what `status` reports and what waits for readiness."""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from mailsuite.writer.operation import StoreUnavailable
from mailsuite.writer.telling import ping

# What a healthy service says first; HTTP is asked whether all is well.
GREETINGS = {
    "SMTP": b"220",
    "SUBMISSION": b"220",
    "SUBMISSIONS": b"220",
    "IMAP": b"* OK",
    "IMAPS": b"* OK",
    "POP3": b"+OK",
    "POP3S": b"+OK",
    "HTTP": b"HTTP/1.1 200",
    "HTTPS": b"HTTP/1.1 200",
}
IMPLICIT_TLS = {"SUBMISSIONS", "IMAPS", "POP3S", "HTTPS"}
HEALTH_REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one listener said: its first line, or the reason why there was none."""

    listener: str
    where: str
    ready: bool
    text: str

    def __str__(self) -> str:
        return f"{self.listener:<12} {self.where:<24} {'ready' if self.ready else 'not ready'}: {self.text}"


def ask(listener: str, host: str, port: int, timeout: float) -> Answer:
    """The answer of one network listener, within about `timeout` seconds."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        line = _first_line(listener, LOOPBACK.get(host, host), port, timeout)
    except OSError as error:
        return Answer(listener, where, False, error.strerror or str(error))
    text = line.decode("ascii", "replace").strip() or "closed without a greeting"
    return Answer(listener, where, line.startswith(GREETINGS[listener]), text)


def ask_store(path: Path, timeout: float) -> Answer:
    """Whether the store service answers, and has its turn to write."""
    try:
        ping(path, timeout)
    except StoreUnavailable as error:
        return Answer("store", path.name, False, str(error))
    return Answer("store", path.name, True, "answers")


def of_service(name: str, pids: list[int], trouble: str) -> Answer:
    """What the parent knows of one service."""
    return Answer(name, f"process {' '.join(map(str, pids))}", not trouble, trouble or "works")


def _first_line(listener: str, host: str, port: int, timeout: float) -> bytes:
    connection = socket.create_connection((host, port), timeout)
    with connection:
        if listener in IMPLICIT_TLS:
            connection = _probe_context().wrap_socket(connection)
        if listener.startswith("HTTP"):
            connection.sendall(HEALTH_REQUEST)
        with connection, connection.makefile("rb") as lines:
            return lines.readline(1024)


def _probe_context() -> ssl.SSLContext:
    """A context that asks for a handshake and for nothing else: the certificate is the clients' to judge."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
