"""What went wrong, as a client is told (RFC 3501 §7.1, RFC 5530)."""

from retrieval.imap.context import Completion
from retrieval.imap.errors import BadCommand, CommandRefused
from retrieval.imap.updates import FolderVanished
from retrieval.mail_values import Refused, StoreUnavailable

_CODES = {
    "nonexistent": "NONEXISTENT",
    "exists": "ALREADYEXISTS",
    "cannot": "CANNOT",
    "limit": "LIMIT",
    "over-quota": "OVERQUOTA",
    "locked": "INUSE",
    "invalid": "CANNOT",
    # RFC 5530 §3 has no word for a full disk: it is temporary, and not the user's own doing as OVERQUOTA is.
    "storage-full": "UNAVAILABLE",
}


def completion_of(problem: Exception) -> Completion | None:
    """Return how a command ends that ran into this; None for a bug."""
    match problem:
        case BadCommand():
            return Completion("BAD", str(problem))
        case CommandRefused(code=code, text=text):
            return Completion("NO", text, code)
        case Refused(code=code, text=text):
            return Completion("NO", text, _CODES.get(code, "CANNOT"))
        case FolderVanished():
            return Completion("NO", "The selected folder was deleted", "NONEXISTENT")
        case StoreUnavailable():
            return Completion("NO", "The store can't be reached now, try again", "UNAVAILABLE")
    return None
