"""Reading what a remote host says: replies out of octets, with limits, since any host can be anybody's.

reply-line = *( code "-" [ text ] CRLF ) code [ SP text ] CRLF      RFC 5321 §4.2
"""

import re
from dataclasses import dataclass

# RFC 5321 §4.5.3.1.5 says 512; real hosts send explanations much longer.
MAX_LINE_OCTETS = 4096
MAX_LINES = 200
# Of what is kept of a reply, in the rows of the recipient, its attempts and its story, and is told to the sender: a
# host could else fill our disk by putting off what we send it, again and again.
MAX_TEXT = 1000

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?:\s|$)", re.ASCII)


class ProtocolViolation(Exception):
    """The remote host said what no SMTP server says; str() tells what, for the story."""


@dataclass(frozen=True, slots=True)
class RemoteReply:
    """One reply of a remote host. `lines` are its texts without codes, made printable."""

    code: int
    lines: tuple[str, ...]

    @property
    def enhanced_code(self) -> str:
        """Return the enhanced code the host gave (RFC 2034 §4), or "" when there is none or it contradicts the code."""
        match = _ENHANCED.match(self.lines[0])
        return match[0].strip() if match and int(match[1]) == self.code // 100 else ""

    def __str__(self) -> str:
        """Return the reply in one line, cut where it goes on for long."""
        text = f"{self.code} {' '.join(line for line in self.lines if line)}".rstrip()
        return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


class ReplyReader:
    """Octets in as they come, whole replies out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._code = 0
        self._lines: list[str] = []

    @property
    def is_between_replies(self) -> bool:
        return not self._buffer and not self._lines

    def feed(self, data: bytes) -> list[RemoteReply]:
        """Return the replies that are now complete. Raises ProtocolViolation."""
        self._buffer += data
        replies: list[RemoteReply] = []
        start = 0
        while (end := self._buffer.find(b"\n", start)) >= 0:
            if end - start > MAX_LINE_OCTETS:
                raise ProtocolViolation("sent an endless line")
            reply = self._take(bytes(self._buffer[start:end]).removesuffix(b"\r"))
            start = end + 1
            if reply:
                replies.append(reply)
        del self._buffer[:start]
        if len(self._buffer) > MAX_LINE_OCTETS:
            raise ProtocolViolation("sent an endless line")
        return replies

    def _take(self, line: bytes) -> RemoteReply | None:
        match = _LINE.fullmatch(line)
        if match is None:
            raise ProtocolViolation(f"sent a line that is no reply: {printable(line[:80])}")
        code = int(match[1])
        if self._lines and code != self._code:
            raise ProtocolViolation(f"changed the code within one reply, from {self._code} to {code}")
        if len(self._lines) >= MAX_LINES:
            raise ProtocolViolation("sent an endless reply")
        self._code = code
        self._lines.append(printable(match[3] or b""))
        if match[2] == b"-":
            return None
        reply, self._lines = RemoteReply(code, tuple(self._lines)), []
        return reply


def printable(octets: bytes) -> str:
    """Return the octets as one line of text, fit for logs, rows and notifications."""
    text = octets.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text).strip()
