"""The commands of IMAP4rev1 and its extensions as values (RFC 3501 §6); `parsers` makes them."""

from dataclasses import dataclass
from datetime import datetime

from retrieval.imap.fetch_items import FetchItem
from retrieval.imap.search_keys import SearchKey
from retrieval.imap.sequence_set import SequenceSet
from retrieval.mail_store import FlagMode


@dataclass(frozen=True, slots=True)
class Plain:
    """A command without arguments, such as NOOP."""

    verb: str


@dataclass(frozen=True, slots=True)
class Authenticate:
    mechanism: str
    initial_response: bytes | None


@dataclass(frozen=True, slots=True)
class Login:
    name: bytes
    password: bytes


@dataclass(frozen=True, slots=True)
class Select:
    name: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Create:
    name: str
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    name: str


@dataclass(frozen=True, slots=True)
class Rename:
    name: str
    new_name: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    name: str
    on: bool


@dataclass(frozen=True, slots=True)
class List:
    """LIST, or LSUB when `subscribed`; both arguments still in modified UTF-7."""

    reference: bytes
    pattern: bytes
    subscribed: bool


@dataclass(frozen=True, slots=True)
class Status:
    name: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Append:
    """APPEND up to its literal."""

    name: str
    flags: int
    keywords: tuple[str, ...]
    internal_date: datetime | None


@dataclass(frozen=True, slots=True)
class Expunge:
    """EXPUNGE, or UID EXPUNGE of some."""

    messages: SequenceSet | None


@dataclass(frozen=True, slots=True)
class Search:
    key: SearchKey
    by_uid: bool


@dataclass(frozen=True, slots=True)
class Fetch:
    messages: SequenceSet
    items: tuple[FetchItem, ...]
    by_uid: bool


@dataclass(frozen=True, slots=True)
class Store:
    messages: SequenceSet
    mode: FlagMode
    silent: bool
    flags: int
    keywords: tuple[str, ...]
    by_uid: bool


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY, or MOVE (RFC 6851) when `move`."""

    messages: SequenceSet
    name: str
    move: bool
    by_uid: bool


@dataclass(frozen=True, slots=True)
class Enable:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Id:
    """The client's fields (RFC 2971), names in lower case."""

    fields: tuple[tuple[str, str], ...]


Command = (
    Plain
    | Authenticate
    | Login
    | Select
    | Create
    | Delete
    | Rename
    | Subscribe
    | List
    | Status
    | Append
    | Expunge
    | Search
    | Fetch
    | Store
    | Copy
    | Enable
    | Id
)
