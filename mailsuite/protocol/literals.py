"""Commands that hold literals, out of octets in any chunks, under bounds: IMAP's (RFC 9051 §4.3, RFC 7888), and those
of protocols that took them over (ManageSieve, RFC 5804 §4).

A line ends with CRLF; a bare LF is taken for one too (people at terminals, old scripts), a bare CR or a NUL never. A
line that ends with `{n}` or `{n+}` announces a literal; the session says what is to be done with it.
"""

import re
from dataclasses import dataclass

from mailsuite.protocol.lines import LineBuffer

_ANNOUNCEMENT = re.compile(rb"\{(\d{1,20})(\+?)\}\Z")


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A complete command without its last line end; literals stand in it as they came."""

    octets: bytes
    is_clean: bool  # its text holds neither NUL nor bare CR


@dataclass(frozen=True, slots=True)
class Announcement:
    """A command up to and with `{n}` and its line end. `synchronizing`: the client waits for our word (RFC 7888 §4)."""

    octets: bytes
    size: int
    synchronizing: bool
    is_clean: bool


class CommandReader:
    """Holds what has arrived and not been taken: at most one bounded command, and what the transport read at once."""

    def __init__(self) -> None:
        self._buffer = LineBuffer()
        self._command = bytearray()
        self._text_octets = 0
        self._literal = 0  # octets of a literal still to come into self._command
        self._is_clean = True

    @property
    def held_octets(self) -> int:
        """How many octets are held that were not taken."""
        return len(self._buffer) + len(self._command)

    def receive(self, octets: bytes) -> None:
        """Take what was received."""
        self._buffer.feed(octets)

    def clear(self) -> None:
        """Forget everything: what came before TLS must not count after it (RFC 3501 §6.2.1)."""
        self._buffer.clear()
        self._literal = 0
        self.drop_command()

    def take_line(self, limit: int) -> bytes | None:
        """Return the next line without its end, or None. Raises LineTooLong."""
        return self._buffer.take_line(limit)

    def take_octets(self, at_most: int) -> bytes:
        """Return what has arrived of a literal that is streamed."""
        return self._buffer.take(at_most)

    def next(self, limit: int) -> CommandLine | Announcement | None:
        """Return the next complete command or announced literal, or None when more octets are needed. `limit` bounds
        the text of a command without its literals. Raises LineTooLong."""
        if not self._take_literal():
            return None
        line = self._buffer.take_line(max(limit - self._text_octets, 0))
        if line is None:
            return None
        self._text_octets += len(line)
        self._is_clean = self._is_clean and b"\0" not in line and b"\r" not in line
        announcement = _ANNOUNCEMENT.search(line)
        if announcement is not None:
            self._command += line + b"\r\n"
            return Announcement(bytes(self._command), int(announcement[1]), not announcement[2], self._is_clean)
        # Trailing spaces are a habit of some clients; those of a literal are not touched.
        command = CommandLine(bytes(self._command + line.rstrip(b" ")), self._is_clean)
        self.drop_command()
        return command

    def keep_literal(self, size: int) -> None:
        """Take the announced literal into the command."""
        self._literal = size

    def drop_command(self) -> None:
        """Forget the command so far: it was refused before its literal, or its literal is streamed."""
        self._command.clear()
        self._text_octets, self._is_clean = 0, True

    def _take_literal(self) -> bool:
        """Return whether no literal is missing any more."""
        if self._literal and len(self._buffer) >= self._literal:
            self._command += self.take_octets(self._literal)
            self._literal = 0
        return not self._literal
