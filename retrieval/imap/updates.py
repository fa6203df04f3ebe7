"""Bringing a session's view up to date with the store, and its client up to date with the view."""

from retrieval.imap.context import Context
from retrieval.imap.view import FolderView
from retrieval.mail_store import MailStore
from retrieval.mail_values import Refused, StoreUnavailable


class FolderVanished(Exception):
    """The selected folder was deleted by another session: this one can only end (RFC 2180 §3.3)."""


async def refresh(context: Context, *, claim: bool = True) -> None:
    r"""Take in what others have changed in the selected folder. Raises FolderVanished, StoreUnavailable.

    `claim` makes new messages \Recent in this session and no later one, which is a write. Without it, they are \Recent
    here and perhaps elsewhere, as RFC 3501 §2.3.2 allows, until `claim_seen`.
    """
    view = context.view
    view.stale = False
    try:
        changes = await context.store.states(view.folder_id, since_modseq=view.modseq)
    except Refused as refused:
        raise FolderVanished from refused
    except StoreUnavailable:
        view.stale = True
        raise
    fresh = view.new_uids(changes)
    if fresh and not view.read_only:
        first = await _claim(context.store, view) if claim else 0
        view.has_unclaimed = view.has_unclaimed or not claim
        fresh = [uid for uid in fresh if first is not None and uid >= first]
    view.absorb(changes, [] if view.read_only else fresh)


async def claim_seen(context: Context) -> None:
    r"""Claim what arrived while IDLE: once, not for each of the messages and sessions that wait."""
    view = context.view_or_none
    if view is not None and view.has_unclaimed:
        view.has_unclaimed = False
        await _claim(context.store, view)


async def untagged_updates(context: Context, *, expunges: bool, ask: bool, claim: bool = True) -> bytes:
    """Return the untagged responses for what has changed; `ask` asks the store even if no hint came."""
    view = context.view_or_none
    if view is None:
        return b""
    if view.stale or ask:
        try:
            await refresh(context, claim=claim)
        except StoreUnavailable:
            pass  # told next time: nothing is known to be wrong
    return view.updates(expunges=expunges)


async def _claim(store: MailStore, view: FolderView) -> int | None:
    r"""Return the first uid that was \Recent in no session yet; None when that can't be known now."""
    try:
        return await store.claim_recent(view.folder_id)
    except (Refused, StoreUnavailable):
        return None
