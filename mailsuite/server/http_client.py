"""One HTTP request on a connection of its own, and as much of its answer as the caller asks for (RFC 9112), by h11."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass

import h11

READ_OCTETS = 64 * 1024
HEAD_OCTETS = 16 * 1024
# Answers of class 1xx before the one that counts.
MAX_INTERIM_ANSWERS = 10


class HttpError(Exception):
    """What came is no answer by HTTP, or ended too early; str() says which, for people."""


class TooLarge(Exception):
    """The answer's body is longer than was asked for."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and header fields of an answer; their names are in lower case, and of several alike the first counts."""

    status: int
    fields: Mapping[str, str]

    @property
    def content_type(self) -> str:
        """The value of Content-Type, or ""."""
        return self.fields.get("content-type", "")


class HttpExchange:
    """`ask` once, then `body` once. Both raise OSError and HttpError; how long they may take is the caller's to say."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_OCTETS)
        self._announced_octets = 0

    async def ask(
        self,
        host: str,
        target: str,
        fields: Sequence[tuple[str, str]] = (),
        *,
        body: AsyncIterable[bytes] | None = None,
        body_octets: int = 0,
    ) -> Head:
        """Sends a GET for the target, or with a `body` of so many octets a POST; returns the head of the answer."""
        header = [("Host", host), ("User-Agent", "Mailsuite"), ("Connection", "close"), *fields]
        if body is not None:
            header.append(("Content-Length", str(body_octets)))
        try:
            self._send(h11.Request(method="GET" if body is None else "POST", target=target, headers=_encoded(header)))
            if body is not None:
                async for chunk in body:
                    self._send(h11.Data(data=chunk))
                    await self._writer.drain()
            self._send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise HttpError(f"the request can't be sent: {error}") from None
        for _ in range(MAX_INTERIM_ANSWERS + 1):
            event = await self._next_event()
            if isinstance(event, h11.Response):
                head = Head(event.status_code, _decoded(event.headers))
                self._announced_octets = int(head.fields.get("content-length", 0))
                return head
            if not isinstance(event, h11.InformationalResponse):
                break
        raise HttpError("no HTTP answer")

    async def body(self, max_octets: int) -> bytes:
        """The whole body. Raises TooLarge when it has more octets, or was announced with more."""
        if self._announced_octets > max_octets:
            raise TooLarge
        octets = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            octets += event.data
            if len(octets) > max_octets:
                raise TooLarge
        return bytes(octets)

    def _send(self, event: h11.Event) -> None:
        if octets := self._connection.send(event):
            self._writer.write(octets)

    async def _next_event(self) -> h11.Event:
        try:
            while (event := self._connection.next_event()) is h11.NEED_DATA:
                self._connection.receive_data(await self._reader.read(READ_OCTETS))
        except h11.RemoteProtocolError as error:
            raise HttpError(f"no proper HTTP answer: {error}") from None
        if not isinstance(event, h11.Event):
            raise HttpError("the connection is paused")
        return event


async def in_one_piece(octets: bytes) -> AsyncIterator[bytes]:
    """A body that is at hand."""
    yield octets


def _encoded(header: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """No value can begin another field (RFC 9110 §5.5); characters beyond ASCII go as UTF-8."""
    return [(name.encode("ascii"), _clean(value).encode("utf-8", "replace")) for name, value in header]


def _clean(value: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in value).strip()


def _decoded(header: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("ascii"): value.decode("latin-1") for name, value in reversed(list(header))}
