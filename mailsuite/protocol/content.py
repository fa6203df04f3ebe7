"""A message's octets on a connection where a dot alone in its line ends them: SMTP's DATA (RFC 5321 §4.5.2) and POP3's
multi-line responses (RFC 1939 §3). `ContentReader` reads what comes, `DotStuffer` writes what goes, chunk by chunk.

The end is CRLF.CRLF and nothing else, found across chunk borders; transparency is undone by replacing. Whatever is
told apart here would be told apart differently by another server: bare CR and bare LF are how messages are smuggled
(CVE-2023-51764), so both are seen and named, and none of them ever ends a message.
"""

from mailsuite.mail.header import normalize_line_ends

END_OF_DATA = b"\r\n.\r\n"
# What of the end may stand at a chunk's end, the longest first
_BEGINNINGS = tuple(END_OF_DATA[:length] for length in range(len(END_OF_DATA) - 1, 0, -1))


class ContentReader:
    """Feed it chunks until `ended`; then `rest` holds what came after the end. `size_octets` counts what it returned.

    The flaws are known for what was returned so far: `has_bare_line_ending` (CR or LF alone), `has_nul`. With
    `normalize` bare ones are made CRLF, as a submission server may (RFC 6409 §8); they still end nothing.
    """

    __slots__ = ("_held", "_skip", "ended", "has_bare_line_ending", "has_nul", "normalizes", "rest", "size_octets")

    def __init__(self, *, normalize: bool = False) -> None:
        self.normalizes = normalize
        # As if the line before had just ended: a dot alone in the first line ends an empty message.
        self._held = b"\r\n"
        self._skip = 2
        self.ended = False
        self.rest = b""
        self.size_octets = 0
        self.has_bare_line_ending = False
        self.has_nul = False

    def feed(self, chunk: bytes) -> bytes:
        """Return the content that is certain by now, dots undone; perhaps none."""
        octets = self._held + chunk if self._held else chunk
        # Most chunks have no line that begins with a dot: one search tells it.
        dot = octets.find(b"\r\n.")
        end = octets.find(END_OF_DATA, dot) if dot >= 0 else -1
        if end >= 0:
            self.ended, self.rest, self._held = True, octets[end + len(END_OF_DATA) :], b""
            octets = octets[: end + 2]
        else:
            self._held = next((start for start in _BEGINNINGS if octets.endswith(start)), b"")
            octets = octets[: len(octets) - len(self._held)]
        if not octets:
            return b""
        self._judge(octets)
        content = octets.replace(b"\r\n.", b"\r\n") if dot >= 0 else octets
        if self.normalizes and self.has_bare_line_ending:
            content = normalize_line_ends(content)
        return self._done(content)

    def _judge(self, octets: bytes) -> None:
        # A CR at the very end is always held back, so no pair is cut in two here.
        self.has_nul = self.has_nul or b"\0" in octets
        pairs = octets.count(b"\r\n")
        if octets.count(b"\n") != pairs or octets.count(b"\r") != pairs:
            self.has_bare_line_ending = True

    def _done(self, content: bytes) -> bytes:
        if self._skip:
            content, self._skip = content[self._skip :], 0
        self.size_octets += len(content)
        return content


class DotStuffer:
    """Doubles the dot that begins a line, across chunks, and ends the content; one for each message.

    A dot behind a bare LF is doubled too: many programs take LF for a line's end, and a message that holds one must
    not end for them.
    """

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def stuff(self, chunk: bytes) -> bytes:
        """Return the chunk as it goes out."""
        if not chunk:
            return b""
        first = b"." if chunk.startswith(b".") and self._tail.endswith(b"\n") else b""
        self._tail = (self._tail + chunk)[-2:] if len(chunk) < 2 else chunk[-2:]
        return first + chunk.replace(b"\n.", b"\n..")

    def end(self) -> bytes:
        """Return what closes the content: the line's end that the message may lack, and the dot."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"
