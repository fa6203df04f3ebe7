"""FETCH and UID FETCH (RFC 3501 §6.4.5): tells what messages are and hold.

Flags come from the view's arrays, ready octets from rows, sections from the message itself. What is ready is answered
by columns: one iterable an item, one format a message, one join a slice, so that a folder's envelopes cost little more
than reading them.
"""

from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from mailsuite.store.flags import SEEN
from retrieval.imap.context import Context, Output
from retrieval.imap.errors import BrokenAnswer
from retrieval.imap.fetch_items import FetchItem, Item, Section, parse_fetch_items
from retrieval.imap.grammar import MONTHS, Scanner
from retrieval.imap.messages import EXPUNGE_ISSUED, chosen, parse_messages, set_flags, uids_of
from retrieval.imap.sections import CHUNK_OCTETS, Slice, find_section, header_reader, section_fields
from retrieval.imap.sequence_set import SequenceSet
from retrieval.imap.verb import SELECTED, Feature, Verb
from retrieval.imap.view import FolderView
from retrieval.mail_values import MessageRow, Refused, RowField, StoreUnavailable
from retrieval.pace import STEP_OCTETS

_SLICE_MESSAGES = 2_000
# What of the answers is made at once: a client may ask for a header, or a part, two hundred times over.
READY_OCTETS = 1024 * 1024
MESSAGE_OCTETS = 1024 * 1024
_FROM_VIEW = {Item.UID, Item.FLAGS}
_ROW_FIELDS: dict[Item, RowField] = {
    Item.ENVELOPE: "envelope",
    Item.BODY: "body",
    Item.BODY_STRUCTURE: "body_structure",
}
_PLACEHOLDERS = {Item.UID: b"%d", Item.SIZE: b"%d", Item.FLAGS: b"(%b)", Item.INTERNAL_DATE: b'"%b"'}


_OCTETS = attrgetter("octets")


@dataclass(frozen=True, slots=True)
class Fetch:
    messages: SequenceSet
    items: tuple[FetchItem, ...]
    by_uid: bool


def parse(scanner: Scanner, *, by_uid: bool) -> Fetch:
    """fetch = "FETCH" SP sequence-set SP items; retrieval.imap.fetch_items has the grammar of these."""
    messages = parse_messages(scanner)
    scanner.space()
    return Fetch(messages, parse_fetch_items(scanner), by_uid)


class _Messages(NamedTuple):
    """One slice: positions in the view, and rows when there are any."""

    view: FolderView
    positions: Sequence[int]
    rows: Sequence[MessageRow]


def _uids(messages: _Messages) -> Iterable[int]:
    return map(messages.view.uids.__getitem__, messages.positions)


def _flags(messages: _Messages) -> Iterable[bytes]:
    flag_sets = map(messages.view.flag_sets.__getitem__, messages.positions)
    return map(_OCTETS, map(messages.view.table.__getitem__, flag_sets))


_COLUMNS: dict[Item, Callable[[_Messages], Iterable[bytes | int | None]]] = {
    Item.UID: _uids,
    Item.FLAGS: _flags,
    Item.INTERNAL_DATE: lambda messages: [format_internal_date(row.internal_date) for row in messages.rows],
    Item.SIZE: lambda messages: [row.size_octets for row in messages.rows],
    Item.ENVELOPE: lambda messages: [row.envelope for row in messages.rows],
    Item.BODY: lambda messages: [row.body for row in messages.rows],
    Item.BODY_STRUCTURE: lambda messages: [row.body_structure for row in messages.rows],
}


async def fetch(context: Context, command: Fetch) -> Output:
    """The answers, in slices; messages that another session expunged meanwhile are passed over (RFC 2180 §4.1)."""
    view = context.view
    spans = chosen(view, command.messages, by_uid=command.by_uid)
    items = command.items
    if command.by_uid and Item.UID not in items:
        items = (Item.UID, *items)
    if _FROM_VIEW.issuperset(items):
        for span in spans:
            for start in range(span.start, span.stop, _SLICE_MESSAGES):
                positions = range(start, min(start + _SLICE_MESSAGES, span.stop))
                await context.pace.steps(len(positions))
                yield _ready(items, _Messages(view, positions, ()))
        return
    uids = uids_of(view, spans)
    if not uids:
        return
    seen = await _see(context, items, uids)
    yield view.new_keywords()
    sections = any(isinstance(item, Section) for item in items)
    answered = 0
    async for rows in context.store.rows(view.folder_id, uids, _fields(items)):
        messages = _Messages(view, [bisect_left(view.uids, row.uid) for row in rows], rows)
        answered += len(rows)
        if sections and not _are_at_hand(items, rows, seen):
            async for octets in _with_sections(context, items, messages, seen):
                yield octets
        else:
            for cost, portion in _portions(items, messages):
                await context.pace.spend(cost)
                yield _ready(items, portion)
    if answered < sum(map(len, spans)) or (view.has_expunges and any(map(view.is_gone, uids))):
        view.stale = True
        if not command.by_uid:
            yield EXPUNGE_ISSUED


def format_internal_date(moment: datetime) -> bytes:
    """Return the date-time in UTC as INTERNALDATE has it (RFC 3501 §9, date-time)."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return b"%02d-%b-%04d %02d:%02d:%02d +0000" % (
        moment.day,
        MONTHS[moment.month - 1],
        moment.year,
        moment.hour,
        moment.minute,
        moment.second,
    )


def _ready(items: Sequence[Item | Section], messages: _Messages) -> bytes:
    """The answers of one slice, in which nothing has to be read first."""
    template = b"* %d FETCH (" + b" ".join(map(_written, items)) + b")\r\n"
    numbers = [position + 1 for position in messages.positions]
    return b"".join(map(template.__mod__, zip(numbers, *(_column(item, messages) for item in items), strict=True)))


def _portions(items: Sequence[Item | Section], messages: _Messages) -> Iterator[tuple[int, _Messages]]:
    """The slice in portions whose answers take READY_OCTETS or a single message's, however often the headers are asked
    for; each with the octets that are looked at for it."""
    view, positions, rows = messages
    sections = [item for item in items if isinstance(item, Section)]
    labels = sum(len(item.label) for item in sections)
    begin = octets = 0
    for at, row in enumerate(rows):
        ready = sum(map(len, filter(None, (row.envelope, row.body_structure, row.body))))
        cost = STEP_OCTETS + labels + ready + len(sections) * len(row.header or b"")
        if octets and octets + cost > READY_OCTETS:
            yield octets, _Messages(view, positions[begin:at], rows[begin:at])
            begin, octets = at, 0
        octets += cost
    yield octets, _Messages(view, positions[begin:], rows[begin:])


def _written(item: Item | Section) -> bytes:
    """Return an item's name and the place of its value."""
    if isinstance(item, Section):
        return item.label.replace(b"%", b"%%") + b" %b"
    return item.value.encode() + b" " + _PLACEHOLDERS.get(item, b"%b")


def _column(item: Item | Section, messages: _Messages) -> Iterable[bytes | int | None]:
    if isinstance(item, Item):
        return _COLUMNS[item](messages)
    read = header_reader(item)
    picked = [read(row.header or b"") for row in messages.rows]
    return [b"{%d}\r\n%b" % (len(octets), octets) for octets in picked]


def _are_at_hand(items: Iterable[Item | Section], rows: Iterable[MessageRow], seen: set[int]) -> bool:
    """Whether the rows hold all that is asked for: of sections, only the message's own header."""
    return (
        not seen
        and all(item.is_own_header for item in items if isinstance(item, Section))
        and all(row.header is not None for row in rows)
    )


def _fields(items: Iterable[Item | Section]) -> set[RowField]:
    fields: set[RowField] = set()
    for item in items:
        if isinstance(item, Section):
            fields |= section_fields(item)
        elif item in _ROW_FIELDS:
            fields.add(_ROW_FIELDS[item])
    return fields


async def _see(context: Context, items: Iterable[Item | Section], uids: Sequence[int]) -> set[int]:
    r"""Set \Seen where a section without PEEK asks for it; return the uids whose flags must be told."""
    view = context.view
    if view.read_only or not any(isinstance(item, Section) and not item.peek for item in items):
        return set()
    unseen = view.without(SEEN, uids)
    await context.pace.steps(len(uids))
    seen: set[int] = set()
    try:
        async for states in set_flags(context.store, view.folder_id, unseen, "add", SEEN):
            seen.update(state.uid for state in states if view.show(state))
    except (StoreUnavailable, Refused):
        pass  # reading goes on while the writer is away
    return seen


async def _with_sections(
    context: Context, items: Sequence[Item | Section], messages: _Messages, seen: set[int]
) -> AsyncIterator[bytes]:
    """The answers of one slice; yields whenever enough has gathered, and amid a large section."""
    ready = {item: list(_COLUMNS[item](messages)) for item in (*items, Item.FLAGS) if isinstance(item, Item)}
    gathered: list[bytes] = []
    size = 0
    for at, row in enumerate(messages.rows):
        asked = (*items, Item.FLAGS) if row.uid in seen and Item.FLAGS not in items else items
        before = len(gathered)
        gathered.append(b"* %d FETCH (" % (messages.positions[at] + 1))
        for item in asked:
            mark = len(gathered)
            if isinstance(item, Item):
                gathered.append(_written(item) % ready[item][at])
            else:
                try:
                    async for octets in _section(context, row, item, gathered):
                        yield octets
                except Refused as refused:
                    if refused.code != "nonexistent" or context.is_mid_answer:
                        raise
                    messages.view.mark_gone([row.uid])
                    break
            size += sum(map(len, gathered[mark:]))
            if size >= MESSAGE_OCTETS:
                context.is_mid_answer = True
                yield b"".join(gathered)
                gathered.clear()
                size = 0
            gathered.append(b" ")
        if messages.view.is_gone(row.uid):
            del gathered[before:]
            continue
        gathered[-1] = b")\r\n"
        if context.is_mid_answer or size >= CHUNK_OCTETS:
            yield b"".join(gathered)
            gathered.clear()
            size = 0
            context.is_mid_answer = False
    yield b"".join(gathered)
    read = any(isinstance(item, Section) and item.is_content for item in items)
    if read and (unread := [row for row in messages.rows if not row.first_fetched]):
        await context.store.mark_fetched(unread, f"IMAP {context.client_name}".rstrip())


async def _section(context: Context, row: MessageRow, section: Section, gathered: list[bytes]) -> AsyncIterator[bytes]:
    """Gather one section, or yield all that is gathered piece by piece when it is large. The first piece is read
    before a word of it is said, so that a message that can't be read is still refused properly."""
    content = await find_section(context.store, row, section, context.pace)
    if not isinstance(content, Slice):
        literal = b"NIL" if content is None else b"{%d}\r\n%b" % (len(content), content)
        gathered.append(b"%b %b" % (section.label, literal))
        return
    at = content.start
    piece = await context.store.octets(row, at, min(content.end, at + CHUNK_OCTETS))
    gathered.append(b"%b {%d}\r\n" % (section.label, content.end - at))
    while piece:
        gathered.append(piece)
        at += len(piece)
        if at >= content.end:
            return
        context.is_mid_answer = True
        yield b"".join(gathered)
        gathered.clear()
        piece = await context.store.octets(row, at, min(content.end, at + CHUNK_OCTETS))
    raise BrokenAnswer("a message is shorter than its row says")


FEATURE = Feature(
    verbs=(
        Verb("FETCH", SELECTED, partial(parse, by_uid=False), fetch, expunges=False, current=True),
        Verb("UID FETCH", SELECTED, partial(parse, by_uid=True), fetch, current=True),
    )
)
