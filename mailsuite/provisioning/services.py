"""Every change of the directory: one function, one transaction, a new directory version.

Admin, pages and commands call these and nothing else. Arguments are what a person typed; what is wrong with them is a
ChangeRefused in plain words. Passwords are hashed and keys made before the transaction begins, since nobody may hold
the write lock meanwhile; those who are in a transaction already pass them in ready made.
"""

from mailsuite.access.credentials import (
    NewAppPassword,
    add_app_password,
    app_passwords_in_force,
    revoke_all_app_passwords,
    revoke_app_password,
)
from mailsuite.access.password_rules import check_strength, hash_password
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused
from mailsuite.provisioning.aliases import add_alias, change_alias
from mailsuite.provisioning.domains import add_domain, change_domain, set_domain_state
from mailsuite.provisioning.forwarding import forward_mailbox, forwarding_of, rename_mailbox, stop_forwarding
from mailsuite.provisioning.mailboxes import (
    add_mailbox,
    change_mailbox,
    joins_account,
    resume_mailbox,
    set_password,
    set_user_password,
    suspend_mailbox,
)
from mailsuite.provisioning.removal import remove_alias, remove_domain, remove_mailbox
from mailsuite.provisioning.restoring import restore_alias, restore_domain, restore_mailbox
from mailsuite.provisioning.send_as import grant_send_as, revoke_send_as

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
