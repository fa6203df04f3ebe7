"""Messages of the selected folder as commands name them, and what several commands do to them.

All change some messages at a time, each durably: a client that marks its whole folder as read keeps nobody else waiting
for the store.
"""

from collections.abc import AsyncIterator, Iterator, Sequence

from mailsuite.store.flags import DELETED
from retrieval.imap.context import Completion, Context
from retrieval.imap.errors import CommandRefused
from retrieval.imap.grammar import Scanner
from retrieval.imap.sequence_set import SequenceSet
from retrieval.imap.view import FolderView
from retrieval.mail_store import MailStore
from retrieval.mail_values import FlagMode, MessageState

AT_ONCE = 500
EXPUNGE_ISSUED = Completion("NO", "Some of these messages were expunged by another session", "EXPUNGEISSUED")


def parse_messages(scanner: Scanner) -> SequenceSet:
    """Take a space and a sequence set. Raises BadCommand."""
    scanner.space()
    return scanner.sequence_set()


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


def writable(context: Context) -> FolderView:
    """Return the selected folder's view. Raises CommandRefused when it was opened by EXAMINE."""
    if context.view.read_only:
        raise CommandRefused("READ-ONLY", "The folder was opened read-only")
    return context.view


async def set_flags(
    store: MailStore, folder_id: int, uids: Sequence[int], mode: FlagMode, flags: int, keywords: Sequence[str] = ()
) -> AsyncIterator[Sequence[MessageState]]:
    """Change flags; yields the messages as they are then, those that are gone missing."""
    for portion in slices(uids):
        states, _ = await store.store_flags(folder_id, portion, mode, flags, keywords, None)
        yield states


async def remove_deleted(context: Context, among: SequenceSet | None = None) -> None:
    r"""Remove what the view, which is to be fresh, shows as \Deleted; of these uids or of all."""
    view = context.view
    spans = [range(len(view.uids))] if among is None else among.of_uids(view.uids)
    for portion in slices(view.flagged(DELETED, spans)):
        view.stale = True
        view.mark_gone(await context.store.expunge(view.folder_id, portion))
