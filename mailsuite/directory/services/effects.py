"""What a removal does beside making an address unknown, in sentences for those who are asked, or have done it."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from mailsuite.directory.models import KEPT_REMOVED, Alias, AliasTarget, Domain, Mailbox, SendAs
from mailsuite.directory.resolution import ROLES
from mailsuite.directory.services.forwarding import forwarding_of
from mailsuite.directory.services.removal import LIVE, ends_account, leading_to
from mailsuite.mail.address import parse_address
from mailsuite.queue.models import QueuedMessage

NAMED = 10
KEPT = f"For {KEPT_REMOVED.days} days it can be restored with its mail; then that is deleted."
NOT_RESTORED = (
    "Its app passwords, permissions to send as somebody and administration of domains were ended by the removal: give "
    "them anew where they are wanted."
)


def of_mailbox(mailbox: Mailbox) -> list[str]:
    """What removing the mailbox does; to be read before it is done."""
    address = parse_address(mailbox.address)
    found = [*_of_aliases(AliasTarget.objects.filter(leading_to(address, mailbox.domain))), _of_grants(mailbox)]
    found += [_of_account(mailbox), _of_queue(QueuedMessage.objects.filter(sender_mailbox=mailbox))]
    if Alias.objects.filter(kind=Alias.Kind.FORWARD, address_key=mailbox.address_key).exists():
        found.append("Its mail is forwarded no more.")
    return [*filter(None, found), KEPT]


def of_domain(domain: Domain) -> list[str]:
    """What removing the domain does."""
    mailboxes = Mailbox.objects.filter(LIVE, domain=domain)
    aliases = Alias.objects.filter(domain=domain, removed_at=None).exclude(kind=Alias.Kind.FORWARD)
    found = []
    if count := mailboxes.count():
        found.append(f"Mailboxes that go with it ({count}): {_some(mailboxes)}.")
    if count := aliases.count():
        found.append(f"Aliases that go with it ({count}): {_some(aliases)}.")
    others = domain.domain_aliases.exclude(state=Domain.State.REMOVED)
    if others:
        found.append(f"Its other names go with it: {_some(others)}.")
    from_elsewhere = Alias.objects.exclude(domain=domain).filter(
        removed_at=None, targets__address_key__endswith=f"@{domain.name}", targets__removed_at=None
    )
    if names := _some(from_elsewhere.distinct()):
        found.append(f"Aliases of other domains lead there; it goes out to where the domain is then: {names}.")
    if administrators := _some(domain.administrators.all()):
        found.append(f"Nobody administers it any more; now: {administrators}.")
    found.append(_of_queue(QueuedMessage.objects.filter(sender_mailbox__in=mailboxes)))
    return [*filter(None, found), KEPT]


def of_alias(alias: Alias) -> list[str]:
    """What removing the alias does."""
    found = []
    if alias.kind == Alias.Kind.ADDRESS:
        address = parse_address(alias.address)
        found = _of_aliases(AliasTarget.objects.filter(leading_to(address, alias.domain)))
        if address.local_part.lower() in ROLES:
            found.append(f"Mail to {alias} then goes to whoever administers {alias.domain}.")
    return [*found, f"For {KEPT_REMOVED.days} days it can be restored."]


def forwarded(mailbox: Mailbox) -> str:
    """Where mail of the mailbox goes, to be read after "Mail of …"."""
    targets, keeps = forwarding_of(mailbox)
    if not targets:
        return "stays in it"
    return f"goes on to {', '.join(targets)}; {'a copy stays' if keeps else 'no copy stays'}"


def renamed(old: str, new: str) -> str:
    """What the owner must know of a mailbox with another address."""
    return (
        f"Mail programs must sign in as {new} from now on, with the same password or app password. Mail to {old} still "
        "arrives, by an alias, and its owner may still send as that."
    )


def without_target() -> QuerySet[Alias]:
    """Aliases in use that lead nowhere, since what they led to was removed."""
    living = AliasTarget.objects.filter(alias=OuterRef("pk"), removed_at=None)
    return Alias.objects.filter(~Exists(living), removed_at=None, is_active=True)


def _of_aliases(targets: QuerySet[AliasTarget]) -> list[str]:
    """What becomes of the aliases that have these targets."""
    targets = targets.filter(removed_at=None, alias__removed_at=None).exclude(alias__kind=Alias.Kind.FORWARD)
    aliases = Alias.objects.filter(pk__in=targets.values("alias"))
    others = AliasTarget.objects.filter(alias=OuterRef("pk"), removed_at=None).exclude(pk__in=targets.values("pk"))
    is_role = Q()
    for role in ROLES:
        is_role |= Q(address_key__startswith=f"{role}@")
    left, emptied = aliases.filter(Exists(others)), aliases.filter(~Exists(others))
    found = []
    if names := _some(left):
        found.append(f"Aliases that lead there go on to their other targets alone: {names}.")
    if names := _some(emptied.filter(is_role)):
        found.append(f"Nobody else reads {names}: that mail then goes to whoever administers the domain.")
    if names := _some(emptied.exclude(is_role)):
        found.append(f"Aliases that lead there and nowhere else take no mail any more: {names}.")
    return found


def _of_grants(mailbox: Mailbox) -> str:
    address = parse_address(mailbox.address)
    users = SendAs.objects.filter(leading_to(address, mailbox.domain)).values_list("user__email", flat=True)
    return f"Those who may send as {mailbox} may no more: {_some(users)}." if users else ""


def _of_account(mailbox: Mailbox) -> str:
    user = mailbox.user
    if ends_account(mailbox):
        rights = " and administers no domain any more" if user.is_staff else ""
        return f"The account {user} goes with it{rights}; its app passwords and permissions end for good."
    if user.is_staff:
        return f"The account {user} stays: it is an administrator's."
    return f"The account {user} stays, since it has other mailboxes, which its password goes on opening."


def _of_queue(messages: QuerySet[QueuedMessage]) -> str:
    waiting = messages.filter(settled_at=None).count()
    held = messages.filter(settled_at=None).exclude(held_at=None).count()
    if not waiting:
        return ""
    of_held = f" {held} of them are held: send or drop those in the queue." if held else ""
    return f"Mail from it that waits in the queue ({waiting}) still goes out.{of_held}"


def _some(rows: "QuerySet[Any] | Sequence[object]") -> str:
    """Names of the first few."""
    names = [str(row) for row in rows[: NAMED + 1]]
    return ", ".join(names[:NAMED]) + (" and others" if len(names) > NAMED else "")
