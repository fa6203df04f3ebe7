"""The admin's pages of access: logins, throttled logins, bans."""

from mailsuite.access.admin import bans, logins

__all__ = ["bans", "logins"]
