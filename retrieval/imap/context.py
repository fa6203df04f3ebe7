"""What the handlers of one session share, and what they hand back."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from retrieval.imap.continuation import Ask
from retrieval.imap.errors import BadCommand
from retrieval.imap.grammar import GrammarLimits
from retrieval.imap.view import FolderView
from retrieval.imap.view_cache import ViewCache
from retrieval.mail_store import Directory, MailStore
from retrieval.pace import Pace
from retrieval.search_budget import SearchBudget


class State(Enum):
    """RFC 3501 §3."""

    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


@dataclass(frozen=True, slots=True)
class ImapLimits:
    """Bounds of one session: octets, counts, seconds.

    `dropped_octets`: of a message that is refused while it is on its way, so many are read and dropped and the session
    goes on; a larger one ends it (RFC 7888 §4).
    """

    login_line_octets: int = 8 * 1024
    line_octets: int = 64 * 1024
    login_literal_octets: int = 4 * 1024
    literal_octets: int = 64 * 1024
    command_octets: int = 256 * 1024
    message_octets: int = 50 * 1024 * 1024
    dropped_octets: int = 128 * 1024 * 1024
    grammar: GrammarLimits = GrammarLimits()
    search_octets: int = 2 * 1024 * 1024 * 1024  # looked at by one SEARCH
    search_seconds: float = 60  # of one SEARCH in the thread that reads texts
    bad_commands: int = 20
    failed_logins: int = 5
    login_seconds: float = 60
    idle_seconds: float = 30 * 60  # RFC 3501 §5.4
    waiting_seconds: float = 24 * 60 * 60  # in IDLE

    def __post_init__(self) -> None:
        if self.idle_seconds < 30 * 60:
            raise ValueError("an authenticated client may be silent for 30 minutes")


@dataclass(frozen=True, slots=True)
class Completion:
    """A command's tagged end. `status` is OK, NO or BAD, or BYE when the session ends with this text and no tagged
    line; `code` goes into brackets."""

    status: str
    text: str
    code: str = ""

    def line(self, tag: bytes) -> bytes:
        """Return the tagged line, with its end."""
        code = f"[{self.code}] " if self.code else ""
        return b"%b %b\r\n" % (tag, f"{self.status} {code}{self.text}".encode("ascii", "replace"))


Output = AsyncGenerator[bytes | Completion | Ask, Any]
"""A handler's answer: untagged responses, what it asks of the client on the way (retrieval.imap.continuation), and at
most one Completion; without one the command ended well."""


@dataclass(slots=True)
class Context:
    """The state of one session."""

    limits: ImapLimits
    hostname: str
    directory: Directory
    client_address: str
    tls_active: bool
    starttls_available: bool
    capabilities_in: Callable[["Context"], str]
    version: str = ""
    state: State = State.NOT_AUTHENTICATED
    store_or_none: MailStore | None = None
    view_or_none: FolderView | None = None
    client_name: str = ""
    asked_utf8: bool = False  # it may take UTF8=ACCEPT for enabled (utf8_wrapper says who does)
    failed_logins: int = 0
    is_mid_answer: bool = False
    closing_text: str = ""
    wants_starttls: bool = False
    views: ViewCache = field(default_factory=ViewCache)
    pace: Pace = field(default_factory=Pace)
    is_interrupted: bool = False
    _search: SearchBudget | None = None

    @property
    def capabilities(self) -> str:
        """What CAPABILITY tells now."""
        return self.capabilities_in(self)

    @property
    def store(self) -> MailStore:
        """The store of who has logged in."""
        if self.store_or_none is None:
            raise BadCommand("Not logged in")
        return self.store_or_none

    def search_budget(self) -> SearchBudget:
        """What the search that begins now may cost."""
        self._search = SearchBudget(self.limits.search_octets, self.limits.search_seconds)
        if self.is_interrupted:
            self._search.give_up()
        return self._search

    def interrupt(self) -> None:
        """Have what takes long end soon: the client is gone, or the session is to end."""
        self.is_interrupted = True
        if self._search is not None:
            self._search.give_up()

    @property
    def view(self) -> FolderView:
        """The selected folder."""
        if self.view_or_none is None:
            raise BadCommand("No folder is selected")
        return self.view_or_none

    async def unselect(self) -> None:
        """Leave the selected folder, if there is one."""
        if self.view_or_none is not None:
            self.view_or_none, self.state = None, State.AUTHENTICATED
            await self.store.watch(None)
