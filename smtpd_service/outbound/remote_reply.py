"""Reading what a remote host says: replies out of octets, with limits, since any host can be anybody's.

reply-line = *( code "-" [ text ] CRLF ) code [ SP text ] CRLF      RFC 5321 §4.2

Where one reply alone is awaited, nothing can be mistaken for another one's, so what is no reply is passed over, and a
line that is nearly one counts (a blank in front of the code, none after it): mail would else never reach such hosts.
Where several are awaited it is a violation. Of a reply in several lines the last line's code decides.
"""

import re
from dataclasses import dataclass

from mailsuite.protocol.lines import LineBuffer, LineTooLong

# RFC 5321 §4.5.3.1.5 says 512; real hosts send explanations much longer. What is longer than this is cut.
MAX_LINE_OCTETS = 4096
# Of the lines of a reply so many are kept, the last one in any case.
MAX_LINES = 200
# For everything up to the end of a reply, with what is passed over.
MAX_REPLY_OCTETS = 64 * 1024
# Of what is kept of a reply, in the rows of the recipient, its attempts and its story, and is told to the sender: a
# host could else fill our disk by putting off what we send it, again and again.
MAX_TEXT = 1000

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_NEARLY = re.compile(rb"[ \t]*([2-5][0-9][0-9])(?:([ -])(.*)|([^0-9].*))?", re.DOTALL)
_CODE_AND_BLANK = re.compile(rb"[2-5][0-9][0-9] .*", re.DOTALL)
# At the beginning of a line (RFC 2034 §4), or marked as what it is: `#5.1.0`, `(5.1.1)`, `[5.1.1]`, `said: 550 5.1.1`.
# Numbers elsewhere are versions, and four of them an address.
_ENHANCED = re.compile(r"(?:^[ \t]*|#|[(\[<][ \t]?|\b[245]\d\d[ -])([245])\.(\d{1,3})\.(\d{1,3})(?!\w|\.\d)", re.ASCII)


class ProtocolViolation(Exception):
    """The remote host said what no SMTP server says; str() tells what, for the story."""


@dataclass(frozen=True, slots=True)
class RemoteReply:
    """One reply of a remote host. `lines` are its texts without codes, made printable."""

    code: int
    lines: tuple[str, ...]

    @property
    def enhanced_code(self) -> str:
        """Return the enhanced code the host gave (RFC 2034 §4): the first that does not contradict the code, or ""."""
        codes = (match.groups() for line in self.lines for match in _ENHANCED.finditer(line))
        family = str(self.code // 100)
        return next((f"{family}.{int(one)}.{int(two)}" for first, one, two in codes if first == family), "")

    def __str__(self) -> str:
        """Return the reply in one line, cut where it goes on for long."""
        text = f"{self.code} {' '.join(line for line in self.lines if line)}".rstrip()
        return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


@dataclass(frozen=True, slots=True)
class StrayLine:
    """A line that is no reply, made printable; "" for an empty one."""

    text: str

    def __str__(self) -> str:
        return self.text[:80] or "(an empty line)"


class ReplyReader:
    """Octets in as they come, one reply after the other out."""

    def __init__(self) -> None:
        self._buffer = LineBuffer()
        self._octets = 0
        self._code = 0
        self._lines: list[str] = []

    @property
    def is_between_replies(self) -> bool:
        """Whether there is nothing that was not taken."""
        return not self._buffer and not self._lines

    def feed(self, data: bytes) -> None:
        """Take octets from the host."""
        self._buffer.feed(data)

    def next(self, *, lenient: bool) -> RemoteReply | StrayLine | None:
        """Return the next reply, or line that was passed over; None when more octets are needed. `lenient` says that
        one reply alone is awaited. Raises ProtocolViolation."""
        while (line := self._take_line()) is not None:
            if found := self._take(line[:MAX_LINE_OCTETS], lenient=lenient):
                return found
        return None

    def at_end(self) -> RemoteReply | None:
        """Return the reply whose line end is all that was missing when the host closed the connection, if its code and
        the blank behind it are there: what else could have come would not have changed it."""
        line = self._buffer.take_all()
        found = self._take(line[:MAX_LINE_OCTETS], lenient=True) if _CODE_AND_BLANK.fullmatch(line) else None
        return found if isinstance(found, RemoteReply) else None

    def _take_line(self) -> bytes | None:
        held = len(self._buffer)
        try:
            line = self._buffer.take_line(max(0, MAX_REPLY_OCTETS - self._octets))
        except LineTooLong:
            raise ProtocolViolation("sent an endless reply") from None
        self._octets += held - len(self._buffer)
        return line

    def _take(self, line: bytes, *, lenient: bool) -> RemoteReply | StrayLine | None:
        match = (_NEARLY if lenient else _LINE).fullmatch(line)
        if match is None:
            if lenient or not line.strip():
                return StrayLine(printable(line))
            raise ProtocolViolation(f"sent a line that is no reply: {printable(line[:80])}")
        code = int(match[1])
        if self._lines and not lenient and code // 100 != self._code // 100:
            raise ProtocolViolation(f"changed the code within one reply, from {self._code} to {code}")
        self._code = code
        text = match[3] or (match[4] if lenient else b"") or b""
        if match[2] != b"-":
            reply, self._lines, self._octets = RemoteReply(code, (*self._lines, printable(text))), [], 0
            return reply
        if len(self._lines) < MAX_LINES - 1:
            self._lines.append(printable(text))
        return None


def printable(octets: bytes) -> str:
    """Return the octets as one line of text, fit for logs, rows and notifications."""
    text = octets.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text).strip()
