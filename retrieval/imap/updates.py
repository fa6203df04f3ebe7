"""Bringing a session's view up to date with the store, and its client up to date with the view."""

from collections.abc import Sequence

from retrieval.imap.context import Context
from retrieval.imap.view import FolderView
from retrieval.mail_store import FolderChanges, MailStore, Refused, StoreUnavailable


class FolderVanished(Exception):
    """The selected folder was deleted by another session: this one can only end (RFC 2180 §3.3)."""


async def refresh(context: Context) -> None:
    """Take in what others have changed in the selected folder. Raises FolderVanished, StoreUnavailable."""
    view = context.view
    view.stale = False
    try:
        changes = await context.store.states(view.folder_id, since_modseq=view.modseq)
    except Refused as refused:
        raise FolderVanished from refused
    except StoreUnavailable:
        view.stale = True
        raise
    view.absorb(changes, await _claimed(context.store, view, changes))


async def untagged_updates(context: Context, *, expunges: bool, look: bool) -> bytes:
    """Return the untagged responses for what has changed; `look` asks the store even if no hint came."""
    view = context.view_or_none
    if view is None:
        return b""
    if view.stale or look:
        try:
            await refresh(context)
        except StoreUnavailable:
            pass  # told next time: nothing is known to be wrong
    return view.updates(expunges=expunges)


async def _claimed(store: MailStore, view: FolderView, changes: FolderChanges) -> Sequence[int]:
    r"""Return those of the new uids that become \Recent in this session and no other."""
    fresh = view.new_uids(changes)
    if not fresh or view.read_only:
        return ()
    try:
        first = await store.claim_recent(view.folder_id)
    except (Refused, StoreUnavailable):
        return ()
    return [uid for uid in fresh if uid >= first]
