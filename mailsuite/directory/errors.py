"""What people are refused, here and in the rooms above."""


class DirectoryError(Exception):
    """The change can't be made; nothing was changed. str() is one line that says why and what to do."""
