"""What the buttons of a story do: about its sender, and about those of its recipients that the person may know of."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, QuerySet

from mailsuite.authcheck.report import AuthReport, decode
from mailsuite.directory import history
from mailsuite.directory.models import Domain, Mailbox
from mailsuite.errors import ChangeRefused
from mailsuite.mail.address import AddressError, address_key
from mailsuite.queue.models import QueuedMessage
from mailsuite.screening import own_rules
from mailsuite.screening.models import Rule
from mailsuite.store import shell
from mailsuite.store.models import Folder, Message
from mailsuite.trace import fates
from mailsuite.trace.models import Event, Story, StoryRecipient
from mailsuite.trace.visibility import Scope
from mailsuite.writer.operation import Refused

Fate = StoryRecipient.Fate
# For more recipients than that a rule is written by hand, for their domain.
MOST = 20
# In so many mailboxes it is moved at one go.
MOVED_AT_ONCE = 200
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
    row: Mailbox | Domain


def offered(story: Story, rows: Sequence[StoryRecipient], queued: Sequence[QueuedMessage]) -> frozenset[str]:
    """The names of the buttons that fit."""
    found = set()
    if any(row.fate == Fate.JUNK for row in rows):
        found.add("not_junk")
    if queued:
        found |= {"release" if message.held_at else "retry" for message in queued}
    if sender_of(story):
        found |= {action for action in WHAT if any(_is_about(action, row) for row in rows)}
    return frozenset(found)


def sender_of(story: Story) -> str:
    """Whom a rule would be about, as rules themselves read the message: its one author, or where From names nobody the
    envelope sender. "" where there is nobody, or several authors: none of them answers for the others."""
    if story.kind != Story.Kind.INBOUND:
        return ""
    report = _report(story)
    authors = (report.from_addresses or tuple(filter(None, [report.from_address]))) if report else ()
    if len(authors) > 1 or (report and report.from_is_crowded):
        return ""
    return _key(authors[0] if authors else story.reverse_path)


def question(story: Story, action: str, scope: Scope) -> str:
    """What is asked before a rule is written: about whom, and for whom it is to hold; "" where it is for nobody of the
    person's, as where an alias has sent it on."""
    names = fates.named(place.name for place in _places(story, action, scope))
    if not names:
        return ""
    if action == "block":
        return f"Refuse all mail of {sender_of(story)} to {names} from now on?"
    return f"Take all mail of {sender_of(story)} to {names}, where SPF, DKIM or DMARC prove the sender?"


def say(story: Story, action: str, scope: Scope, by: str) -> str:
    """Writes a rule for the sender: for each mailbox that it is about, and of other addresses for their domain. Says
    what holds from now on. Raises ChangeRefused."""
    sender = sender_of(story)
    if not sender:
        raise ChangeRefused("The message names no sender that a rule could be about, or several.")
    places = _places(story, action, scope)
    if not places:
        raise ChangeRefused("None of its recipients is yours to write such a rule for.")
    if len(places) > MOST:
        raise ChangeRefused(f"It has more than {MOST} recipients: write one rule for their domain instead.")
    with transaction.atomic():
        for place in places:
            _write(place, action, sender, f"by its message {story.reference}", by)
    told = f"Mail of {sender} to {fates.named(place.name for place in places)} {WHAT[action]} from now on"
    if action == "block":
        return f"{told}."
    report = _report(story)
    unproven = "" if report is None or report.is_author_authentic else " Of this message that was not proven."
    return f"{told}, where SPF, DKIM or DMARC prove the sender.{unproven}"


def not_junk(story: Story, scope: Scope, by: str) -> str:
    """Moves it out of Junk, as its owner would: the filter and the sender's standing learn from that. Says what was
    done. Raises ChangeRefused."""
    found = list(fates.recipients(story, scope).filter(fate=Fate.JUNK)[: fates.MOST])
    rows, left = found[:MOVED_AT_ONCE], len(found[MOVED_AT_ONCE:])
    mailboxes = _mailboxes(rows)
    moved = [row for row in rows if row.pk in mailboxes and _move_out_of_junk(mailboxes[row.pk], story, by)]
    if not moved:
        raise ChangeRefused("It is not in Junk any more: its owner has moved or deleted it.")
    more = f" It is in Junk of {left} others: press once more for the next." if left else ""
    names = fates.named(row.address for row in moved)
    return f"It is in the inbox of {names} now, and the filter learns from that.{more}"


def queued(story: Story, scope: Scope, messages: QuerySet[QueuedMessage]) -> list[QueuedMessage]:
    """Those of the messages that wait in the queue for recipients of this story."""
    ids = fates.recipients(story, scope).filter(fate__in=(Fate.WAITING, Fate.HELD)).values_list("pk", flat=True)
    found = messages.filter(recipients__in=list(ids[: fates.MOST]), settled_at=None)
    return list(messages.filter(pk__in=found.order_by().values("pk")).order_by("pk"))


def _report(story: Story) -> AuthReport | None:
    """What was found out about the message; None where it was refused before anything was."""
    try:
        return decode(json.loads(story.data).get("authentication"))
    except (ValueError, AttributeError):
        return None


def _is_about(action: str, row: StoryRecipient) -> bool:
    """Whether a rule would have changed what became of the message for this recipient."""
    if not row.address or not row.domain_id:
        return False
    if row.fate == Fate.DELIVERED:
        return action == "block"
    if row.fate == Fate.DEFERRED:
        return action == "block" or row.reason not in NOT_THE_SENDER
    # What was refused is refused, and was so because of who sent it, or of what it says.
    is_unwanted = row.fate == Fate.REFUSED and row.reason not in NOT_THE_SENDER
    return row.fate == Fate.JUNK or (is_unwanted and action == "allow")


def _places(story: Story, action: str, scope: Scope) -> list[Place]:
    """Where the rule is to hold; one more than MOST where there are more."""
    rows = [row for row in fates.recipients(story, scope)[: fates.MOST] if _is_about(action, row)]
    mailboxes = _mailboxes(rows)
    live = Domain.objects.filter(state=Domain.State.ACTIVE).in_bulk({row.domain_id for row in rows})
    found: dict[str, Place] = {}
    for row in rows:
        mailbox, domain = mailboxes.get(row.pk), live.get(row.domain_id or 0)
        # What an alias sent on to another host has a domain of ours, too, but not that of its address.
        is_own = domain is not None and row.address.rpartition("@")[2].lower() == domain.name
        if mailbox:
            found.setdefault(mailbox.address, Place(mailbox.address, mailbox))
        elif domain is not None and is_own:
            found.setdefault(domain.name, Place(f"all of {domain}", domain))
        if len(found) > MOST:
            break
    return list(found.values())


def _write(place: Place, action: str, sender: str, note: str, by: str) -> None:
    """The rule, and in the histories of rule and place who made it."""
    write = own_rules.set_rule if isinstance(place.row, Mailbox) else own_rules.set_domain_rule
    rule = write(place.row.pk, action, sender, note)
    history.note(place.row, f"A rule: mail of {sender} {WHAT[action]}, {note}.", by)
    history.note_all(Rule.objects.filter(pk=rule.rule_id), f"Written {note}: {WHAT[action]}.", by)


def _mailboxes(rows: Sequence[StoryRecipient]) -> dict[int, Mailbox]:
    """The mailboxes that have the message, by whatever address by now, or else the recipients' addresses, of the very
    domains; by the rows' ids."""
    keys = {row.pk: key for row in rows if (key := _key(row.address))}
    filed = Event.objects.filter(story__in={row.story_id for row in rows}, kind="filed").exclude(mailbox=None)
    ids = {(story, address): pk for story, address, pk in filed.values_list("story", "address", "mailbox")}
    living = Mailbox.objects.exclude(state=Mailbox.State.REMOVED)
    found = living.filter(Q(address_key__in=set(keys.values())) | Q(pk__in=set(ids.values())))
    by_id = {mailbox.pk: mailbox for mailbox in found}
    by_key = {(mailbox.domain_id, mailbox.address_key): mailbox for mailbox in found}
    pairs = (
        (
            row,
            by_id.get(ids.get((row.story_id, row.address), 0))
            or by_key.get((row.domain_id or 0, keys.get(row.pk, ""))),
        )
        for row in rows
    )
    return {row.pk: mailbox for row, mailbox in pairs if mailbox and mailbox.domain_id == row.domain_id}


def _key(address: str) -> str:
    try:
        return address_key(address)
    except AddressError:
        return ""


def _move_out_of_junk(mailbox: Mailbox, story: Story, by: str) -> int:
    junk = Message.objects.filter(folder__mailbox=mailbox, folder__role="junk", story_id=story.pk)
    inbox = Folder.objects.filter(mailbox=mailbox, role="inbox").first()
    if inbox is None:
        return 0
    try:
        return shell.move(junk, inbox, by=by)
    except Refused as refusal:
        raise ChangeRefused(f"It can't be moved now: {refusal}.") from None
