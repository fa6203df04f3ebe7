"""What a removal does beside making an address unknown, in sentences for those who are asked, or have done it."""

from collections.abc import Collection, Sequence
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from mailsuite.directory.models import KEPT_REMOVED, Alias, AliasTarget, Domain, Mailbox, SendAs
from mailsuite.directory.resolution import ROLES
from mailsuite.mail.address import AddressError, parse_address
from mailsuite.provisioning.forwarding import forwarding_of
from mailsuite.provisioning.removal import LIVE, ends_account, leading_to
from mailsuite.queue.models import QueuedMessage
from mailsuite.sizes import readable

NAMED = 10
KEPT = f"For {KEPT_REMOVED.days} days it can be restored with its mail; then that is deleted."
ROLE_READER = "an administrator's mailbox, else to the domain's oldest"
NOT_RESTORED = (
    "Its app passwords, permissions to send as somebody and administration of domains were ended by the removal: give "
    "them anew where they are wanted."
)


def of_mailbox(mailbox: Mailbox, scope: Collection[int] | None = None) -> list[str]:
    """What removing the mailbox does; to be read before it is done. Of the domains in `scope` alone, unless it is None,
    aliases and people are named."""
    led = _leading_to(mailbox)
    found = [*_of_aliases(AliasTarget.objects.filter(led), scope), _of_grants(mailbox, scope)]
    found += [_of_account(mailbox, scope), _of_queue(QueuedMessage.objects.filter(sender_mailbox=mailbox))]
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


def of_alias(alias: Alias, scope: Collection[int] | None = None) -> list[str]:
    """What removing the alias does; `scope` as above."""
    found = [f"Mail to {alias} no longer goes to {_some(alias.targets.filter(removed_at=None).order_by('pk'))}."]
    if alias.kind == Alias.Kind.ADDRESS:
        found += _of_aliases(AliasTarget.objects.filter(_leading_to(alias)), scope)
        if alias.address_key.rpartition("@")[0] in ROLES:
            found.append(f"Mail to {alias} then goes to {ROLE_READER}.")
    return [*found, f"For {KEPT_REMOVED.days} days it can be restored."]


def forwarded(mailbox: Mailbox) -> str:
    """Where mail of the mailbox goes, to be read after "Mail of …"."""
    targets, keeps = forwarding_of(mailbox)
    if not targets:
        return "stays in it"
    return f"goes on to {', '.join(targets)}; {'a copy stays' if keeps else 'no copy stays'}"


def renaming(mailbox: Mailbox) -> str:
    """What another address will mean."""
    named = " Its account is named so too." if mailbox.user.address_key == mailbox.address_key else ""
    return (
        "Mail programs then must sign in by the new address, with the same password or app password. Mail to "
        f"{mailbox} still arrives, by an alias, and its owner may still send as that. Mail and folders stay.{named}"
    )


def renamed(old: str, new: str) -> str:
    """What the owner must know of a mailbox with another address."""
    return (
        f"Mail programs must sign in as {new} from now on, with the same password or app password. Mail to {old} still "
        "arrives, by an alias, and its owner may still send as that."
    )


def of_restoring_mailbox(mailbox: Mailbox, scope: Collection[int] | None = None) -> list[str]:
    """What restoring the mailbox brings back, and what not; `scope` as above."""
    found = [f"Its mail ({readable(mailbox.usage.used_octets)}), folders, rules and forwarding come back."]
    if mailbox.user.removed_at:
        found.append(f"{_account_of(mailbox, scope)} comes back with its password.")
    else:
        found.append(f"{_account_of(mailbox, scope)} is there, and owns it again.")
    if mailbox.state_before_removal == Mailbox.State.SUSPENDED:
        found.append("It was suspended, and will be.")
    return [*found, "Aliases lead to it again where they still are and its address is the same.", NOT_RESTORED]


def of_restoring_alias(alias: Alias) -> str:
    """What restoring the alias brings back."""
    return f"Mail to {alias} goes to its targets again, and other aliases lead to it as before."


def of_restoring_domain(domain: Domain) -> list[str]:
    """What restoring the domain brings back, and what not."""
    together = {"domain": domain, "removed_at": domain.removed_at}
    mailboxes = Mailbox.objects.filter(**together).count()
    aliases = Alias.objects.filter(**together).exclude(kind=Alias.Kind.FORWARD).count()
    found = [f"What went with it comes back: mailboxes ({mailboxes}) with their mail, aliases ({aliases}), DKIM keys."]
    if domain.state_before_removal == Domain.State.DISABLED:
        found.append("It was disabled, and will be.")
    return [
        *found,
        "Accounts come back with their passwords. App passwords and permissions to send as somebody do not, and nobody "
        "administers the domain until you say who.",
    ]


def without_target() -> QuerySet[Alias]:
    """Aliases in use that lead nowhere, since what they led to was removed."""
    living = AliasTarget.objects.filter(alias=OuterRef("pk"), removed_at=None)
    led_nowhere = Alias.objects.using("reader").filter(~Exists(living), removed_at=None, is_active=True)
    return led_nowhere.exclude(kind=Alias.Kind.FORWARD).exclude(_is_role())


def _of_aliases(targets: QuerySet[AliasTarget], scope: Collection[int] | None) -> list[str]:
    """What becomes of the aliases that have these targets."""
    targets = targets.filter(removed_at=None, alias__removed_at=None).exclude(alias__kind=Alias.Kind.FORWARD)
    aliases = Alias.objects.filter(pk__in=targets.values("alias"))
    foreign = 0 if scope is None else aliases.exclude(domain__in=scope).count()
    aliases = aliases if scope is None else aliases.filter(domain__in=scope)
    others = AliasTarget.objects.filter(alias=OuterRef("pk"), removed_at=None).exclude(pk__in=targets.values("pk"))
    is_role = _is_role()
    left, emptied = aliases.filter(Exists(others)), aliases.filter(~Exists(others))
    found = []
    if names := _some(left):
        found.append(f"Aliases that lead there go on to their other targets alone: {names}.")
    if names := _some(emptied.filter(is_role)):
        found.append(f"Nobody else reads {names}: that mail then goes to {ROLE_READER}.")
    if names := _some(emptied.exclude(is_role)):
        found.append(f"Aliases that lead there and nowhere else take no mail any more: {names}.")
    if foreign:
        found.append(f"Aliases of others' domains lead there no more ({foreign}).")
    return found


def roles_read_by(address: str) -> list[str]:
    """postmaster@ and abuse@ of the address' own domain, where their aliases lead to it."""
    parsed = parse_address(address)
    roles = [f"{role}@{parsed.domain}" for role in ROLES]
    live = AliasTarget.objects.filter(removed_at=None, alias__removed_at=None, alias__address_key__in=roles)
    found = live.filter(address_key=parsed.key).order_by("alias__pk")
    return list(found.values_list("alias__address", flat=True))


def _leading_to(row: Mailbox | Alias) -> Q:
    try:
        return leading_to(parse_address(row.address), row.domain)
    except AddressError:
        # Nothing leads to what is no address; the page is shown all the same.
        return Q(pk__in=())


def _is_role() -> Q:
    found = Q()
    for role in ROLES:
        found |= Q(address_key__startswith=f"{role}@")
    return found


def _of_grants(mailbox: Mailbox, scope: Collection[int] | None) -> str:
    grants = SendAs.objects.filter(_leading_to(mailbox))
    users = grants.values_list("user__email", flat=True)
    who = _some(users) if scope is None else str(users.count())
    return f"Those who may send as {mailbox} may no more: {who}." if users else ""


def _of_account(mailbox: Mailbox, scope: Collection[int] | None) -> str:
    user, account = mailbox.user, _account_of(mailbox, scope)
    if ends_account(mailbox):
        rights = " and administers no domain any more" if user.is_staff else ""
        return f"{account} goes with it{rights}; its app passwords and permissions end for good."
    if user.is_staff:
        return f"{account} stays: it is an administrator's."
    return f"{account} stays, since it has other mailboxes, which its password goes on opening."


def _account_of(mailbox: Mailbox, scope: Collection[int] | None) -> str:
    """The account, named where it is the mailbox's own or whoever reads may know all."""
    user = mailbox.user
    is_own = user.email == mailbox.address
    return f"The account {user}" if is_own or scope is None else "Its account"


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
