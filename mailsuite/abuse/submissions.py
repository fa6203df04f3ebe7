"""Submissions counted against their mailbox's caps in the batch that files them (mailsuite.abuse.sending)."""

from collections.abc import Iterator, Sequence
from typing import Any

from mailsuite.abuse import sending
from mailsuite.directory.models import Mailbox
from mailsuite.store.operations import Deliver
from mailsuite.trace.telling import search_key
from mailsuite.writer.batch import Batch
from mailsuite.writer.operation import Operation, Refused


class Sendings:
    """What the senders of a batch's submissions sent today, locked, by mailbox id."""

    def __init__(self, batch: Batch, operations: Sequence[Operation[Any]]) -> None:
        self._batch = batch
        self.by_mailbox = sending.lock(batch.cursor, _senders(operations), batch.now.date())

    def finish(self) -> None:
        """Writes the counters."""
        sending.write(self._batch.cursor, self.by_mailbox.values(), self._batch.now)


def _senders(operations: Sequence[Operation[Any]]) -> dict[int, dict[str, str]]:
    """The mailboxes whose submissions these file, each with the address keys of its recipients elsewhere."""
    found: dict[int, dict[str, str]] = {}
    for op in operations:
        if isinstance(op, Deliver) and op.story.kind == "submission" and op.story.sender_mailbox_id is not None:
            found.setdefault(op.story.sender_mailbox_id, {}).update(_recipients_elsewhere(op))
    return found


def check(batch: Batch, op: Deliver) -> None:
    """Raises Refused when the mailbox that sends it was removed since."""
    sending = batch.locked(Sendings).by_mailbox.get(op.story.sender_mailbox_id or 0)
    if sending and sending.state == Mailbox.State.REMOVED:
        raise Refused("nonexistent", f"mailbox {sending.mailbox_id} is gone")


def count(batch: Batch, op: Deliver) -> str:
    """Counts a submission against its mailbox's caps; returns why what goes to others is to be held, or ""."""
    mailbox_id = op.story.sender_mailbox_id
    if mailbox_id not in batch.locked(Sendings).by_mailbox or op.story.kind != "submission":
        return ""
    return batch.locked(Sendings).by_mailbox[mailbox_id].count(_elsewhere(op))


def _elsewhere(op: Deliver) -> Iterator[str]:
    """Those on other hosts whom the sender wrote to, also by aliases of the sender's own domain. Whom an alias of
    another customer leads to is not the sender's doing, and not for the sender's administrators to count."""
    own = (outgoing for outgoing in op.outgoing if outgoing.domain_id == op.story.sender_domain_id)
    return (recipient.recipient.forward_path for outgoing in own for recipient in outgoing.recipients)


def _recipients_elsewhere(op: Deliver) -> dict[str, str]:
    """The address keys of those on other hosts, by forward-path."""
    return {path: search_key(path) for path in _elsewhere(op)}
