"""RENAME (RFC 3501 §6.3.5): gives a folder, and those in it, another name."""

from dataclasses import dataclass

from retrieval.imap.context import Completion, Context, Output
from retrieval.imap.errors import CommandRefused
from retrieval.imap.folder_names import check_new_name, parse_name
from retrieval.imap.grammar import DELIMITER, Scanner
from retrieval.imap.verb import LOGGED_IN, Feature, Verb


@dataclass(frozen=True, slots=True)
class Rename:
    name: str
    new_name: str


def parse(scanner: Scanner) -> Rename:
    """rename = "RENAME" SP mailbox SP mailbox"""
    name = parse_name(scanner)
    return Rename(name, parse_name(scanner).removesuffix(DELIMITER))


async def rename(context: Context, command: Rename) -> Output:
    """Rename the folder; INBOX stays, and gives its messages to the new one."""
    check_new_name(command.new_name)
    if command.new_name.startswith(command.name + DELIMITER) and command.name != "INBOX":
        raise CommandRefused("CANNOT", "A folder can't be moved into itself")
    await context.store.rename_folder(command.name, command.new_name)
    view = context.view_or_none
    if view is not None and command.name != "INBOX" and f"{view.name}/".startswith(f"{command.name}/"):
        view.name = command.new_name + view.name[len(command.name) :]
    yield Completion("OK", "RENAME completed")


FEATURE = Feature(verbs=(Verb("RENAME", LOGGED_IN, parse, rename),))
