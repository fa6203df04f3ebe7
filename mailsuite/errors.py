"""What people are refused, by whatever room, in a sentence that they read on a page or at the shell."""


class ChangeRefused(Exception):
    """The change can't be made; nothing was changed. str() is one line that says why and what to do."""
