"""Mail of a mailbox that goes on to other addresses, with or without a copy that stays; and mailboxes renamed.

A forward is an alias (models.Alias) with the address of the mailbox: its own address among the targets is the copy.
"""

from collections.abc import Sequence

from django.db import transaction

from mailsuite.directory import account_events, parsing
from mailsuite.directory.account_events import ADMINISTRATOR
from mailsuite.directory.models import Alias, AliasTarget, Mailbox, User
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused
from mailsuite.mail.address import Address, parse_address, split_subaddress
from mailsuite.provisioning.aliases import write_alias, write_targets
from mailsuite.provisioning.mailboxes import refuse_taken
from mailsuite.provisioning.removal import leading_to


def forward_mailbox(address: str, targets: Sequence[str], *, keep: bool = True, by: str = ADMINISTRATOR) -> None:
    """Sends the mailbox's mail on to the targets, here or elsewhere, in place of where it went before. Without `keep`
    the mailbox itself gets none of it. Junk is not sent on. `by` tells its owner who did it."""
    with transaction.atomic():
        mailbox = parsing.live_mailbox(address)
        own = parse_address(mailbox.address)
        others = [target for target in targets if parsing.address(target).key != own.key]
        if not others:
            raise ChangeRefused(f"Name the addresses that mail of {mailbox} goes on to, other than its own.")
        alias = _forward_of(mailbox) or Alias.objects.create(
            domain=mailbox.domain,
            kind=Alias.Kind.FORWARD,
            address=mailbox.address,
            address_key=mailbox.address_key,
            members_may_send=False,
        )
        write_targets(alias, [*others, mailbox.address] if keep else others, check_targets=True)
        account_events.forwarded(mailbox.user_id, mailbox.address, others, by, keeps=keep)
        touch_directory()


def stop_forwarding(address: str) -> None:
    """Has the mailbox keep its mail to itself again."""
    with transaction.atomic():
        mailbox = parsing.live_mailbox(address)
        alias = _forward_of(mailbox)
        if alias is None:
            raise ChangeRefused(f"Mail of {mailbox} is not forwarded.")
        alias.delete()
        touch_directory()


def forwarding_of(mailbox: Mailbox) -> tuple[list[str], bool]:
    """Where the mailbox's mail goes on to, and whether it keeps a copy; ([], True) when it is not forwarded."""
    live = AliasTarget.objects.filter(alias__address_key=mailbox.address_key, alias__kind=Alias.Kind.FORWARD)
    targets = dict(live.filter(removed_at=None).order_by("pk").values_list("address_key", "address"))
    keeps = targets.pop(mailbox.address_key, None) is not None or not targets
    return list(targets.values()), keeps


def rename_mailbox(address: str, new_address: str, *, by: str = ADMINISTRATOR) -> None:
    """Gives the mailbox another address, at a hosted domain; the old one stays as an alias, as which its owner may
    still send. Its owner signs in by the new one, with the same password and app passwords, and is told of it; mail and
    folders stay."""
    with transaction.atomic():
        mailbox = parsing.live_mailbox(address)
        old, new = parse_address(mailbox.address), parsing.address(new_address)
        if new.key != old.key:
            _move(mailbox, old, new)
            account_events.renamed(mailbox.user_id, str(old), str(new), by)
        elif str(new) != str(old):
            # The same address in other letters.
            Mailbox.objects.filter(pk=mailbox.pk).update(address=str(new))
        touch_directory()


def move_forward(forward: Alias, old: Address, new: Address) -> None:
    """Has a mailbox's forward follow it to a new address; writes the row."""
    forward.address, forward.address_key = str(new), new.key
    forward.domain = parsing.own_domain(new.domain)
    forward.save()
    forward.targets.filter(address_key=old.key).update(address=str(new), address_key=new.key)


def _move(mailbox: Mailbox, old: Address, new: Address) -> None:
    old_domain, domain = mailbox.domain, parsing.own_domain(new.domain)
    refuse_taken(new)
    _rename_account(mailbox, old, new)
    forward = _forward_of(mailbox)
    mailbox.domain, mailbox.address, mailbox.address_key = domain, str(new), new.key
    mailbox.save(update_fields=["domain", "address", "address_key"])
    if forward:
        move_forward(forward, old, new)
    # Straight to the new address: members may send as an alias only where it leads to their mailbox itself.
    for target in AliasTarget.objects.filter(leading_to(old, old_domain), removed_at=None):
        _, detail = split_subaddress(parse_address(target.address).local_part)
        moved = Address(f"{new.local_part}+{detail}", new.domain) if detail else new
        if AliasTarget.objects.filter(alias=target.alias_id, address_key=moved.key).exists():
            target.delete()
        else:
            AliasTarget.objects.filter(pk=target.pk).update(address=str(moved), address_key=moved.key)
    write_alias(str(old), [str(new)], members_may_send=True)


def _rename_account(mailbox: Mailbox, old: Address, new: Address) -> None:
    """The account too, when it is named for the mailbox."""
    user = mailbox.user
    if user.address_key != old.key:
        return
    if User.objects.filter(address_key=new.key).exists():
        raise ChangeRefused(f"There is another account {new}: choose another address.")
    User.objects.filter(pk=user.pk).update(email=str(new), address_key=new.key)


def _forward_of(mailbox: Mailbox) -> Alias | None:
    return Alias.objects.filter(kind=Alias.Kind.FORWARD, address_key=mailbox.address_key).first()
