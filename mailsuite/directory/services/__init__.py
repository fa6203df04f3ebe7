"""Every change of the directory: one function, one transaction, a new directory version.

Admin, pages and commands call these and nothing else. Arguments are what a person typed; what is wrong with them is a
ChangeRefused in plain words. Passwords are hashed and keys made before the transaction begins, since nobody may hold
the write lock meanwhile; those who are in a transaction already pass them in ready made.
"""

from mailsuite.directory.services.aliases import add_alias, change_alias
from mailsuite.directory.services.credentials import (
    NewAppPassword,
    add_app_password,
    app_passwords_in_force,
    grant_send_as,
    revoke_all_app_passwords,
    revoke_app_password,
    revoke_send_as,
)
from mailsuite.directory.services.domains import add_domain, change_domain, set_domain_state
from mailsuite.directory.services.forwarding import forward_mailbox, forwarding_of, rename_mailbox, stop_forwarding
from mailsuite.directory.services.mailboxes import (
    add_mailbox,
    change_mailbox,
    joins_account,
    resume_mailbox,
    set_password,
    set_user_password,
    suspend_mailbox,
)
from mailsuite.directory.services.passwords import check_strength, hash_password
from mailsuite.directory.services.removal import remove_alias, remove_domain, remove_mailbox
from mailsuite.directory.services.restoring import restore_alias, restore_domain, restore_mailbox
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused

__all__ = [
    "ChangeRefused",
    "NewAppPassword",
    "add_alias",
    "add_app_password",
    "app_passwords_in_force",
    "add_domain",
    "add_mailbox",
    "change_alias",
    "change_domain",
    "change_mailbox",
    "check_strength",
    "forward_mailbox",
    "forwarding_of",
    "grant_send_as",
    "hash_password",
    "joins_account",
    "remove_alias",
    "remove_domain",
    "remove_mailbox",
    "rename_mailbox",
    "restore_alias",
    "restore_domain",
    "restore_mailbox",
    "resume_mailbox",
    "revoke_all_app_passwords",
    "revoke_app_password",
    "revoke_send_as",
    "set_domain_state",
    "set_password",
    "set_user_password",
    "stop_forwarding",
    "suspend_mailbox",
    "touch_directory",
]
