"""What drives both sides: Postfix's load generator for SMTP, a plain TLS socket for IMAP."""

import smtplib
import socket
import ssl
import subprocess
import time
from functools import cache


def send_many(port: int, *, sessions: int, messages: int, octets: int, recipient: str) -> None:
    """Each message by a connection of its own, its recipient's number counted up; returns when all are accepted."""
    subprocess.run(
        [
            *("smtp-source", "-N", "-s", str(sessions), "-m", str(messages)),
            *("-l", str(octets), "-f", "sender@remote.test", "-t", recipient, f"127.0.0.1:{port}"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def send_one(port: int, recipient: str, text: str) -> float:
    """Returns the moment of the 250 that accepted it."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="bench.remote.test") as client:
        client.sendmail("sender@remote.test", [recipient], text)
        return time.perf_counter()


def submissions(port: int, user: str, password: str) -> smtplib.SMTP_SSL:
    """A session that is logged in, by PLAIN, which is what both sides offer first."""
    client = smtplib.SMTP_SSL("127.0.0.1", port, local_hostname="bench.example.test", timeout=60, context=trusting())
    client.login(user, password)
    return client


class ImapClient:
    """Sends a line, reads until its tagged answer; times are those of the whole exchange."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self._socket = trusting().wrap_socket(socket.create_connection(("127.0.0.1", port), 60))
        self._tag, self._buffer = 0, b""
        self.read_until(b"\r\n")
        self.command(f'LOGIN {user} "{password}"')

    def command(self, line: str) -> bytes:
        self._tag += 1
        tag = b"a%d" % self._tag
        self._socket.sendall(b"%s %s\r\n" % (tag, line.encode()))
        return self._read_tagged(tag)

    def append_many(self, folder: str, messages: list[bytes], window: int = 50) -> None:
        """Pipelined with LITERAL+, `window` at a time."""
        for start in range(0, len(messages), window):
            tags = []
            out = bytearray()
            for message in messages[start : start + window]:
                self._tag += 1
                tags.append(b"a%d" % self._tag)
                out += b"%s APPEND %s {%d+}\r\n%s\r\n" % (tags[-1], folder.encode(), len(message), message)
            self._socket.sendall(out)
            for tag in tags:
                self._read_tagged(tag)

    def start_idle(self) -> None:
        self._tag += 1
        self._socket.sendall(b"a%d IDLE\r\n" % self._tag)
        self.read_until(b"+ ")
        self.read_until(b"\r\n")

    def wait_for(self, wanted: bytes) -> float:
        """The moment at which `wanted` has come; the buffer is emptied up to it."""
        self.read_until(wanted)
        moment = time.perf_counter()
        self.read_until(b"\r\n")
        return moment

    def end_idle(self) -> None:
        self._socket.sendall(b"DONE\r\n")
        self._read_tagged(b"a%d" % self._tag)

    def close(self) -> None:
        self._socket.close()

    def read_until(self, wanted: bytes) -> bytes:
        while wanted not in self._buffer:
            self._more()
        end = self._buffer.index(wanted) + len(wanted)
        found, self._buffer = self._buffer[:end], self._buffer[end:]
        return found

    def _read_tagged(self, tag: bytes) -> bytes:
        """A tagged line stands at the start of a line and, commands being answered in order, near the end."""
        chunks, tail = [self._buffer], b"\r\n" + self._buffer
        while (at := tail.rfind(b"\r\n" + tag + b" ")) < 0 or tail.find(b"\r\n", at + 2) < 0:
            data = self._socket.recv(1 << 18)
            if not data:
                raise ConnectionError(f"closed while waiting for {tag!r}")
            chunks.append(data)
            tail = tail[-500:] + data
        answer = b"".join(chunks)
        start = 0 if answer.startswith(tag + b" ") else answer.rindex(b"\r\n" + tag + b" ") + 2
        end = answer.index(b"\r\n", start) + 2
        self._buffer = answer[end:]
        status = answer[start:end]
        if not status.startswith(tag + b" OK"):
            raise RuntimeError(status.decode(errors="replace"))
        return answer[:end]

    def _more(self) -> None:
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionError("closed")
        self._buffer += data


@cache
def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
