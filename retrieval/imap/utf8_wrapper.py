"""The wrapper that Python's imaplib (3.6 to 3.13.0) puts into a message: `UTF8 (` in front of it and `)` behind.

It takes any OK to ENABLE UTF8=ACCEPT for success, whatever was enabled, and writes the frame that RFC 6855 §4 has
around APPEND's literal within it. No header begins so: in a session that asked for UTF8=ACCEPT the frame is taken off
again, or it would be filed as the message's header.
"""

from retrieval.imap.errors import CommandRefused

OPENING = b"UTF8 ("
FRAME_OCTETS = len(OPENING) + 1


class Unwrapper:
    """A message's octets in as they come, those without the frame out; any other message passes as it is."""

    def __init__(self) -> None:
        self._held = b""
        self._is_decided = self.is_wrapped = False

    def feed(self, octets: bytes) -> bytes:
        """Return what certainly belongs to the message."""
        held = self._held + octets
        if not self._is_decided:
            if len(held) < len(OPENING) and OPENING.startswith(held):
                self._held = held
                return b""
            self._is_decided, self.is_wrapped = True, held.startswith(OPENING)
            held = held.removeprefix(OPENING)
        self._held = held[-1:] if self.is_wrapped else b""  # it is the last octet, or not: the next piece will tell
        return held[:-1] if self.is_wrapped else held

    def end(self) -> bytes:
        """Return what is left. Raises CommandRefused for a frame that does not end."""
        if self.is_wrapped and self._held != b")":
            raise CommandRefused("CANNOT", 'The message begins with "UTF8 (" and has no ")" at its end')
        return b"" if self.is_wrapped else self._held
