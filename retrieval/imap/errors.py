"""Why a command can't be done, as the session answers it (RFC 3501 §7.1)."""


class BadCommand(Exception):
    """The client broke the grammar or a rule: tagged BAD. The text is one line for people."""


class CommandRefused(Exception):
    """The command is fine and can't be done: tagged NO. `code` is a response code (RFC 5530) or empty."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class BrokenAnswer(Exception):
    """An answer can't be completed after a part of it has been sent: only closing the connection is honest."""
