"""What mailboxes use of their quota, for those who ask before mail is filed; the store keeps the count as it files."""

from collections.abc import Sequence

from mailsuite.database.sql import Select, placeholders, slices
from mailsuite.store.models import Usage

_USED = Select(Usage, "mailbox", "used_octets")


def used_octets(mailbox_ids: Sequence[int]) -> dict[int, int]:
    """What these mailboxes hold now, in octets; never remembered."""
    found: dict[int, int] = {}
    for some in slices(mailbox_ids):
        rows = _USED.rows(f"mailbox_id IN ({placeholders(some)})", some)
        found.update((mailbox_id, octets) for mailbox_id, octets in rows)
    return {mailbox_id: found.get(mailbox_id, 0) for mailbox_id in mailbox_ids}
