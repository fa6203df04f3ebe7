"""What Django's admin finds of this app: the pages of tables that several rooms have a hand in."""

from mailsuite.console import directory, job_list
from mailsuite.console.stories import admin as stories

__all__ = ["directory", "job_list", "stories"]
