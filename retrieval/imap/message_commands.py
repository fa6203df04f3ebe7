"""STORE, COPY, MOVE and EXPUNGE of messages of the selected folder (RFC 3501 §6.4, RFC 4315, RFC 6851)."""

from collections.abc import Sequence

from retrieval.imap.commands import Copy, Expunge, Store
from retrieval.imap.context import Completion, Context, Output
from retrieval.imap.errors import CommandRefused
from retrieval.imap.sequence_set import SequenceSet, format_uid_set
from retrieval.imap.updates import untagged_updates
from retrieval.imap.view import RECENT, FolderView
from retrieval.mail_store import MessageState

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


async def store(context: Context, command: Store) -> Output:
    """RFC 3501 §6.4.6. With .SILENT, only what is not as the client must think is told."""
    view = _writable(context)
    spans = chosen(view, command.messages, by_uid=command.by_uid)
    uids = uids_of(view, spans)
    keywords = view.spelled(command.keywords)
    if uids:
        states, _ = await context.store.store_flags(view.folder_id, uids, command.mode, command.flags, keywords, None)
        yield _stored(view, command, states)
        if len(states) < len(uids):
            view.stale = True
            if not command.by_uid:
                yield EXPUNGE_ISSUED
                return
    if not command.by_uid and sum(map(len, spans)) > len(uids):
        yield EXPUNGE_ISSUED


async def copy(context: Context, command: Copy) -> Output:
    """RFC 3501 §6.4.7, RFC 6851. COPYUID of a MOVE comes before the EXPUNGEs, in a response of its own."""
    view = _writable(context) if command.move else context.view
    uids = uids_of(view, chosen(view, command.messages, by_uid=command.by_uid))
    target = await context.store.status(command.name)
    if target is None:
        raise CommandRefused("TRYCREATE", "There is no such folder")
    if not uids:
        return
    uid_validity, pairs = await context.store.copy(view.folder_id, uids, target.folder_id, move=command.move)
    view.stale = view.stale or command.move or target.folder_id == view.folder_id
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


async def expunge(context: Context, command: Expunge) -> Output:
    """RFC 3501 §6.4.3; of some messages only, RFC 4315 §2.1."""
    view = _writable(context)
    uids = None
    if command.messages is not None:
        uids = uids_of(view, command.messages.of_uids(view.uids))
    if uids is None or uids:
        view.mark_gone(await context.store.expunge(view.folder_id, uids))
        view.stale = True
    yield Completion("OK", "EXPUNGE completed")


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
    return b"".join(lines)


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
