"""Views of folders that were open lately, so that opening one again reads only what has changed since.

Clients open the same folders again and again, in several connections each. What is kept is some twelve octets a
message; a view is still brought up to date from the store before anybody sees it, so nothing here can be stale.
"""

from mailsuite.bounded import Bounded
from retrieval.imap.view import FolderView
from retrieval.mail_values import FolderStatus

LEAST_MESSAGES = 100  # smaller folders are read as fast


class ViewCache:
    """The last views, at most `messages` messages of them in all; the folder longest unopened goes first."""

    def __init__(self, messages: int = 500_000) -> None:
        self._limit = messages
        self._views: Bounded[int, FolderView] = Bounded(messages // LEAST_MESSAGES + 1, max_weight=messages)

    def open(self, status: FolderStatus, name: str, *, read_only: bool) -> FolderView:
        """Return a view of the folder that begins where the last one kept of it was."""
        view = FolderView(status, name, read_only=read_only)
        known = self._views.get(status.folder_id)
        if known is not None and known.uid_validity == status.uid_validity:
            view.begin_from(known)
        return view

    def keep(self, view: FolderView, status: FolderStatus) -> None:
        r"""Remember a copy of the view, which nothing is \Recent in yet."""
        known = self._views.pop(status.folder_id)
        if not LEAST_MESSAGES <= len(view.uids) <= self._limit:
            return
        if known is None or known.modseq != view.modseq or known.uid_validity != view.uid_validity:
            known = FolderView(status, view.name, read_only=True)
            known.begin_from(view)
        self._views.put(status.folder_id, known, len(known.uids))
