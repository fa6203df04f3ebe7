"""Permissions to send as an address that is not one's own."""

from django.db import transaction

from mailsuite.directory import parsing
from mailsuite.directory.models import SendAs, User
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused


def grant_send_as(user_id: int, address: str) -> int:
    """Lets the user send as an address, or as anyone of a domain when it is `@example.org`; returns the grant's id."""
    text, key = send_as_key(address)
    with transaction.atomic():
        if not User.objects.filter(pk=user_id).exists():
            raise ChangeRefused("There is no such account.")
        row, _ = SendAs.objects.get_or_create(user_id=user_id, address_key=key, defaults={"address": text})
        touch_directory()
    return row.pk


def revoke_send_as(grant_id: int) -> None:
    """Ends the permission, within seconds also in open sessions; none of that id is no error."""
    with transaction.atomic():
        SendAs.objects.filter(pk=grant_id).delete()
        touch_directory()


def send_as_key(address: str) -> tuple[str, str]:
    """What to show and the key to find it by, of an address or `@domain`."""
    if address.strip().startswith("@"):
        text = f"@{parsing.domain_name(address.strip()[1:])}"
        return text, text
    parsed = parsing.address(address)
    return str(parsed), parsed.key
