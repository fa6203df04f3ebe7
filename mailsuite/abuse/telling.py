"""Who hears of what goes wrong here: alarms, held mail, DNS that got worse, a certificate that ends. One way for all.

Told are, each once, by a mail of their own:

- the addresses that the site named for it (Abuse, Who is told), which may be on other hosts
- where it is about a domain, a mailbox of each of that domain's administrators
- when there are none of these, the mailboxes of the site's administrators
- when there are none either, whoever postmaster@ of the domain or of this host leads to

A host that refused the last such mail to an address counts as none: it is tried again, and the next are told as well.

Never the mailbox that something suspicious was seen of, nor another of the same account, nor what these send their mail
on to: whoever has stolen its password reads what comes there.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from msgspec import structs

from mailsuite.abuse.models import AlarmSettings
from mailsuite.directory import lookup
from mailsuite.directory.models import Alias, Domain, Mailbox
from mailsuite.directory.resolution import Kind
from mailsuite.errors import ChangeRefused
from mailsuite.ids import new_id
from mailsuite.mail.address import Address, AddressError, parse_address, parse_path
from mailsuite.pipeline import own_mail
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.destinations import Destinations
from mailsuite.pipeline.notices import file_notice, write
from mailsuite.pipeline.own_mail import OwnMail
from mailsuite.pipeline.parties import Program
from mailsuite.pipeline.transaction import Note
from mailsuite.queue.models import QueuedRecipient
from mailsuite.store.operations import Deliver

logger = logging.getLogger(__name__)

MAX_NAMED = 20
# Where `readers` finds none.
NOBODY = "no address is named, and no administrator has a mailbox. What is about one domain goes to its postmaster@."
EXPIRES_AFTER = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Matter:
    """What is told: `reason` is the story's word; `domain` the one that it is about; `suspect` the mailbox that must
    not read it."""

    subject: str
    text: str
    reason: str
    domain: Domain | None = None
    suspect: Mailbox | None = None


@dataclass(slots=True)
class _Told:
    """Mailboxes and addresses that have it already."""

    mailboxes: set[int]
    addresses: set[str] = field(default_factory=set)


def tell(matter: Matter, now: datetime) -> int:
    """Files the mails; returns how many were told. When nobody is, the log has it."""
    told, count = _Told(_mailboxes_of(matter.suspect)), 0
    for addresses in _groups(matter):
        reached = [address for address in addresses if _tell(matter, address, told, now)]
        count += len(reached)
        if any(refusal(address) is None for address in reached):
            return count
    if not count:
        logger.warning("nobody can be told of this: %s. Name somebody: manage.py alarms tell ADDRESS", matter.subject)
    return count


def named() -> list[str]:
    """The addresses that the site named."""
    row = AlarmSettings.objects.using("reader").filter(pk=1).first()
    return row.recipients.split() if row else []


def name(addresses: Iterable[str]) -> list[str]:
    """Has these be told from now on, none to leave it to postmaster@; returns them as they are kept. Raises
    ChangeRefused for what is no address, or leads nowhere here."""
    found = list(dict.fromkeys(checked(text) for text in addresses))
    if len(found) > MAX_NAMED:
        raise ChangeRefused(f"Name {MAX_NAMED} addresses at most; an alias may lead to more.")
    with transaction.atomic():
        AlarmSettings.objects.update_or_create(pk=1, defaults={"recipients": "\n".join(found)})
    return found


def checked(text: str) -> str:
    """The address in its one form. Raises ChangeRefused."""
    try:
        address = parse_address(text.strip())
    except AddressError as error:
        raise ChangeRefused(f"{text.strip()[:100]!r} is no address. {error}.") from None
    resolution = lookup.resolve(address)
    if resolution.kind is Kind.UNHOSTED:
        if lookup.hosted_domain(address.domain) is None and address.domain == settings.MAILSUITE.hostname:
            raise ChangeRefused(f"Nobody has a mailbox at this host's own name: {address} leads nowhere.")
        return str(address)
    if not (resolution.local or resolution.remote):
        raise ChangeRefused(f"Nobody reads mail to {address} here: add the mailbox or alias first.")
    return str(address)


def readers() -> list[str]:
    """Who would be told of something about the whole site, as addresses; none when it is nobody."""
    matter = Matter("", "", "")
    for addresses in _groups(matter):
        found: list[str] = []
        for address in addresses:
            to = _destinations(address, matter)
            found += [copy.target.address for copy in to.copies.values()]
            found += to.addresses_elsewhere.values()
        if found:
            return list(dict.fromkeys(found))
    return []


def lost() -> list[str]:
    """Those of the named addresses that lead nowhere any more."""
    matter = Matter("", "", "")
    return [text for text in named() if not (found := _address(text)) or _destinations(found, matter).is_empty]


def refused() -> dict[str, str]:
    """Those of the named addresses whose hosts refused the last such mail, with what they said."""
    found = ((address, refusal(address)) for text in named() if (address := _address(text)))
    return {str(address): reply for address, reply in found if reply is not None}


def refusal(address: Address) -> str | None:
    """What the other host said when it refused the last mail of our own to this address; None when it did not, or there
    was none for as long as the queue remembers."""
    settled = QueuedRecipient.objects.using("reader").filter(
        destination=address.domain, forward_path=str(address), message__reverse_path="", settled_at__isnull=False
    )
    state, reply = settled.order_by("-pk").values_list("state", "last_reply").first() or ("", "")
    return reply if state == QueuedRecipient.State.FAILED else None


def test(now: datetime) -> list[str]:
    """Sends a test alarm; returns to whom. Raises ChangeRefused when there is nobody."""
    to = readers()
    matter = Matter("A test alarm", TEST_TEXT.format(host=settings.MAILSUITE.hostname), "alarm-test")
    if not to or not tell(matter, now):
        raise ChangeRefused("Nobody can be told: name an address for it, or give an administrator a mailbox.")
    return to


TEST_TEXT = """\
This is how {host} tells of alarms, held mail, DNS records that got worse and
a certificate that ends. Nothing is wrong: somebody asked for this test.

Who is told is set in the admin (Abuse, Who is told), or in the shell:

    manage.py alarms tell you@example.net
"""


def _groups(matter: Matter) -> Iterator[Sequence[Address]]:
    """Whom to tell; each group only when nobody of the ones before could be."""
    first = [found for text in named() if (found := _address(text))]
    if matter.domain:
        ids = [matter.domain.pk, matter.domain.alias_of_id or matter.domain.pk]
        first += _one_for_each(Mailbox.objects.filter(user__administered_domains__in=ids, user__is_staff=True))
    yield first
    yield _one_for_each(Mailbox.objects.filter(user__is_superuser=True))
    if matter.domain:
        yield [Address("postmaster", matter.domain.name)]
    postmaster = parse_path("<postmaster>").address
    yield [postmaster] if postmaster else []


def _address(text: str) -> Address | None:
    """The address of a row, which others than this program may have written."""
    try:
        return parse_address(text)
    except AddressError:
        return None


def _one_for_each(mailboxes: QuerySet[Mailbox]) -> list[Address]:
    """One mailbox of each account, its oldest."""
    live = mailboxes.filter(state=Mailbox.State.ACTIVE, user__is_active=True).order_by("-pk")
    oldest = dict(live.values_list("user", "address"))
    return [parse_address(address) for address in reversed(oldest.values())]


def _tell(matter: Matter, address: Address, told: _Told, now: datetime) -> int:
    """Whether the address is reached; not when all that it leads to was told already, or must not be."""
    to = _destinations(address, matter).without(told.mailboxes, told.addresses)
    if to.is_empty or not file_notice(_mail(matter, address, to, now)):
        return 0
    told.mailboxes.update(to.copies)
    told.addresses.update(to.addresses_elsewhere)
    return 1


def _destinations(address: Address, matter: Matter) -> Destinations:
    to = own_mail.destinations_of([address], elsewhere=True)
    if matter.suspect:
        to = _leave_out_sent_on(to, address, matter.suspect)
    to.reports.clear()
    # What is kept for want of a reader tells nobody, and the admin's first page shows what it would say.
    to.kept.clear()
    return to


def _leave_out_sent_on(to: Destinations, address: Address, suspect: Mailbox) -> Destinations:
    """Takes off what the suspect's mailboxes send their mail on to, where they are among the readers: whoever has
    stolen the password may have had that set."""
    keys = suspect.user.mailboxes.exclude(state=Mailbox.State.REMOVED).values("address_key")
    forwards = Alias.objects.filter(kind=Alias.Kind.FORWARD, address_key__in=keys, removed_at=None)
    followed = {part.key.split(" of ")[0] for part in lookup.resolve(address).parts}
    for forward in forwards:
        if f"alias {forward.pk}" not in followed:
            continue
        targets = forward.targets.filter(removed_at=None).values_list("address", flat=True)
        sent_on = [found for text in targets if (found := _address(text))]
        astray = own_mail.destinations_of(sent_on)
        to = to.without(astray.copies, {one.key for one in sent_on}.union(astray.addresses_elsewhere))
    return to


def _mail(matter: Matter, address: Address, to: Destinations, now: datetime) -> Deliver:
    story_id, domain_id = new_id(), matter.domain.pk if matter.domain else None
    program = Program(_sender(matter.domain), domain_id)
    text = str(address) if address.domain else f"{address.local_part}@{settings.MAILSUITE.hostname}"
    octets = write(program.domain, text, matter.subject, matter.text, matter.reason, now, story_id)
    mail = OwnMail(octets, program, now, Note(matter.reason), story_id=story_id, expires_after=EXPIRES_AFTER)
    delivery = own_mail.compose(mail, to)
    assert not isinstance(delivery, Refusal)
    # The domain that it is about may know of it, and no other that a reader's mailbox happens to be of.
    local = [one if one.domain_id == domain_id else structs.replace(one, domain_id=None) for one in delivery.local]
    outgoing = delivery.outgoing
    if to.relayed:
        # The site's, so that nobody in the domain that it is about can hold or drop it in the queue.
        outgoing = [structs.replace(one, domain_id=None) for one in outgoing]
    return structs.replace(delivery, local=local, outgoing=outgoing)


def _sender(domain: Domain | None) -> str:
    """In whose name it is sent: the domain that it is about, else the hosted one that this host's name lies in."""
    labels = (domain.name if domain else settings.MAILSUITE.hostname).split(".")
    for at in range(len(labels) - 1):
        if (hosted := lookup.hosted_domain(".".join(labels[at:]))) and not hosted.is_disabled:
            return hosted.canonical
    return settings.MAILSUITE.hostname


def _mailboxes_of(suspect: Mailbox | None) -> set[int]:
    """The mailbox, and the others of its account."""
    if suspect is None:
        return set()
    return {suspect.pk, *Mailbox.objects.filter(user=suspect.user_id).values_list("pk", flat=True)}
