"""One HTTP request on a connection of its own, and as much of the answer as anybody needs (RFC 9112)."""

import asyncio
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser


class TooLarge(Exception):
    """The answer is longer than was asked for."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and header of an answer."""

    status: int
    header: Message

    @property
    def content_type(self) -> str:
        return str(self.header.get("Content-Type", ""))


async def ask(
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    host: str,
    target: str,
    accept: str,
    *,
    body: bytes | None = None,
) -> Head:
    """Sends a GET for the target, or with a `body` of XML a POST, and reads the answer's head. Raises OSError,
    EOFError, asyncio.LimitOverrunError and, for what is no HTTP, ValueError."""
    reader, writer = streams
    lines = [
        f"{'GET' if body is None else 'POST'} {target} HTTP/1.1",
        f"Host: {host}",
        f"Accept: {accept}",
        "Accept-Encoding: identity",
        "User-Agent: Mailsuite",
        "Connection: close",
    ]
    if body is not None:
        lines += ["Content-Type: text/xml; charset=utf-8", f"Content-Length: {len(body)}"]
    writer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode() + (body or b""))
    head = await reader.readuntil(b"\r\n\r\n")
    status_line, _, fields = head.partition(b"\r\n")
    version, _, rest = status_line.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise ValueError("no HTTP answer")
    return Head(int(rest[:3]), BytesHeaderParser().parsebytes(fields))


async def read_body(reader: asyncio.StreamReader, head: Head, max_octets: int) -> bytes:
    """The body. Raises TooLarge, and what `ask` does."""
    if head.header.get("Transfer-Encoding", "").strip().lower() == "chunked":
        return await _chunks(reader, max_octets)
    length = head.header.get("Content-Length", "").strip()
    if length:
        if not (length.isascii() and length.isdigit()):
            raise ValueError("no length")
        if len(length) > 10 or int(length) > max_octets:
            raise TooLarge
        return await reader.readexactly(int(length))
    octets = b""
    while chunk := await reader.read(max_octets):
        octets += chunk
        if len(octets) > max_octets:
            raise TooLarge
    return octets


async def _chunks(reader: asyncio.StreamReader, max_octets: int) -> bytes:
    octets = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0].strip(), 16)
        if size == 0:
            return octets
        if size < 0 or len(octets) + size > max_octets:
            raise TooLarge
        octets += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise ValueError("a chunk without end")
