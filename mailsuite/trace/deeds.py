"""What the buttons of a story do: about its sender, and about those of its recipients that the person may know of."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet

from mailsuite.directory.errors import DirectoryError
from mailsuite.directory.models import Domain, Mailbox
from mailsuite.mail.address import AddressError, address_key
from mailsuite.queue.models import QueuedMessage
from mailsuite.screening import own_rules
from mailsuite.store import shell
from mailsuite.store.models import Folder, Message
from mailsuite.store.operations import Refused
from mailsuite.trace import fates
from mailsuite.trace.models import Story, StoryRecipient
from mailsuite.trace.services import Scope

Fate = StoryRecipient.Fate
# For more recipients than that a rule is written by hand, for their domain.
MOST = 20
# Refusals that have nothing to do with who sends: an allow rule would change nothing.
NOT_THE_SENDER = frozenset(
    {
        *("unknown-recipient", "rewritten-sender-invalid", "rewritten-sender-expired", "relaying-denied"),
        *("recipient-disabled", "mailbox-full", "message-too-big", "report-too-big", "header-too-big", "mail-loop"),
        *("bare-line-ending", "nul-octet", "storage-full", "store-unavailable", "too-busy", "recipient-removed"),
        *("null-sender-recipients", "too-many-targets", "connection-messages", "banned", "too-many-failures"),
        *("too-many-connections", "too-many-connections-from-address", "login-failed", "login-revoked", "too-late"),
    }
)
WHAT = {"allow": "always goes to the inbox", "block": "is refused"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rule is to hold: a mailbox, or a domain where the address is no mailbox."""

    name: str
    domain_id: int | None = None
    mailbox_id: int | None = None


def offered(story: Story, rows: Sequence[StoryRecipient], queued: Sequence[QueuedMessage]) -> frozenset[str]:
    """The names of the buttons that fit."""
    found = set()
    if any(row.fate == Fate.JUNK for row in rows):
        found.add("not_junk")
    if queued:
        found |= {"release" if message.held_at else "retry" for message in queued}
    ours = [row for row in rows if row.address and row.domain_id]
    if story.kind == Story.Kind.INBOUND and sender_of(story) and ours:
        if any(row.fate in (Fate.DELIVERED, Fate.JUNK, Fate.DEFERRED) for row in ours):
            found.add("block")
        is_unwanted = (row.fate == Fate.JUNK or _is_for_its_sender(row) for row in ours)
        if any(is_unwanted):
            found.add("allow")
    return frozenset(found)


def sender_of(story: Story) -> str:
    """Whom a rule would be about: the author, else the envelope sender; "" where nobody is named."""
    author = story.from_text.strip()
    if author.endswith(">"):
        author = author[:-1].rpartition("<")[2].strip()
    for text in filter(None, (author, story.reverse_path)):
        try:
            return address_key(text)
        except AddressError:
            continue
    return ""


def say(story: Story, action: str, scope: Scope) -> str:
    """Writes a rule for the sender: for each mailbox that the message was for, and of other addresses for their domain.
    Says what holds from now on. Raises DirectoryError."""
    sender = sender_of(story)
    if story.kind != Story.Kind.INBOUND or not sender:
        raise DirectoryError("The message names no sender that a rule could be about.")
    places = _places(story, scope)
    if not places:
        raise DirectoryError("None of its recipients is yours to write a rule for.")
    if len(places) > MOST:
        raise DirectoryError(f"It has more than {MOST} recipients: write one rule for their domain instead.")
    with transaction.atomic():
        for place in places:
            note = f"by its message {story.reference}"
            if place.mailbox_id:
                own_rules.set_rule(place.mailbox_id, action, sender, note)
            elif place.domain_id:
                own_rules.set_domain_rule(place.domain_id, action, sender, note)
    proven = ", where SPF, DKIM or DMARC prove the sender" if action == "allow" else ""
    return f"Mail of {sender} to {fates.named(place.name for place in places)} {WHAT[action]} from now on{proven}."


def not_junk(story: Story, scope: Scope, by: str) -> str:
    """Moves it out of Junk, as its owner would: the filter and the sender's standing learn from that. Says what was
    done. Raises DirectoryError."""
    moved = []
    for row in fates.recipients(story, scope).filter(fate=Fate.JUNK)[: fates.MOST]:
        mailbox = _mailbox(row)
        if mailbox and _move_out_of_junk(mailbox, story, by):
            moved.append(row)
    if not moved:
        raise DirectoryError("It is not in Junk any more: its owner has moved or deleted it.")
    return f"It is in the inbox of {fates.named(row.address for row in moved)} now, and the filter learns from that."


def queued(story: Story, scope: Scope, messages: QuerySet[QueuedMessage]) -> list[QueuedMessage]:
    """Those of the messages that wait in the queue for recipients of this story."""
    ids = fates.recipients(story, scope).filter(fate__in=(Fate.WAITING, Fate.HELD)).values_list("pk", flat=True)
    found = messages.filter(recipients__in=list(ids[: fates.MOST]), settled_at=None)
    return list(messages.filter(pk__in=found.order_by().values("pk")).order_by("pk"))


def _is_for_its_sender(row: StoryRecipient) -> bool:
    """Whether it was not taken because of who sent it, or of what it says."""
    return row.fate in (Fate.REFUSED, Fate.DEFERRED) and row.reason not in NOT_THE_SENDER


def _places(story: Story, scope: Scope) -> list[Place]:
    found: dict[str, Place] = {}
    for row in fates.recipients(story, scope).exclude(domain=None)[: MOST + 1]:
        mailbox = _mailbox(row)
        place = Place(mailbox.address, mailbox_id=mailbox.pk) if mailbox else None
        # What an alias sent on to another host has a domain of ours, too, but not that of its address.
        live = Domain.objects.filter(pk=row.domain_id or 0, state=Domain.State.ACTIVE)
        domain = None if place else live.first()
        if domain and row.address.rpartition("@")[2].lower() == domain.name:
            place = Place(f"all of {domain}", domain_id=domain.pk)
        if place:
            found.setdefault(place.name, place)
    return list(found.values())


def _mailbox(row: StoryRecipient) -> Mailbox | None:
    """The mailbox with the recipient's address, of the very domain."""
    try:
        key = address_key(row.address)
    except AddressError:
        return None
    rows = Mailbox.objects.exclude(state=Mailbox.State.REMOVED)
    return rows.filter(domain=row.domain_id, address_key=key).first()


def _move_out_of_junk(mailbox: Mailbox, story: Story, by: str) -> int:
    junk = Message.objects.filter(folder__mailbox=mailbox, folder__role="junk", story_id=story.pk)
    inbox = Folder.objects.filter(mailbox=mailbox, role="inbox").first()
    if inbox is None:
        return 0
    try:
        return shell.move(junk, inbox, by=by)
    except Refused as refusal:
        raise DirectoryError(f"It can't be moved now: {refusal}.") from None
