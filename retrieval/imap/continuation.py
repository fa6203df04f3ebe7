r"""What a running command may ask of its client: a line, a piece of a literal, or a line unless the folder changes.

A handler yields one of these and gets the answer as the value of its `yield`:

    response = yield NextLine(b"+ " + challenge + b"\r\n")

The session (retrieval.imap.session) does the rest for all of them: it says the prompt behind what the handler said
before, lets the handler stand until the octets are there, bounds the line, keeps the time, has pipelined commands wait,
and when the connection ends meanwhile it closes the handler, so that what is to be cleaned up belongs into `finally`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NextLine:
    """Answered by the client's next line without its end, of at most `login_line_octets`. A client that gets no prompt
    is in the middle of its command, and sends on by itself."""

    prompt: bytes = b""

    @property
    def is_mid_command(self) -> bool:
        """Whether the client sends on without a word of ours."""
        return not self.prompt


@dataclass(frozen=True, slots=True)
class NextOctets:
    """Answered by what has arrived of a literal: from one octet to `at_most`."""

    at_most: int
    prompt: bytes = b""

    @property
    def is_mid_command(self) -> bool:
        """Whether the client sends on without a word of ours."""
        return True


@dataclass(frozen=True, slots=True)
class NextLineOrChange:
    """Answered by a line as NextLine is, or by None when the selected folder may have changed. The client may be silent
    for long, and hears a sign of life now and then."""

    prompt: bytes = b""

    @property
    def is_mid_command(self) -> bool:
        """Whether the client sends on without a word of ours."""
        return False


Ask = NextLine | NextOctets | NextLineOrChange
