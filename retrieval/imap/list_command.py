"""LIST and LSUB (RFC 3501 §6.3.8 and §6.3.9) with CHILDREN (RFC 3348) and SPECIAL-USE (RFC 6154)."""

from collections.abc import Iterable

from mailsuite.mail.imap_string import imap_string
from retrieval.imap.commands import List
from retrieval.imap.context import Context, Output
from retrieval.imap.errors import CommandRefused
from retrieval.imap.grammar import DELIMITER, folder_name
from retrieval.imap.list_pattern import compile_pattern
from retrieval.imap.modified_utf7 import encode_name
from retrieval.mail_store import FolderInfo

_SPECIAL_USE = {"sent": "\\Sent", "drafts": "\\Drafts", "trash": "\\Trash", "junk": "\\Junk", "archive": "\\Archive"}


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
    matches, matches_inbox = compile_pattern(pattern), compile_pattern(pattern.upper())
    folders = await context.store.folders()
    if command.subscribed:
        attributes = _subscribed(await context.store.subscriptions(), folders, command.pattern)
    else:
        attributes = _existing(folders)
    names = (name for name in attributes if (matches_inbox if name == "INBOX" else matches)(name))
    yield b"".join(_line(verb, name, attributes[name]) for name in sorted(names, key=_order))


def _existing(folders: Iterable[FolderInfo]) -> dict[str, list[str]]:
    by_name = {folder.name: folder for folder in folders}
    parents = {parent for name in by_name for parent in _parents(name)}
    attributes = {}
    for name in by_name.keys() | parents:
        folder = by_name.get(name)
        words = [] if folder and folder.is_selectable else ["\\Noselect"]
        words.append("\\HasChildren" if name in parents else "\\HasNoChildren")
        if folder and folder.role in _SPECIAL_USE:
            words.append(_SPECIAL_USE[folder.role])
        attributes[name] = words
    return attributes


def _subscribed(names: Iterable[str], folders: Iterable[FolderInfo], pattern: bytes) -> dict[str, list[str]]:
    r"""Subscribed names; where the pattern stops at a level, names that only lead to one, as \Noselect."""
    selectable = {folder.name for folder in folders if folder.is_selectable}
    subscribed = set(names)
    attributes: dict[str, list[str]] = {}
    if b"%" in pattern:
        attributes = {parent: ["\\Noselect"] for name in subscribed for parent in _parents(name)}
    attributes.update({name: [] if name in selectable else ["\\Noselect"] for name in subscribed})
    return attributes


def _parents(name: str) -> Iterable[str]:
    parts = name.split(DELIMITER)[:-1]
    return (DELIMITER.join(parts[: count + 1]) for count in range(len(parts)))


def _order(name: str) -> tuple[bool, str]:
    return name != "INBOX", name


def _line(verb: bytes, name: str, attributes: list[str]) -> bytes:
    words = " ".join(attributes).encode()
    return b'* %b (%b) "%b" %b\r\n' % (verb, words, DELIMITER.encode(), imap_string(encode_name(name)))
