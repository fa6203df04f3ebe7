"""How each command is read (RFC 3501 §6 and §9).

APPEND is read up to its literal only: the message itself never passes through here.
"""

from collections.abc import Callable

from mailsuite.store.flags import BITS, MAX_KEYWORDS_OCTETS
from retrieval.imap.commands import (
    Append,
    Authenticate,
    Command,
    Copy,
    Create,
    Delete,
    Enable,
    Expunge,
    Fetch,
    Id,
    List,
    Login,
    Plain,
    Rename,
    Search,
    Select,
    Status,
    Store,
    Subscribe,
)
from retrieval.imap.errors import BadCommand, CommandRefused
from retrieval.imap.fetch_items import parse_fetch_items
from retrieval.imap.grammar import DELIMITER, Scanner
from retrieval.imap.search_keys import parse_search
from retrieval.imap.sequence_set import SequenceSet
from retrieval.mail_store import FlagMode


def parse_arguments(verb: str, scanner: Scanner) -> Command:
    """Return the command; the scanner stands behind the verb, which is a key of PARSERS and, in a UID command, begins
    with "UID ". Raises BadCommand or CommandRefused."""
    command = PARSERS[verb](scanner)
    scanner.end()
    return command


def parse_append(scanner: Scanner) -> Append:
    """Take APPEND's arguments; the scanner then stands at the message's literal."""
    scanner.space()
    name = scanner.folder_name()
    scanner.space()
    flags: int = 0
    keywords: tuple[str, ...] = ()
    if scanner.starts_with(b"("):
        flags, keywords = split_flags(scanner.flag_list())
        scanner.space()
    internal_date = None
    if scanner.starts_with(b'"'):
        internal_date = scanner.date_time()
        scanner.space()
    return Append(name, flags, keywords, internal_date)


def split_flags(names: list[str]) -> tuple[int, tuple[str, ...]]:
    r"""Return system flags as bits, and keywords. \Recent is passed over: it is the server's (RFC 3501 §2.3.2).
    Raises BadCommand for a system flag that there is not."""
    bits = 0
    keywords: dict[str, str] = {}
    for name in names:
        lower = name.lower()
        if lower in BITS:
            bits |= BITS[lower]
        elif not name.startswith("\\"):
            keywords.setdefault(lower, name)
        elif lower != "\\recent":
            raise BadCommand("No such system flag")
    if len(" ".join(keywords)) > MAX_KEYWORDS_OCTETS:
        raise CommandRefused("LIMIT", f"The keywords of a message take at most {MAX_KEYWORDS_OCTETS} octets")
    return bits, tuple(keywords.values())


def _plain(verb: str) -> Callable[[Scanner], Command]:
    return lambda _: Plain(verb)


def _authenticate(scanner: Scanner) -> Authenticate:
    scanner.space()
    mechanism = scanner.keyword()
    if scanner.at_end:
        return Authenticate(mechanism, None)
    scanner.space()
    return Authenticate(mechanism, scanner.rest())  # initial-resp (RFC 4959 §3)


def _login(scanner: Scanner) -> Login:
    scanner.space()
    name = scanner.astring()
    scanner.space()
    return Login(name, scanner.astring())


def _name(scanner: Scanner) -> str:
    scanner.space()
    return scanner.folder_name()


def _create(scanner: Scanner) -> Create:
    """create = "CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"] (RFC 6154 §3)"""
    name = _name(scanner).removesuffix(DELIMITER)
    if scanner.at_end:
        return Create(name)
    scanner.space()
    roles = [role for uses in scanner.parenthesized(lambda: _uses(scanner)) for role in uses]
    return Create(name, tuple(role.upper() for role in roles))


def _uses(scanner: Scanner) -> list[str]:
    if scanner.keyword() != "USE":
        raise BadCommand("Unknown parameter of CREATE")
    scanner.space()
    return scanner.flag_list()


def _rename(scanner: Scanner) -> Rename:
    name = _name(scanner)
    return Rename(name, _name(scanner).removesuffix(DELIMITER))


def _list(scanner: Scanner, *, subscribed: bool) -> List:
    scanner.space()
    reference = scanner.astring()
    scanner.space()
    return List(reference, scanner.list_pattern(), subscribed)


def _status(scanner: Scanner) -> Status:
    name = _name(scanner)
    scanner.space()
    items = list(scanner.parenthesized(scanner.keyword))
    if not items or not set(items) <= STATUS_ITEMS:
        raise BadCommand("Unknown status item")
    return Status(name, tuple(dict.fromkeys(items)))


def _messages(scanner: Scanner) -> SequenceSet:
    scanner.space()
    messages = scanner.sequence_set()
    return messages


def _search(scanner: Scanner, *, by_uid: bool) -> Search:
    scanner.space()
    return Search(parse_search(scanner), by_uid)


def _fetch(scanner: Scanner, *, by_uid: bool) -> Fetch:
    messages = _messages(scanner)
    scanner.space()
    return Fetch(messages, parse_fetch_items(scanner), by_uid)


def _store(scanner: Scanner, *, by_uid: bool) -> Store:
    messages = _messages(scanner)
    scanner.space()
    mode: FlagMode = "replace"
    if scanner.accept(b"+"):
        mode = "add"
    elif scanner.accept(b"-"):
        mode = "remove"
    word = scanner.keyword()
    if word not in ("FLAGS", "FLAGS.SILENT"):
        raise BadCommand("Unknown item to store")
    scanner.space()
    names = scanner.flag_list() if scanner.starts_with(b"(") else _bare_flags(scanner)
    return Store(messages, mode, word == "FLAGS.SILENT", *split_flags(names), by_uid)


def _bare_flags(scanner: Scanner) -> list[str]:
    names = [scanner.flag()]
    while not scanner.at_end:
        scanner.space()
        names.append(scanner.flag())
    return names


def _copy(scanner: Scanner, *, move: bool, by_uid: bool) -> Copy:
    messages = _messages(scanner)
    return Copy(messages, _name(scanner), move, by_uid)


def _enable(scanner: Scanner) -> Enable:
    names: list[str] = []
    while not names or not scanner.at_end:
        scanner.space()
        names.append(scanner.keyword())
    return Enable(tuple(names))


def _id(scanner: Scanner) -> Id:
    """id = "ID" SP ("(" [string SP nstring *(SP string SP nstring)] ")" / nil) (RFC 2971 §3)"""
    scanner.space()
    if not scanner.starts_with(b"("):
        if scanner.nil_or_string() is not None:
            raise BadCommand("Expected a list or NIL")
        return Id(())
    fields: list[tuple[str, str]] = []
    for name, value in scanner.parenthesized(lambda: _id_field(scanner)):
        fields.append((name.decode(errors="replace").lower(), value.decode(errors="replace")))
        if len(fields) > 30 or len(name) > 30 or len(value) > 1024:  # RFC 2971 §3.3
            raise BadCommand("Too long an ID")
    return Id(tuple(fields))


def _id_field(scanner: Scanner) -> tuple[bytes, bytes]:
    name = scanner.string()
    scanner.space()
    return name, scanner.nil_or_string() or b""


def _append_without_literal(scanner: Scanner) -> Command:
    parse_append(scanner)
    raise BadCommand("Expected the message as a literal")


STATUS_ITEMS = {"APPENDLIMIT", "MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN"}

PARSERS: dict[str, Callable[[Scanner], Command]] = {
    **{
        verb: _plain(verb)
        for verb in (
            "CAPABILITY NOOP LOGOUT STARTTLS CHECK CLOSE UNSELECT IDLE NAMESPACE"  # no arguments
        ).split()
    },
    "AUTHENTICATE": _authenticate,
    "LOGIN": _login,
    "SELECT": lambda scanner: Select(_name(scanner), read_only=False),
    "EXAMINE": lambda scanner: Select(_name(scanner), read_only=True),
    "CREATE": _create,
    "DELETE": lambda scanner: Delete(_name(scanner)),
    "RENAME": _rename,
    "SUBSCRIBE": lambda scanner: Subscribe(_name(scanner), on=True),
    "UNSUBSCRIBE": lambda scanner: Subscribe(_name(scanner), on=False),
    "LIST": lambda scanner: _list(scanner, subscribed=False),
    "LSUB": lambda scanner: _list(scanner, subscribed=True),
    "STATUS": _status,
    "APPEND": _append_without_literal,
    "EXPUNGE": lambda _: Expunge(None),
    "SEARCH": lambda scanner: _search(scanner, by_uid=False),
    "FETCH": lambda scanner: _fetch(scanner, by_uid=False),
    "STORE": lambda scanner: _store(scanner, by_uid=False),
    "COPY": lambda scanner: _copy(scanner, move=False, by_uid=False),
    "MOVE": lambda scanner: _copy(scanner, move=True, by_uid=False),
    "UID EXPUNGE": lambda scanner: Expunge(_messages(scanner)),
    "UID SEARCH": lambda scanner: _search(scanner, by_uid=True),
    "UID FETCH": lambda scanner: _fetch(scanner, by_uid=True),
    "UID STORE": lambda scanner: _store(scanner, by_uid=True),
    "UID COPY": lambda scanner: _copy(scanner, move=False, by_uid=True),
    "UID MOVE": lambda scanner: _copy(scanner, move=True, by_uid=True),
    "ENABLE": _enable,
    "ID": _id,
}
