"""The store's side of delivery: leases on recipients that are due, and the results of trying them.

The three operations run inside a batch's transaction (mailsuite.writer.run). A claim moves `next_attempt_at` to
the end of its lease and writes the worker's token: should the worker die, the row falls due again by itself. Results
count only where the token is still the writer's own, so that two workers never settle one recipient.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import F, QuerySet

from mailsuite.database.sql import Update, timestamp
from mailsuite.queue.models import DeliveryAttempt, QueuedMessage, QueuedRecipient
from mailsuite.queue.operations import AttemptResult, Claim, ClaimDue, RenewClaims, Settle
from mailsuite.queue.placing import arrive
from mailsuite.queue.rows import SETTLED_MESSAGE
from mailsuite.store import filing
from mailsuite.store.locked import locked
from mailsuite.trace import telling
from mailsuite.trace.operations import EventFacts
from mailsuite.writer.batch import Batch
from mailsuite.writer.operation import Refused

State = QueuedRecipient.State
SETTLED = frozenset({State.DELIVERED, State.RELAYED, State.FAILED})
DELAYED = "delayed"
# What settling reads of a recipient.
READ_TO_SETTLE = (
    *("forward_path", "warned_at", "message_id", "attempt_count"),
    *("message__held_at", "message__story_id", "message__domain_id"),
)
RESULT = Update(
    QueuedRecipient,
    *("state", "claim_token", "last_reply", "last_host", "cause", "settled_at", "warned_at", "next_attempt_at"),
)
ATTEMPT = Update(
    DeliveryAttempt,
    *("ended_at", "remote_host", "remote_address", "tls", "outcome", "code", "enhanced_code", "reply", "dialog"),
    condition="recipient_id = %s AND token = %s AND ended_at IS NULL",
)
# What an attempt says whose worker never came back to tell.
# Megabytes in some, and joined to each recipient of a message.
UNREAD_FIELDS = tuple(f"message__content__{name}" for name in ("header", "envelope", "body_structure", "body", "parts"))
ABANDONED = "abandoned"
RESOLVE_AGAIN_AFTER = timedelta(seconds=30)


def claim_due(batch: Batch, op: ClaimDue) -> list[Claim]:
    """Leases up to `limit` recipients that are due, those due longest first, and records an attempt for each.

    `attempt_count` of the answer counts the attempt that begins now. One index leads to the rows: messages are not
    joined, of which there are many more.
    """
    due = QueuedRecipient.objects.filter(settled_at=None, next_attempt_at__lte=batch.now)
    due = due.filter(attempt_count=0) if op.fresh else due
    due = due.exclude(destination__in=op.busy_destinations).order_by("next_attempt_at", "pk")
    ids = list(_skipping_locked(due).values_list("pk", flat=True)[: op.limit])
    if not ids:
        return []
    # An attempt that is still open belongs to a worker whose lease ran out.
    DeliveryAttempt.objects.filter(recipient_id__in=ids, ended_at=None).update(
        ended_at=batch.now, outcome=ABANDONED, reply="the worker ended before it could tell what came of this attempt"
    )
    ids = _without_held(ids)
    QueuedRecipient.objects.filter(pk__in=ids).update(
        next_attempt_at=batch.now + timedelta(seconds=op.lease_seconds),
        claim_token=op.token,
        attempt_count=F("attempt_count") + 1,
    )
    DeliveryAttempt.objects.bulk_create(
        DeliveryAttempt(recipient_id=pk, token=op.token, started_at=batch.now) for pk in ids
    )
    rows = (
        QueuedRecipient.objects.filter(pk__in=ids).select_related("message", "message__content").defer(*UNREAD_FIELDS)
    )
    return [claim_of(row) for row in rows.order_by("message_id", "pk")]


def _without_held(ids: list[int]) -> list[int]:
    """The recipients less those of messages that were held while their worker ended: they wait for the release."""
    held = set(QueuedRecipient.objects.filter(pk__in=ids).exclude(message__held_at=None).values_list("pk", flat=True))
    if held:
        QueuedRecipient.objects.filter(pk__in=held).update(next_attempt_at=None, claim_token="")
    return [pk for pk in ids if pk not in held]


def renew(batch: Batch, op: RenewClaims) -> list[int]:
    """Answers those that `token` still holds, their lease now ending `lease_seconds` from now; 0 gives them back."""
    held = _held(op.token, op.recipient_ids)
    ids = list(held.values_list("pk", flat=True))
    if op.untried:
        DeliveryAttempt.objects.filter(recipient_id__in=ids, token=op.token, ended_at=None).delete()
        QueuedRecipient.objects.filter(pk__in=ids).update(attempt_count=F("attempt_count") - 1)
    QueuedRecipient.objects.filter(pk__in=ids).update(
        next_attempt_at=batch.now + timedelta(seconds=op.lease_seconds),
        **({} if op.lease_seconds else {"claim_token": ""}),
    )
    return ids


def settle(batch: Batch, op: Settle) -> list[int]:
    """Writes the results whose recipients `token` still holds, files the notifications, and what arrives here after
    all; answers their ids.

    Refused as lease-lost when there are notifications and a recipient that they may tell of is no longer held, and as
    nonexistent when a mailbox that should get one is gone: nothing was changed then.
    """
    results = {result.recipient_id: result for result in op.results}
    held = list(_held(op.token, list(results)).select_related("message").only(*READ_TO_SETTLE))
    if op.notifications and len(held) < len(results):
        raise Refused("lease-lost", "a recipient is no longer this worker's")
    for notification in op.notifications:
        for local in notification.local:
            locked(batch).folder_for(local.mailbox_id, local.role, local.folder)
    for notification in op.notifications:
        filing.deliver(batch, notification)
    pairs = [(row, _filed(batch, row, results[row.pk])) for row in held]
    RESULT.run(batch.cursor, [_result(batch, row, result) for row, result in pairs])
    ATTEMPT.run(batch.cursor, [_attempt(batch, op.token, result) for _, result in pairs])
    # What was held meanwhile is held, whatever the last try came to.
    moved_on = [one for one in pairs if one[1].state in SETTLED or one[0].message.held_at is None]
    telling.RESULT.run(batch.cursor, [_fate(row, result) for row, result in moved_on])
    for row, result in pairs:
        _tell(batch, row, result)
    settled = {row.message_id for row, result in pairs if result.state in SETTLED}
    SETTLED_MESSAGE.run(batch.cursor, [(batch.now_value, message_id) for message_id in sorted(settled)])
    return sorted(row.pk for row in held)


def _filed(batch: Batch, row: QueuedRecipient, result: AttemptResult) -> AttemptResult:
    """The result, its arrival filed; one to try again where a mailbox is gone that it was to arrive in: whoever is to
    get it must be looked for anew."""
    if result.arrival is None:
        return result
    try:
        for local in result.arrival.local:
            locked(batch).folder_for(local.mailbox_id, local.role, local.folder)
    except Refused as refusal:
        return AttemptResult(row.pk, State.QUEUED, refusal.text, batch.now + RESOLVE_AGAIN_AFTER, reason="no-mailbox")
    arrive(batch, result.arrival, QueuedMessage.objects.select_related("content").get(pk=row.message_id))
    return result


def _held(token: str, recipient_ids: Sequence[int]) -> QuerySet[QueuedRecipient]:
    """The recipients that the token holds, locked with their messages in one order for everybody."""
    mine = QueuedRecipient.objects.filter(pk__in=recipient_ids, claim_token=token, settled_at=None).exclude(
        claim_token=""
    )
    if connection.features.has_select_for_update:
        # Two workers that settle the last two recipients of a message must see each other.
        messages = QueuedMessage.objects.filter(pk__in=mine.values("message_id")).order_by("pk")
        list(messages.select_for_update().values_list("pk", flat=True))
    return for_update(mine.order_by("pk"))


def for_update(rows: QuerySet[QueuedRecipient]) -> QuerySet[QueuedRecipient]:
    """The rows, locked when they are read, without what they are joined to. A lock waits for a claim that is being
    made, and sees it then."""
    return rows.select_for_update(of=("self",) if connection.features.has_select_for_update_of else ())


def _skipping_locked(rows: QuerySet[QueuedRecipient]) -> QuerySet[QueuedRecipient]:
    """Two workers that claim at once take different rows; SQLite has one writer at a time and needs no more."""
    if not connection.features.has_select_for_update_skip_locked:
        return rows
    return rows.select_for_update(skip_locked=True, of=("self",))


def _result(batch: Batch, row: QueuedRecipient, result: AttemptResult) -> tuple[Any, ...]:
    """For RESULT."""
    value, is_settled = timestamp(), result.state in SETTLED
    warned_at = row.warned_at or (batch.now if result.warned else None)
    waits = not is_settled and row.message.held_at is None
    next_attempt_at = (result.next_attempt_at or batch.now) if waits else None
    return (
        *(result.state if is_settled else State.QUEUED.value, "", result.reply, result.remote_host, result.reason),
        *(batch.now_value if is_settled else None, value(warned_at), value(next_attempt_at), row.pk),
    )


def _attempt(batch: Batch, token: str, result: AttemptResult) -> tuple[Any, ...]:
    """For ATTEMPT."""
    return (
        *(batch.now_value, result.remote_host, result.remote_address, result.tls),
        *(result.state if result.state in SETTLED else DELAYED, result.code, result.enhanced_code, result.reply),
        *(result.dialog, result.recipient_id, token),
    )


def _fate(row: QueuedRecipient, result: AttemptResult) -> tuple[Any, ...]:
    """For telling.RESULT."""
    return telling.result(result.state, result.reason, _said(result), row.attempt_count, row.pk)


def _tell(batch: Batch, row: QueuedRecipient, result: AttemptResult) -> None:
    if row.message.story_id is not None:
        kind = result.state if result.state in SETTLED else DELAYED
        event = EventFacts(kind, row.forward_path, result.reason, _said(result), row.message.domain_id)
        telling.insert_event(batch, row.message.story_id, event)


def _said(result: AttemptResult) -> str:
    """What was said of the recipient, and by whom."""
    return f"{result.remote_host}: {result.reply}" if result.remote_host else result.reply


def claim_of(row: QueuedRecipient) -> Claim:
    """What a worker needs to try the recipient; its message and content are in the row."""
    message = row.message
    return Claim(
        recipient_id=row.pk,
        message_id=message.pk,
        recipient=row.envelope_recipient,
        envelope=message.envelope,
        destination=row.destination,
        attempt_count=row.attempt_count,
        warned=row.warned_at is not None,
        blob=message.content.blob,
        prefix=bytes(message.prefix),
        size_octets=message.size_octets,
        created_at=message.created_at,
        story_id=message.story_id,
    )
