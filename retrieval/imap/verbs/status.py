"""STATUS (RFC 3501 §6.3.10, APPENDLIMIT of RFC 7889): numbers about a folder that need not be selected."""

from collections.abc import Callable
from dataclasses import dataclass

from mailsuite.mail.imap_string import imap_string
from retrieval.imap.context import Context, Output
from retrieval.imap.errors import BadCommand
from retrieval.imap.folder_names import parse_name, status_of
from retrieval.imap.grammar import Scanner
from retrieval.imap.modified_utf7 import encode_name
from retrieval.imap.verb import LOGGED_IN, Feature, Verb
from retrieval.mail_values import FolderStatus

ITEMS: dict[str, Callable[[Context, FolderStatus], int]] = {
    "APPENDLIMIT": lambda context, _: context.limits.message_octets,  # one for all folders
    "MESSAGES": lambda _, folder: folder.message_count,
    "RECENT": lambda _, folder: folder.recent_count,
    "UIDNEXT": lambda _, folder: folder.uid_next,
    "UIDVALIDITY": lambda _, folder: folder.uid_validity,
    "UNSEEN": lambda _, folder: folder.unseen_count,
}


@dataclass(frozen=True, slots=True)
class Status:
    """`items` are keys of ITEMS, each once."""

    name: str
    items: tuple[str, ...]


def parse(scanner: Scanner) -> Status:
    """status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")" """
    name = parse_name(scanner)
    scanner.space()
    items = list(scanner.parenthesized(scanner.keyword))
    if not items or not set(items) <= ITEMS.keys():
        raise BadCommand("Unknown status item")
    return Status(name, tuple(dict.fromkeys(items)))


async def status(context: Context, command: Status) -> Output:
    """One STATUS response with the items in the order in which they were asked for."""
    folder = await status_of(context, command.name)
    items = " ".join(f"{item} {ITEMS[item](context, folder)}" for item in command.items)
    yield b"* STATUS %b (%b)\r\n" % (imap_string(encode_name(command.name)), items.encode())


FEATURE = Feature(verbs=(Verb("STATUS", LOGGED_IN, parse, status),))
