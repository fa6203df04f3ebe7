"""Command lines out of whatever chunks they come in. Only CRLF ends a line (RFC 5321 §2.3.8); what is flawed is named
and never acted upon."""

from enum import Enum, auto


class Flaw(Enum):
    """BARE_LF is the worst: to somebody between us and the client, line and what follows it may be one."""

    TOO_LONG = auto()
    BARE_CR = auto()
    BARE_LF = auto()


class LineBuffer:
    """Holds at most one limit's worth of an unfinished line."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self._scanned = 0
        self._discarding = False

    def feed(self, octets: bytes) -> None:
        """Take what was received."""
        self._octets += octets

    def take(self, limit: int) -> bytes | Flaw | None:
        """Return the next line without its CRLF, its flaw, or None when it is not complete yet."""
        at = self._octets.find(b"\n", self._scanned)
        if at < 0:
            self._scanned = len(self._octets)
            if self._scanned > limit:
                # The last octet stays, in case it is a CR whose LF comes with the next chunk.
                del self._octets[: self._scanned - 1]
                self._scanned, self._discarding = 1, True
            return None
        line = bytes(self._octets[: at + 1])
        del self._octets[: at + 1]
        self._scanned = 0
        too_long, self._discarding = self._discarding or len(line) > limit, False
        if not line.endswith(b"\r\n"):
            return Flaw.BARE_LF
        if too_long:
            return Flaw.TOO_LONG
        return Flaw.BARE_CR if line.find(b"\r", 0, -2) >= 0 else line[:-2]

    def take_all(self) -> bytes:
        """Return what is left, lines or not, and forget it."""
        octets = bytes(self._octets)
        self._octets.clear()
        self._scanned, self._discarding = 0, False
        return octets
