"""The directory in the admin. What may be seen and changed by whom: mailsuite.adminkit.scoping."""

from mailsuite.console.directory import accounts, aliases, domains, mailboxes, removed

__all__ = ["accounts", "aliases", "domains", "mailboxes", "removed"]
