"""SUBSCRIBE and UNSUBSCRIBE (RFC 3501 §6.3.6 and §6.3.7): the list of names that LSUB tells."""

from dataclasses import dataclass
from functools import partial

from retrieval.imap.context import Completion, Context, Output
from retrieval.imap.folder_names import check_name, parse_name
from retrieval.imap.grammar import Scanner
from retrieval.imap.verb import LOGGED_IN, Feature, Verb


@dataclass(frozen=True, slots=True)
class Subscribe:
    """UNSUBSCRIBE when not `on`."""

    name: str
    on: bool


def parse(scanner: Scanner, *, on: bool) -> Subscribe:
    """subscribe = "SUBSCRIBE" SP mailbox"""
    return Subscribe(parse_name(scanner), on)


async def subscribe(context: Context, command: Subscribe) -> Output:
    """Put the name on the list or take it off, whether or not there is such a folder."""
    if command.on:
        check_name(command.name)
    await context.store.subscribe(command.name, on=command.on)
    yield Completion("OK", f"{'SUBSCRIBE' if command.on else 'UNSUBSCRIBE'} completed")


FEATURE = Feature(
    verbs=(
        Verb("SUBSCRIBE", LOGGED_IN, partial(parse, on=True), subscribe),
        Verb("UNSUBSCRIBE", LOGGED_IN, partial(parse, on=False), subscribe),
    )
)
