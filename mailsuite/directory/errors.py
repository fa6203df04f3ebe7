"""What the directory refuses."""


class DirectoryError(Exception):
    """The change can't be made; nothing was changed. str() is one line that says why and what to do."""
