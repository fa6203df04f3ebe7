"""Commands about folders as a whole: SELECT to STATUS and NAMESPACE (RFC 3501 §6.3, RFC 2342, RFC 6154)."""

from mailsuite.mail.imap_string import imap_string
from retrieval.imap.commands import Create, Delete, Plain, Rename, Select, Status, Subscribe
from retrieval.imap.context import Completion, Context, Output, State
from retrieval.imap.errors import CommandRefused
from retrieval.imap.grammar import DELIMITER
from retrieval.imap.message_commands import remove_deleted
from retrieval.imap.modified_utf7 import encode_name
from retrieval.imap.updates import refresh
from retrieval.imap.view import FolderView
from retrieval.mail_store import FolderStatus, Refused, StoreUnavailable

MAX_NAME_CHARACTERS = 1_000
MAX_LEVELS = 50
_ROLES = {"\\SENT": "sent", "\\DRAFTS": "drafts", "\\TRASH": "trash", "\\JUNK": "junk", "\\ARCHIVE": "archive"}


async def select(context: Context, command: Select) -> Output:
    """RFC 3501 §6.3.1 and §6.3.2. Whatever was selected is not any more, even if this fails."""
    await unselect(context)
    status = await _status_of(context, command.name)
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


async def unselect(context: Context) -> None:
    """Leave the selected folder, if there is one."""
    if context.view_or_none is not None:
        context.view_or_none, context.state = None, State.AUTHENTICATED
        await context.store.watch(None)


async def create(context: Context, command: Create) -> Output:
    """RFC 3501 §6.3.3, with a special use from RFC 6154 §3."""
    _check_new_name(command.name)
    role = ""
    if command.roles:
        role = _ROLES.get(command.roles[0], "")
        taken = {folder.role for folder in await context.store.folders()}
        if len(command.roles) > 1 or not role or role in taken:
            raise CommandRefused("USEATTR", "No folder can be made for that use")
    await context.store.create_folder(command.name, role)
    yield Completion("OK", "CREATE completed")


async def delete(context: Context, command: Delete) -> Output:
    """RFC 3501 §6.3.4."""
    if command.name == "INBOX":
        raise CommandRefused("CANNOT", "INBOX can't be deleted")
    if context.view_or_none is not None and context.view.name == command.name:
        await unselect(context)
    await context.store.delete_folder(command.name)
    yield Completion("OK", "DELETE completed")


async def rename(context: Context, command: Rename) -> Output:
    """RFC 3501 §6.3.5."""
    _check_new_name(command.new_name)
    if command.new_name.startswith(command.name + DELIMITER) and command.name != "INBOX":
        raise CommandRefused("CANNOT", "A folder can't be moved into itself")
    await context.store.rename_folder(command.name, command.new_name)
    view = context.view_or_none
    if view is not None and command.name != "INBOX" and f"{view.name}/".startswith(f"{command.name}/"):
        view.name = command.new_name + view.name[len(command.name) :]
    yield Completion("OK", "RENAME completed")


async def subscribe(context: Context, command: Subscribe) -> Output:
    """RFC 3501 §6.3.6: a name can be subscribed whether or not there is such a folder."""
    if command.on:
        _check_name(command.name)
    await context.store.subscribe(command.name, on=command.on)
    yield Completion("OK", f"{'SUBSCRIBE' if command.on else 'UNSUBSCRIBE'} completed")


async def status(context: Context, command: Status) -> Output:
    """RFC 3501 §6.3.10; APPENDLIMIT is one for all folders (RFC 7889)."""
    found = await _status_of(context, command.name)
    values = {
        "APPENDLIMIT": context.limits.message_octets,
        "MESSAGES": found.message_count,
        "RECENT": found.recent_count,
        "UIDNEXT": found.uid_next,
        "UIDVALIDITY": found.uid_validity,
        "UNSEEN": found.unseen_count,
    }
    items = " ".join(f"{item} {values[item]}" for item in command.items)
    yield b"* STATUS %b (%b)\r\n" % (imap_string(encode_name(command.name)), items.encode())


async def namespace(context: Context, command: Plain) -> Output:
    """RFC 2342: one personal namespace without a prefix, none of others, none shared."""
    yield b'* NAMESPACE (("" "%b")) NIL NIL\r\n' % DELIMITER.encode()


async def close(context: Context, command: Plain) -> Output:
    r"""RFC 3501 §6.4.2: removes what is \Deleted, telling nothing; UNSELECT (RFC 3691) removes nothing."""
    if command.verb == "CLOSE" and not context.view.read_only:
        await refresh(context)
        await remove_deleted(context)
    await unselect(context)
    yield Completion("OK", f"{command.verb} completed")


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


async def _status_of(context: Context, name: str) -> FolderStatus:
    found = await context.store.status(name)
    if found is None:
        raise CommandRefused("NONEXISTENT", "There is no such folder, or it only holds others")
    return found


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


def _check_name(name: str) -> None:
    parts = name.split(DELIMITER)
    if not all(parts) or len(name) > MAX_NAME_CHARACTERS or len(parts) > MAX_LEVELS:
        raise CommandRefused("CANNOT", "A folder's name, or a part of it, is empty or too long")


def _check_new_name(name: str) -> None:
    _check_name(name)
    if name == "INBOX":
        raise CommandRefused("ALREADYEXISTS", "INBOX exists already")
