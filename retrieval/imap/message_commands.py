"""STORE, COPY, MOVE and EXPUNGE of messages of the selected folder (RFC 3501 §6.4, RFC 4315, RFC 6851).

All change some messages at a time, each durably: a client that marks its whole folder as read keeps nobody else waiting
for the store. COPY, too, but it succeeds or fails as one (RFC 3501 §6.4.7): the store sees to that.
"""

from collections.abc import AsyncIterator, Iterator, Sequence

from mailsuite.store.flags import DELETED
from retrieval.imap.commands import Copy, Expunge, Store
from retrieval.imap.context import Completion, Context, Output
from retrieval.imap.errors import CommandRefused
from retrieval.imap.sequence_set import SequenceSet, format_uid_set
from retrieval.imap.updates import refresh, untagged_updates
from retrieval.imap.view import RECENT, FolderView
from retrieval.mail_store import FlagMode, MailStore, MessageState

AT_ONCE = 500
EXPUNGE_ISSUED = Completion("NO", "Some of these messages were expunged by another session", "EXPUNGEISSUED")


def chosen(view: FolderView, messages: SequenceSet, *, by_uid: bool) -> list[range]:
    """Return the positions of the messages. Raises BadCommand for a sequence number that there is not."""
    return messages.of_uids(view.uids) if by_uid else messages.of_numbers(len(view.uids))


def uids_of(view: FolderView, spans: Sequence[range]) -> list[int]:
    """Return the uids at these positions, without those that are known to be expunged."""
    uids: list[int] = []
    for span in spans:
        uids += view.uids[span.start : span.stop]
    return [uid for uid in uids if not view.is_gone(uid)] if view.has_expunges else uids


def slices(uids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Return the uids in portions that one operation changes."""
    return (uids[start : start + AT_ONCE] for start in range(0, len(uids), AT_ONCE))


async def set_flags(
    store: MailStore, folder_id: int, uids: Sequence[int], mode: FlagMode, flags: int, keywords: Sequence[str] = ()
) -> AsyncIterator[Sequence[MessageState]]:
    """Change flags; yields the messages as they are then, those that are gone missing."""
    for some in slices(uids):
        states, _ = await store.store_flags(folder_id, some, mode, flags, keywords, None)
        yield states


async def store(context: Context, command: Store) -> Output:
    """RFC 3501 §6.4.6. With .SILENT, only what is not as the client must think is told."""
    view = _writable(context)
    spans = chosen(view, command.messages, by_uid=command.by_uid)
    uids = uids_of(view, spans)
    keywords = view.spelled(command.keywords)
    changed = 0
    async for states in set_flags(context.store, view.folder_id, uids, command.mode, command.flags, keywords):
        yield _stored(view, command, states)
        changed += len(states)
    view.stale = view.stale or changed < len(uids)
    if not command.by_uid and changed < sum(map(len, spans)):
        yield EXPUNGE_ISSUED


async def _know_all(context: Context) -> None:
    """Before an OK to what names messages that this session may not have heard of: were they passed over as unknown,
    the client would take them for copied, and remove them here. Raises StoreUnavailable."""
    if context.view.stale:
        await refresh(context)


async def copy(context: Context, command: Copy) -> Output:
    """RFC 3501 §6.4.7, RFC 6851. COPYUID of a MOVE comes before the EXPUNGEs, in a response of its own; of one that
    fails midway too, for what was moved until then (RFC 6851 §4.3)."""
    view = _writable(context) if command.move else context.view
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
        for some in slices(uids) if command.move else [uids]:
            uid_validity, copied = await context.store.copy(view.folder_id, some, target.folder_id, move=command.move)
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
    yield await untagged_updates(context, expunges=True, look=False)
    if problem:
        raise problem


async def expunge(context: Context, command: Expunge) -> Output:
    """RFC 3501 §6.4.3; of some messages only, RFC 4315 §2.1."""
    _writable(context)
    # Told before anything goes: no EXPUNGE names a message that no EXISTS has counted.
    yield await untagged_updates(context, expunges=True, look=True)
    await remove_deleted(context, command.messages)
    yield Completion("OK", "EXPUNGE completed")


async def remove_deleted(context: Context, among: SequenceSet | None = None) -> None:
    r"""Remove what the view, which is to be fresh, shows as \Deleted; of these uids or of all."""
    view = context.view
    spans = [range(len(view.uids))] if among is None else among.of_uids(view.uids)
    for some in slices(view.flagged(DELETED, spans)):
        view.stale = True
        view.mark_gone(await context.store.expunge(view.folder_id, some))


def _stored(view: FolderView, command: Store, states: Sequence[MessageState]) -> bytes:
    lines = []
    for state in states:
        position = view.position(state.uid)
        if position is None:
            continue
        look = view.look_at(position)
        expected = _expected(look.bits, look.keywords, command)
        view.show(state)
        look = view.look_at(position)
        if not command.silent or expected != (look.bits & ~RECENT, look.keywords):
            uid = b"UID %d " % state.uid if command.by_uid else b""
            lines.append(b"* %d FETCH (%bFLAGS (%b))\r\n" % (position + 1, uid, look.octets))
    return view.new_keywords() + b"".join(lines)


def _expected(bits: int, keywords: frozenset[str], command: Store) -> tuple[int, frozenset[str]]:
    """What a client that knew of these flags thinks they are after the command."""
    bits &= ~RECENT
    words = frozenset(map(str.lower, command.keywords))
    if command.mode == "add":
        return bits | command.flags, keywords | words
    if command.mode == "remove":
        return bits & ~command.flags, keywords - words
    return command.flags, words


def _writable(context: Context) -> FolderView:
    if context.view.read_only:
        raise CommandRefused("READ-ONLY", "The folder was opened read-only")
    return context.view
