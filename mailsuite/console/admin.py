"""What Django's admin finds of this app: the pages of tables that several rooms have a hand in."""

from mailsuite.console import directory

__all__ = ["directory"]
