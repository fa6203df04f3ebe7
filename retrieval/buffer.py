"""Octets that wait to be read as lines or in counted pieces (literals), never more than the reader asked for.

Every octet is looked at once, however it arrives: a line is searched from where the last search ended, and what is
taken from the front of a bytearray moves nothing.
"""


class LineTooLong(Exception):
    """The peer's line is longer than allowed; the buffer drops it and goes on behind its end."""


class LineBuffer:
    """What was received and not read yet. Lines end with LF, and with the CR before it if there is one."""

    __slots__ = ("_octets", "_searched", "_skipping")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._searched = 0
        self._skipping = False

    def __len__(self) -> int:
        return len(self._octets)

    def feed(self, octets: bytes) -> None:
        self._octets += octets

    def clear(self) -> None:
        """Forgets everything, for instance what was sent in clear text behind STARTTLS."""
        self._octets.clear()
        self._searched, self._skipping = 0, False

    def take_line(self, limit_octets: int) -> bytes | None:
        """Return the next line without its end, or None when it is not complete.

        `limit_octets` counts the line's end. Raises LineTooLong once for each longer line, as soon as it is seen.
        """
        end = self._octets.find(b"\n", self._searched) + 1
        if self._skipping:
            self._drop(end or len(self._octets))
            self._skipping = not end
            return self.take_line(limit_octets) if end else None
        if (end or len(self._octets)) > limit_octets:
            self._skipping = not end
            self._drop(end or len(self._octets))
            raise LineTooLong(f"a line may have {limit_octets} octets")
        if not end:
            self._searched = len(self._octets)
            return None
        line = bytes(self._octets[: end - 1])
        self._drop(end)
        return line.removesuffix(b"\r")

    def take(self, count: int) -> bytes:
        """Return the next octets, at most `count` and perhaps none."""
        taken = bytes(self._octets[:count])
        self._drop(len(taken))
        return taken

    def _drop(self, count: int) -> None:
        del self._octets[:count]
        self._searched = 0
