"""Message octets as a multi-line response (RFC 1939 §3), chunk by chunk and never line by line."""


class DotStuffer:
    """Doubles the dot that begins a line, across chunks, and ends the response.

    A dot behind a bare LF is doubled too: many clients take LF for a line's end, and a message that holds one must
    not end the response for them.
    """

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def stuff(self, chunk: bytes) -> bytes:
        if not chunk:
            return b""
        first = b"." if chunk.startswith(b".") and self._tail.endswith(b"\n") else b""
        self._tail = (self._tail + chunk)[-2:] if len(chunk) < 2 else chunk[-2:]
        return first + chunk.replace(b"\n.", b"\n..")

    def end(self) -> bytes:
        """What closes the response: the line's end that the message may lack, and the dot."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"


class LineCounter:
    """Lets through the first `lines` lines of what is fed in (TOP, RFC 1939 §7)."""

    __slots__ = ("_left",)

    def __init__(self, lines: int) -> None:
        self._left = lines

    @property
    def done(self) -> bool:
        return self._left <= 0

    def cut(self, chunk: bytes) -> bytes:
        """The part of the chunk that still belongs to the wanted lines."""
        if self.done:
            return b""
        found = chunk.count(b"\n")
        if found < self._left:
            self._left -= found
            return chunk
        rest = chunk.split(b"\n", self._left)[-1]
        self._left = 0
        return chunk[: len(chunk) - len(rest)]
