"""Lines and counted pieces (literals) out of octets that arrive in any chunks: the one buffer of SMTP, IMAP and POP3.

Each octet is looked at once, however it arrives: a line is searched for from where the last search ended, and what is
taken from the front of a bytearray moves nothing. At most one limit's worth of an unfinished line is held.

Who reads says how strict it is. `take_strict_line` is for receiving mail, where a line end that another server reads
otherwise is how messages are smuggled: CRLF alone ends a line (RFC 5321 §2.3.8), and what is flawed is named and never
acted upon. `take_line` is for the other protocols: a bare LF ends a line too (people at terminals, old scripts).
"""

from enum import Enum, auto


class LineTooLong(Exception):
    """The peer's line is longer than allowed; the buffer drops it and goes on behind its end."""


class Flaw(Enum):
    """Why a line must not be acted upon. BARE_LF is the worst: to somebody between us and the client, line and what
    follows it may be one."""

    TOO_LONG = auto()
    BARE_CR = auto()
    BARE_LF = auto()


class LineBuffer:
    """What was received and not taken yet; its length is how many octets that are."""

    __slots__ = ("_octets", "_searched", "_skipping")

    def __init__(self) -> None:
        self._octets = bytearray()
        # So many octets hold no LF.
        self._searched = 0
        # Whether what comes is the rest of a line that was too long.
        self._skipping = False

    def __len__(self) -> int:
        return len(self._octets)

    def feed(self, octets: bytes) -> None:
        """Take what was received."""
        self._octets += octets

    def take_line(self, limit_octets: int) -> bytes | None:
        """Return the next line without its end, LF or CRLF; None when it is not complete. `limit_octets` counts the
        line's end. Raises LineTooLong once for each longer line, as soon as it is seen."""
        octets = self._octets
        end = octets.find(b"\n", self._searched) + 1
        if self._skipping:
            self._skipping = not end
            self._drop(end or len(octets))
            return self.take_line(limit_octets) if end else None
        if (end or len(octets)) > limit_octets:
            self._skipping = not end
            self._drop(end or len(octets))
            raise LineTooLong(f"a line may have {limit_octets} octets")
        if not end:
            self._searched = len(octets)
            return None
        line = bytes(octets[: end - 1])
        del octets[:end]
        self._searched = 0
        return line.removesuffix(b"\r")

    def take_strict_line(self, limit_octets: int) -> bytes | Flaw | None:
        """Return the next line without its CRLF, or its flaw; None when it is not complete. `limit_octets` counts the
        line's end. A line that is too long is told at its end: how that looks may be worse."""
        octets = self._octets
        at = octets.find(b"\n", self._searched)
        if at < 0:
            self._searched = len(octets)
            if self._searched > limit_octets:
                # The last octet stays, in case it is a CR whose LF comes with the next chunk.
                self._drop(self._searched - 1)
                self._searched, self._skipping = 1, True
            return None
        first_cr = octets.find(b"\r", 0, at)
        if 0 <= first_cr == at - 1 and at < limit_octets and not self._skipping:
            line = bytes(octets[:first_cr])
            del octets[: at + 1]
            self._searched = 0
            return line
        return self._drop_flawed(at, limit_octets)

    def take(self, count: int) -> bytes:
        """Return the next octets, at most `count` and perhaps none."""
        taken = bytes(self._octets[:count])
        self._drop(len(taken))
        return taken

    def take_all(self) -> bytes:
        """Return all that is here, lines or not."""
        octets = bytes(self._octets)
        self.clear()
        return octets

    def clear(self) -> None:
        """Forget everything, for instance what was sent in clear text behind STARTTLS."""
        self._octets.clear()
        self._searched, self._skipping = 0, False

    def _drop(self, count: int) -> None:
        del self._octets[:count]
        self._searched = 0

    def _drop_flawed(self, at: int, limit_octets: int) -> Flaw:
        """Drop the line whose LF is there, and return the worst of what is wrong with it."""
        is_too_long, self._skipping = self._skipping or at >= limit_octets, False
        is_bare = at == 0 or self._octets[at - 1] != 13
        self._drop(at + 1)
        if is_bare:
            return Flaw.BARE_LF
        return Flaw.TOO_LONG if is_too_long else Flaw.BARE_CR
