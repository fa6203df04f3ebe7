"""DELETE (RFC 3501 §6.3.4): removes a folder with its messages."""

from dataclasses import dataclass

from retrieval.imap.context import Completion, Context, Output
from retrieval.imap.errors import CommandRefused
from retrieval.imap.folder_names import parse_name
from retrieval.imap.verb import LOGGED_IN, Feature, Verb


@dataclass(frozen=True, slots=True)
class Delete:
    name: str


async def delete(context: Context, command: Delete) -> Output:
    """Remove the folder; a client that has it selected has no folder selected then."""
    if command.name == "INBOX":
        raise CommandRefused("CANNOT", "INBOX can't be deleted")
    if context.view_or_none is not None and context.view.name == command.name:
        await context.unselect()
    await context.store.delete_folder(command.name)
    yield Completion("OK", "DELETE completed")


FEATURE = Feature(verbs=(Verb("DELETE", LOGGED_IN, lambda scanner: Delete(parse_name(scanner)), delete),))
