"""The directory in the admin. What may be seen and changed by whom: mailsuite.directory.scoping."""

from mailsuite.directory.admin import accounts, aliases, domains, logins, mailboxes, removed

__all__ = ["accounts", "aliases", "domains", "logins", "mailboxes", "removed"]
