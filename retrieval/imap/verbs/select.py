"""SELECT and EXAMINE (RFC 3501 §6.3.1 and §6.3.2): opens a folder for the commands about its messages."""

from dataclasses import dataclass
from functools import partial

from retrieval.imap.context import Completion, Context, Output, State
from retrieval.imap.folder_names import parse_name, status_of
from retrieval.imap.grammar import Scanner
from retrieval.imap.verb import LOGGED_IN, Feature, Verb
from retrieval.imap.view import FolderView
from retrieval.mail_values import FolderStatus, Refused, StoreUnavailable


@dataclass(frozen=True, slots=True)
class Select:
    """EXAMINE when `read_only`."""

    name: str
    read_only: bool


def parse(scanner: Scanner, *, read_only: bool) -> Select:
    """select = "SELECT" SP mailbox"""
    return Select(parse_name(scanner), read_only)


async def select(context: Context, command: Select) -> Output:
    """Open the folder and tell about it. Whatever was selected is not any more, even if this fails."""
    await context.unselect()
    status = await status_of(context, command.name)
    await context.store.watch(status.folder_id)
    view = await _loaded(context, command, status)
    first_recent = await _first_recent(context, view, status)
    if first_recent is not None:
        view.mark_recent_since(first_recent)
    elif status.recent_count and view.uids:
        view.mark_recent_since(view.uids[-min(status.recent_count, len(view.uids))])
    context.view_or_none, context.state = view, State.SELECTED
    yield _opening(view)
    verb, code = ("EXAMINE", "READ-ONLY") if view.read_only else ("SELECT", "READ-WRITE")
    yield Completion("OK", f"{verb} completed", code)


def _opening(view: FolderView) -> bytes:
    permanent = view.flags_response()[len(b"* FLAGS (") : -len(b")\r\n")] + rb" \*"
    lines = [
        view.flags_response(),
        b"* OK [PERMANENTFLAGS (%b)] Flags that are kept\r\n" % (b"" if view.read_only else permanent),
        b"* %d EXISTS\r\n* %d RECENT\r\n" % (len(view.uids), view.recent_count),
        b"* OK [UIDVALIDITY %d] UIDs are valid\r\n" % view.uid_validity,
        b"* OK [UIDNEXT %d] Predicted next UID\r\n" % view.uid_next,
    ]
    unseen = view.first_unseen
    if unseen is not None:
        lines.insert(3, b"* OK [UNSEEN %d] First unseen message\r\n" % (unseen + 1))
    return b"".join(lines)


async def _loaded(context: Context, command: Select, status: FolderStatus) -> FolderView:
    """Return the folder's view, from the last one kept if the count agrees, else read anew."""
    view = context.views.open(status, command.name, read_only=command.read_only)
    view.absorb(await context.store.states(view.folder_id, since_modseq=view.modseq))
    view.settle()
    if len(view.uids) != status.message_count:
        view = FolderView(status, command.name, read_only=command.read_only)
        view.absorb(await context.store.states(view.folder_id))
        view.settle()
    context.views.keep(view, status)
    return view


async def _first_recent(context: Context, view: FolderView, status: FolderStatus) -> int | None:
    r"""Make new messages \Recent here and in no later session; None when they only look so (EXAMINE)."""
    if view.read_only or not status.recent_count:
        return None
    try:
        return await context.store.claim_recent(view.folder_id)
    except (Refused, StoreUnavailable):
        return None  # reading goes on while the writer is away


FEATURE = Feature(
    verbs=(
        Verb("SELECT", LOGGED_IN, partial(parse, read_only=False), select),
        Verb("EXAMINE", LOGGED_IN, partial(parse, read_only=True), select),
    )
)
