"""A milter's other side: hands messages to a filter over a Unix socket, as an MTA does, and gathers what it adds."""

import socket
import struct
from pathlib import Path

CHUNK = 65_535
_ACTIONS = 0x1FF
# Steps that the filter may do without: C, H, M, R, B, L, N; and header values with the white space after their colon.
_STEPS = {b"C": 0x01, b"H": 0x02, b"M": 0x04, b"R": 0x08, b"B": 0x10, b"L": 0x20, b"N": 0x40}
_LEADING_SPACE = 0x100000


class Milter:
    """One connection, from 127.0.0.1, for any number of messages."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rb")
        self._send(b"O", struct.pack("!III", 6, _ACTIONS, sum(_STEPS.values()) | _LEADING_SPACE))
        _, answer = self._receive()
        self._flags = struct.unpack("!III", answer[:12])[2]
        self._ask(b"C", b"localhost\x004" + struct.pack("!H", 25) + b"127.0.0.1\0")
        self._ask(b"H", b"localhost\0")

    def fields_added(self, message: bytes) -> bytes:
        """Return the header fields that the filter adds to the message, CRLF at the end of each line."""
        header, _, body = message.partition(b"\r\n\r\n")
        self._ask(b"M", b"<someone@example.org>\0")
        self._ask(b"R", b"<other@example.com>\0")
        for field in header.replace(b"\r\n ", b"\n ").replace(b"\r\n\t", b"\n\t").split(b"\r\n"):
            name, _, value = field.partition(b":")
            self._ask(b"L", name + b"\0" + value + b"\0")
        self._ask(b"N")
        for start in range(0, len(body), CHUNK):
            self._ask(b"B", body[start : start + CHUNK])
        self._send(b"E")
        return self._added()

    @property
    def server_pid(self) -> int:
        """The filter's process (SO_PEERCRED)."""
        return int(struct.unpack("3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])

    def close(self) -> None:
        self._send(b"Q")
        self._file.close()
        self._socket.close()

    def _added(self) -> bytes:
        added = b""
        while True:
            command, data = self._receive()
            if command in b"hi":
                name, value, _ = data[4 if command == b"i" else 0 :].split(b"\0")
                added += name + b":" + value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n"
            elif command in b"ca":
                return added
            elif command in b"rtd":
                raise AssertionError(f"the filter refuses the message: {command!r} {data!r}")

    def _ask(self, command: bytes, data: bytes = b"") -> None:
        if self._flags & _STEPS[command]:
            return
        self._send(command, data)
        answer = self._receive()
        assert answer[0] == b"c", answer

    def _send(self, command: bytes, data: bytes = b"") -> None:
        self._socket.sendall(struct.pack("!I", len(data) + 1) + command + data)

    def _receive(self) -> tuple[bytes, bytes]:
        (length,) = struct.unpack("!I", self._file.read(4))
        packet = self._file.read(length)
        return packet[:1], packet[1:]
