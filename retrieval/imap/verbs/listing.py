"""LIST and LSUB (RFC 3501 §6.3.8 and §6.3.9) with CHILDREN (RFC 3348) and SPECIAL-USE (RFC 6154): names of folders."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from mailsuite.mail.imap_string import imap_string
from retrieval.imap.context import Context, Output
from retrieval.imap.errors import CommandRefused
from retrieval.imap.grammar import DELIMITER, Scanner, folder_name
from retrieval.imap.list_pattern import Pattern
from retrieval.imap.modified_utf7 import encode_name
from retrieval.imap.special_use import ATTRIBUTES
from retrieval.imap.verb import LOGGED_IN, Capability, Feature, Verb, logged_in
from retrieval.mail_values import FolderInfo
from retrieval.pace import STEP_OCTETS, Pace

# Names that are subscribed have no folders above them that would count: each may lead through fifty of its own.
MAX_TOLD_CHARACTERS = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class List:
    """LIST, or LSUB when `subscribed`; both arguments still in modified UTF-7."""

    reference: bytes
    pattern: bytes
    subscribed: bool


def parse(scanner: Scanner, *, subscribed: bool) -> List:
    """list = "LIST" SP mailbox SP list-mailbox"""
    scanner.space()
    reference = scanner.astring()
    scanner.space()
    return List(reference, scanner.list_pattern(), subscribed)


async def list_folders(context: Context, command: List) -> Output:
    """Names that match, each with its attributes; an empty pattern asks for the delimiter alone."""
    verb = b"LSUB" if command.subscribed else b"LIST"
    if not command.pattern and not command.subscribed:
        yield b'* LIST (\\Noselect) "%b" ""\r\n' % DELIMITER.encode()
        return
    try:
        pattern = folder_name(command.reference + command.pattern)
    except CommandRefused:
        return  # no folder has a name like that
    matching = _Matching(context.pace, pattern)
    folders = await context.store.folders()
    if command.subscribed:
        names = await context.store.subscriptions()
        attributes = await _subscribed(matching, names, folders, leads=b"%" in command.pattern)
    else:
        attributes = await _existing(matching, folders)
    for name in sorted(attributes, key=_order):
        await context.pace.spend(STEP_OCTETS + len(name))
        yield _line(verb, name, attributes[name])


class _Matching:
    """Whether names match, with turns for others between them. INBOX is matched in whatever case."""

    def __init__(self, pace: Pace, pattern: str) -> None:
        self.pace = pace
        self._pattern, self._inbox = Pattern(pattern), Pattern(pattern.upper())

    async def levels(self, name: str) -> list[str]:
        """Return which of the name and the names above it match."""
        await self.pace.spend(self._pattern.cost(name))
        ends = self._pattern.levels(name)
        first = name.partition(DELIMITER)[0]
        levels = [name[:end] for end in ends]
        if first == "INBOX":
            levels = [level for level in levels if level != first]
            levels += [first] if self._inbox.levels(first) else []
        return levels


async def _existing(matching: _Matching, folders: Iterable[FolderInfo]) -> dict[str, list[str]]:
    r"""Folders that match, and names that only hold others, as \Noselect."""
    by_name = {folder.name: folder for folder in folders}
    parents: set[str] = set()
    for name in by_name:
        await matching.pace.spend(STEP_OCTETS + len(name))
        parents.update(_parents(name, parents))
    attributes = {}
    for name in [*by_name, *(parents - by_name.keys())]:
        if name in await matching.levels(name):
            folder = by_name.get(name)
            words = [] if folder and folder.is_selectable else ["\\Noselect"]
            words.append("\\HasChildren" if name in parents else "\\HasNoChildren")
            if folder and folder.role in ATTRIBUTES:
                words.append(ATTRIBUTES[folder.role])
            attributes[name] = words
    return attributes


async def _subscribed(
    matching: _Matching, names: Iterable[str], folders: Iterable[FolderInfo], *, leads: bool
) -> dict[str, list[str]]:
    r"""Subscribed names that match; with `leads`, where the pattern stops at a level, also names that only lead to one
    that does not match itself, as \Noselect (RFC 3501 §6.3.9)."""
    selectable = {folder.name for folder in folders if folder.is_selectable}
    subscribed = set(names)
    attributes: dict[str, list[str]] = {}
    held = 0
    for name in subscribed:
        levels = await matching.levels(name)
        for level in levels if leads and name not in levels else [name] if name in levels else []:
            held += 0 if level in attributes else len(level)
            if held > MAX_TOLD_CHARACTERS:
                raise CommandRefused("LIMIT", "So many names are too long together; ask for fewer of them")
            attributes[level] = [] if level in selectable and level in subscribed else ["\\Noselect"]
    return attributes


def _parents(name: str, known: set[str]) -> Iterable[str]:
    """The names above this one, nearest first, up to one that is known already, whose own are then, too."""
    while (end := name.rfind(DELIMITER)) >= 0:
        name = name[:end]
        if name in known:
            return
        yield name


def _order(name: str) -> tuple[bool, str]:
    return name != "INBOX", name


def _line(verb: bytes, name: str, attributes: list[str]) -> bytes:
    words = " ".join(attributes).encode()
    return b'* %b (%b) "%b" %b\r\n' % (verb, words, DELIMITER.encode(), imap_string(encode_name(name)))


FEATURE = Feature(
    verbs=(
        Verb("LIST", LOGGED_IN, partial(parse, subscribed=False), list_folders),
        Verb("LSUB", LOGGED_IN, partial(parse, subscribed=True), list_folders),
    ),
    capabilities=(Capability("CHILDREN", logged_in),),
)
