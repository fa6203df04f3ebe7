"""What an administrator does with queued mail: try now, hold, release, give up with or without a bounce.

Each works on whole messages, by id (retry and fail also on those of their recipients alone that `only` says), writes
what it did into their stories in the same transaction, and returns how many messages it changed. A recipient that a
worker is trying at this moment is left alone: nobody can know yet what becomes of it. Refusals are ChangeRefused, fit
to be shown.
"""

import time
import uuid
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from mailsuite.directory.version import RECENT_SECONDS
from mailsuite.errors import ChangeRefused
from mailsuite.ids import from_reference
from mailsuite.mail.address import AddressError, address_key, read_domain
from mailsuite.mail.dsn import Action
from mailsuite.queue.claims import UNREAD_FIELDS, claim_of, for_update
from mailsuite.queue.kept import is_read
from mailsuite.queue.models import QueuedMessage, QueuedRecipient
from mailsuite.queue.operations import AttemptResult, Claim, Settle
from mailsuite.queue.outcomes import Fate, notifications
from mailsuite.store.operations import KEPT
from mailsuite.trace import telling
from mailsuite.trace.models import Event
from mailsuite.writer.operation import Refused
from mailsuite.writer.run import execute
from mailsuite.writer.telling import tell_service

LEASE = timedelta(minutes=10)
# All recipients of a message.
EVERYONE = Q()
# How often it is looked up who is to be told, when their mailboxes are removed meanwhile.
TELL_TRIES = 3


def retry(message_ids: Collection[int], only: Q = EVERYONE) -> int:
    """Makes what waits due now. Held messages stay held."""
    now = datetime.now(UTC)
    with transaction.atomic():
        messages = _locked(message_ids, QueuedMessage.objects.filter(held_at=None))
        rows = _idle(messages, now, only)
        _tell(rows, "retried", "due at once", now)
        QueuedRecipient.objects.filter(pk__in=[row.pk for row in rows]).update(next_attempt_at=now)
    _wake_worker(rows)
    return _changed(rows, message_ids, "is held (release it first), under way or settled already")


def hold(message_ids: Collection[int], reason: str) -> int:
    """Nothing is tried any more until it is released. An attempt that is under way goes on."""
    now = datetime.now(UTC)
    with transaction.atomic():
        messages = _locked(message_ids, QueuedMessage.objects.filter(held_at=None))
        rows = _unsettled(messages)
        _tell(rows, "held", reason, now)
        telling.move_on([row.pk for row in rows], telling.Fate.HELD, "held", reason[:200])
        QueuedMessage.objects.filter(pk__in=[message.pk for message in messages]).update(
            held_at=now, hold_reason=reason[:200]
        )
        idle = [row.pk for row in rows if not _is_under_way(row, now)]
        QueuedRecipient.objects.filter(pk__in=idle).update(next_attempt_at=None)
    return _changed(rows, message_ids, "is held or settled already")


def release(message_ids: Collection[int]) -> int:
    """Lets held messages go on, at once; what is kept for the administrators when somebody reads it. The time for
    which they were held does not count: they are given up so much later."""
    now = datetime.now(UTC)
    with transaction.atomic():
        found = _locked(message_ids, QueuedMessage.objects.exclude(held_at=None))
        unread = _unread(found)
        messages = [message for message in found if message.pk not in unread]
        if unread and not messages:
            address = next(iter(unread.values()))
            raise ChangeRefused(
                f"Nobody reads {address} yet: give an administrator a mailbox, or, at a hosted domain, make an alias "
                "of that name. It goes there by itself then."
            )
        rows = _unsettled(messages)
        _tell(rows, "released", "", now)
        telling.move_on([row.pk for row in rows], telling.Fate.WAITING)
        for message in messages:
            message.expires_at += max(now - (message.held_at or now), timedelta())
            message.held_at, message.hold_reason = None, ""
        QueuedMessage.objects.bulk_update(messages, ["expires_at", "held_at", "hold_reason"])
        idle = [row.pk for row in rows if not _is_under_way(row, now)]
        QueuedRecipient.objects.filter(pk__in=idle).update(next_attempt_at=now)
    _wake_worker(rows)
    return _changed(rows, message_ids, "is not held")


def fail(message_ids: Collection[int], by: str, only: Q = EVERYONE) -> int:
    """Gives up on the recipients and tells the sender, as after the last attempt."""
    now, token, count = datetime.now(UTC), str(uuid.uuid4()), 0
    for message_id in message_ids:
        claims = _take(message_id, token, now, only)
        if claims:
            _fail(claims, token, f"given up by {by}", now)
            count += 1
    if not count:
        raise ChangeRefused("Nothing was failed: it is settled already, or under way at this moment.")
    return count


def drop(message_ids: Collection[int], by: str) -> int:
    """Gives up on all recipients and tells nobody but the story."""
    now = datetime.now(UTC)
    with transaction.atomic():
        messages = _locked(message_ids, QueuedMessage.objects.all())
        rows = _idle(messages, now)
        _tell(rows, "dropped", f"by {by}", now)
        telling.move_on([row.pk for row in rows], telling.Fate.DROPPED, "by-hand", f"by {by}")
        QueuedRecipient.objects.filter(pk__in=[row.pk for row in rows]).update(
            state=QueuedRecipient.State.DROPPED, settled_at=now, next_attempt_at=None, last_reply=f"dropped by {by}"
        )
        QueuedMessage.objects.filter(pk__in=[message.pk for message in messages]).exclude(
            recipients__settled_at=None
        ).update(settled_at=now)
    return _changed(rows, message_ids, "is settled already, or under way at this moment")


def find(words: Iterable[str], *, settled: bool = False) -> QuerySet[QueuedMessage]:
    """The messages that fit all words, oldest first: a queue id, an address or a domain of sender or recipient."""
    messages = QueuedMessage.objects.all() if settled else QueuedMessage.objects.filter(settled_at=None)
    for word in words:
        messages = messages.filter(_condition(word))
    return messages.order_by("pk").distinct()


def by_reference(text: str) -> QueuedMessage:
    """The message of a queue id, which may also be that of its story."""
    number = from_reference(text)
    found = QueuedMessage.objects.filter(Q(pk=number) | Q(story_id=number)).order_by("pk") if number else None
    message = found.first() if found is not None else None
    if message is None:
        raise ChangeRefused(f"There is no message {text} in the queue. The list is: manage.py queue list")
    return message


def _condition(word: str) -> Q:
    if (number := from_reference(word)) is not None:
        return Q(pk=number) | Q(story_id=number)
    recipients = QueuedRecipient.objects.filter(message=OuterRef("pk"))
    if "@" not in word.strip("@"):
        domain = _destination(word)
        return Q(reverse_path__iendswith=f"@{domain}") | Q(Exists(recipients.filter(destination=domain)))
    try:
        key = address_key(word)
    except AddressError as error:
        raise ChangeRefused(f"{word!r} is neither a queue id nor an address. {error}.") from None
    return Q(reverse_path__iexact=key) | Q(Exists(recipients.filter(forward_path__iexact=key)))


def _destination(word: str) -> str:
    """The domain as the queue has it; of an address literal as it was typed."""
    try:
        return read_domain(word)
    except AddressError:
        return word.strip("@").lower()


def _locked(message_ids: Collection[int], messages: QuerySet[QueuedMessage]) -> list[QueuedMessage]:
    """The messages that are not settled, locked in one order for everybody."""
    found = messages.filter(pk__in=message_ids, settled_at=None).order_by("pk")
    return list(found.select_for_update())


def _unsettled(messages: Collection[QueuedMessage], only: Q = EVERYONE) -> list[QueuedRecipient]:
    rows = QueuedRecipient.objects.filter(only, message__in=messages, settled_at=None).select_related("message")
    return list(for_update(rows.order_by("pk")))


def _unread(messages: Collection[QueuedMessage]) -> dict[int, str]:
    """Those of the messages that are kept while nobody reads the address that they are for, with that."""
    kept = [message for message in messages if message.hold_reason == KEPT]
    rows = _unsettled(kept)
    return {row.message_id: row.forward_path for row in rows if not is_read(row.forward_path, row.message.domain_id)}


def _is_under_way(row: QueuedRecipient, now: datetime) -> bool:
    return bool(row.claim_token) and row.next_attempt_at is not None and row.next_attempt_at > now


def _idle(messages: Collection[QueuedMessage], now: datetime, only: Q = EVERYONE) -> list[QueuedRecipient]:
    return [row for row in _unsettled(messages, only) if not _is_under_way(row, now)]


def _tell(rows: Collection[QueuedRecipient], kind: str, text: str, now: datetime) -> None:
    Event.objects.bulk_create(
        Event(
            story_id=row.message.story_id,
            at=now,
            kind=kind,
            address=row.forward_path,
            address_key=_key(row.forward_path),
            domain_id=row.message.domain_id,
            text=text,
        )
        for row in rows
        if row.message.story_id is not None
    )


def _key(address: str) -> str:
    try:
        return address_key(address)
    except AddressError:
        return address


def _changed(rows: Collection[QueuedRecipient], message_ids: Collection[int], why_not: str) -> int:
    changed = {row.message_id for row in rows}
    if not changed and message_ids:
        raise ChangeRefused(f"Nothing was changed: it {why_not}.")
    return len(changed)


def _wake_worker(rows: Collection[QueuedRecipient]) -> None:
    if rows:
        transaction.on_commit(lambda: tell_service([]))


def _take(message_id: int, token: str, now: datetime, only: Q) -> list[Claim]:
    """Claims what no worker holds, so that none begins while the bounce is being made."""
    with transaction.atomic():
        rows = _idle(_locked([message_id], QueuedMessage.objects.all()), now, only)
        ids = [row.pk for row in rows]
        QueuedRecipient.objects.filter(pk__in=ids).update(claim_token=token, next_attempt_at=now + LEASE)
    found = QueuedRecipient.objects.filter(pk__in=ids).select_related("message", "message__content")
    return [claim_of(row) for row in found.defer(*UNREAD_FIELDS).order_by("pk")]


def _fail(claims: list[Claim], token: str, text: str, now: datetime) -> None:
    results = [
        AttemptResult(claim.recipient_id, "failed", text, enhanced_code="5.0.0", reason="by-hand") for claim in claims
    ]
    for _ in range(TELL_TRIES):
        told = notifications((Fate(claim, Action.FAILED, "5.0.0", text) for claim in claims), now)
        try:
            execute(Settle(token, results, told))
            return
        except Refused as refusal:
            if refusal.code != "nonexistent":
                raise ChangeRefused(f"It can't be failed now: {refusal}") from None
            # Somebody who should be told is gone since then: the others are told once that is known here.
            time.sleep(RECENT_SECONDS)
    execute(Settle(token, results))
