"""SEARCH and UID SEARCH (RFC 3501 §6.4.4): the messages that match, found by retrieval.imap.searching."""

from dataclasses import dataclass
from functools import partial

from retrieval.imap.context import Context, Output
from retrieval.imap.grammar import Scanner
from retrieval.imap.search_keys import SearchKey, parse_search
from retrieval.imap.searching import matching_positions
from retrieval.imap.verb import SELECTED, Feature, Verb

NUMBERS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Search:
    """`by_uid`: answered by uids, not by sequence numbers."""

    key: SearchKey
    by_uid: bool


def parse(scanner: Scanner, *, by_uid: bool) -> Search:
    """search = "SEARCH" SP search-program; retrieval.imap.search_keys has the grammar."""
    scanner.space()
    return Search(parse_search(scanner), by_uid)


async def search(context: Context, command: Search) -> Output:
    """One SEARCH response with sequence numbers or uids, ascending."""
    positions = await matching_positions(context, command.key)
    uids = context.view.uids
    yield b"* SEARCH"
    for start in range(0, len(positions), NUMBERS_AT_ONCE):
        portion = positions[start : start + NUMBERS_AT_ONCE]
        await context.pace.steps(len(portion))
        yield b"".join([b" %d" % (uids[at] if command.by_uid else at + 1) for at in portion])
    yield b"\r\n"


FEATURE = Feature(
    verbs=(
        Verb("SEARCH", SELECTED, partial(parse, by_uid=False), search, expunges=False, current=True),
        Verb("UID SEARCH", SELECTED, partial(parse, by_uid=True), search, current=True),
    )
)
