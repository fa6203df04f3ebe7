"""COPY and MOVE, with their UID forms (RFC 3501 §6.4.7, RFC 6851, COPYUID of RFC 4315).

A COPY succeeds or fails as one (RFC 3501 §6.4.7): the store sees to that. A MOVE goes some messages at a time.
"""

from dataclasses import dataclass
from functools import partial

from retrieval.imap.context import Completion, Context, Output
from retrieval.imap.errors import CommandRefused
from retrieval.imap.folder_names import parse_name
from retrieval.imap.grammar import Scanner
from retrieval.imap.messages import EXPUNGE_ISSUED, chosen, parse_messages, slices, uids_of, writable
from retrieval.imap.sequence_set import SequenceSet, format_uid_set
from retrieval.imap.updates import refresh, untagged_updates
from retrieval.imap.verb import SELECTED, Capability, Feature, Verb, logged_in


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY, or MOVE when `move`."""

    messages: SequenceSet
    name: str
    move: bool
    by_uid: bool


def parse(scanner: Scanner, *, move: bool, by_uid: bool) -> Copy:
    """copy = "COPY" SP sequence-set SP mailbox"""
    messages = parse_messages(scanner)
    return Copy(messages, parse_name(scanner), move, by_uid)


async def copy(context: Context, command: Copy) -> Output:
    """Copy or move. COPYUID of a MOVE comes before the EXPUNGEs, in a response of its own; of one that fails midway,
    too, for what was moved until then (RFC 6851 §4.3)."""
    view = writable(context) if command.move else context.view
    await _know_all(context)
    uids = uids_of(view, chosen(view, command.messages, by_uid=command.by_uid))
    target = await context.store.status(command.name)
    if target is None:
        raise CommandRefused("TRYCREATE", "There is no such folder")
    if not uids:
        return
    view.stale = view.stale or command.move or target.folder_id == view.folder_id
    pairs: list[tuple[int, int]] = []
    problem: Exception | None = None
    try:
        for portion in slices(uids) if command.move else [uids]:
            uid_validity, copied = await context.store.copy(
                view.folder_id, portion, target.folder_id, move=command.move
            )
            pairs += copied
    except Exception as error:  # whatever it is: what was moved is to be told first
        problem = error
    if problem and not pairs:
        raise problem
    if not pairs:
        yield EXPUNGE_ISSUED
        return
    here, there = (format_uid_set(uids) for uids in zip(*pairs, strict=True))
    code = f"COPYUID {uid_validity} {here.decode()} {there.decode()}"
    if not command.move:
        yield Completion("OK", "COPY completed", code)
        return
    yield f"* OK [{code}] Moved\r\n".encode()
    view.mark_gone(uid for uid, _ in pairs)
    yield await untagged_updates(context, expunges=True, ask=False)
    if problem:
        raise problem


async def _know_all(context: Context) -> None:
    """Before an OK to what names messages that this session may not have heard of: were they passed over as unknown,
    the client would take them for copied, and remove them here. Raises StoreUnavailable."""
    if context.view.stale:
        await refresh(context)


FEATURE = Feature(
    verbs=(
        Verb("COPY", SELECTED, partial(parse, move=False, by_uid=False), copy, expunges=False, current=True),
        Verb("UID COPY", SELECTED, partial(parse, move=False, by_uid=True), copy, current=True),
        Verb("MOVE", SELECTED, partial(parse, move=True, by_uid=False), copy, expunges=False, current=True),
        Verb("UID MOVE", SELECTED, partial(parse, move=True, by_uid=True), copy, current=True),
    ),
    capabilities=(Capability("MOVE", logged_in),),
)
