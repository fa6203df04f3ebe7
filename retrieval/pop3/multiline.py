"""TOP's part of a message (RFC 1939 §7), chunk by chunk and never line by line."""


class LineCounter:
    """Lets through the first `lines` lines of what is fed in (TOP, RFC 1939 §7)."""

    __slots__ = ("_left",)

    def __init__(self, lines: int) -> None:
        self._left = lines

    @property
    def done(self) -> bool:
        """Whether all lines that were asked for have come."""
        return self._left <= 0

    def cut(self, chunk: bytes) -> bytes:
        """The part of the chunk that still belongs to the wanted lines."""
        if self.done:
            return b""
        line_ends = chunk.count(b"\n")
        if line_ends < self._left:
            self._left -= line_ends
            return chunk
        rest = chunk.split(b"\n", self._left)[-1]
        self._left = 0
        return chunk[: len(chunk) - len(rest)]
