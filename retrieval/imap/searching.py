"""Finds the messages that match a search (RFC 3501 §6.4.4).

Candidates are narrowed by the cheapest keys first, so that text is searched last and in as few messages as can be. What
the view's arrays answer is asked of the whole folder; then the messages that are left are gone through in slices, each
read once for all keys. Positions are steady while a command runs. Every piece of work is counted, twice: others have
their turn after some (`Pace`), and a search that costs too much is refused (`SearchBudget`), since half an answer would
be a wrong one.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date

from mailsuite.mail.dates import parse_date
from mailsuite.mail.encoded_word import clean_text, decode_text, decoded_pieces
from mailsuite.mail.folding import PieceFolder, folded_field, with_single_blanks
from mailsuite.mail.header import MAX_HEADER_OCTETS, collect_fields, unfold
from retrieval.imap.context import Context
from retrieval.imap.search_keys import (
    All,
    Among,
    Cost,
    Dated,
    HasField,
    HasFlag,
    HasKeyword,
    HasText,
    Not,
    Or,
    SearchKey,
    Sized,
)
from retrieval.imap.sections import header_block
from retrieval.imap.view import FlagSet
from retrieval.mail_values import MessageRow, RowField
from retrieval.pace import STEP_OCTETS, TURN_OCTETS

VIEW_SLICE = 2_000  # messages that are looked at in the view's arrays at once
ROW_SLICE = 125  # messages whose rows and headers are held at once
DECODED_AT_ONCE = 16 * 1024  # octets of a field
DECODING_COST = 32  # what decoding and folding an octet costs, in octets that are looked at
WORD_OCTETS = 64  # what an encoded word costs to decode, in octets that are decoded
MAX_ENVELOPE_OCTETS = 4 * 1024
_ENVELOPE_DATE = re.compile(rb'\((?:"((?:[^"\\]|\\.)*+)"|\{(\d{1,9})\}\r\n)')
_QUOTED_PAIR = re.compile(rb"\\(.)")

Positions = Sequence[int]


async def matching_positions(context: Context, key: SearchKey) -> list[int]:
    """Return where in the selected folder's view the messages that match are, ascending. Raises Refused when the search
    costs more than one may."""
    return await _Searching(context, key).positions()


class _Searching:
    """One search under way."""

    def __init__(self, context: Context, key: SearchKey) -> None:
        self._context, self._view, self._key = context, context.view, key
        self._budget = context.search_budget()
        self._spans: dict[int, _Spans] = {}  # by the id of the key
        self._fields = {field for part in _leaves(key) for field in _row_fields(part)}
        self._rows: dict[int, _Row] = {}

    async def positions(self) -> list[int]:
        """Return where what matches is. Raises Refused when the budget is used up."""
        keys = self._key.keys if isinstance(self._key, All) else (self._key,)
        positions = await self._in_view([key for key in keys if key.cost is Cost.VIEW])
        dear = [key for key in keys if key.cost is not Cost.VIEW]
        if not dear:
            return positions
        matching: list[int] = []
        for start in range(0, len(positions), ROW_SLICE):
            self._rows.clear()
            matching += await self._all(dear, positions[start : start + ROW_SLICE])
        return matching

    async def _in_view(self, keys: Sequence[SearchKey]) -> list[int]:
        """Return what matches these, none of which needs more than the view."""
        spans = [self._spans_of(key) for key in keys if isinstance(key, Among)]
        fewest = min(spans, key=len).spans if spans else [range(len(self._view.uids))]
        positions: list[int] = []
        for span in fewest:
            for start in range(span.start, span.stop, VIEW_SLICE):
                positions += await self._all(keys, range(start, min(start + VIEW_SLICE, span.stop)))
        return positions

    async def _all(self, keys: Iterable[SearchKey], among: Positions) -> Positions:
        await self._spend(len(among) * STEP_OCTETS)
        for key in keys:
            among = await self._matching(key, among) if among else among
        return among

    async def _any(self, keys: Iterable[SearchKey], among: Positions) -> Positions:
        rest, matching = among, set[int]()
        for key in keys:
            await self._spend(len(among) * STEP_OCTETS)
            matching.update(await self._matching(key, rest) if rest else ())
            rest = [at for at in rest if at not in matching]
        return [at for at in among if at in matching]

    async def _matching(self, key: SearchKey, among: Positions) -> Positions:
        match key:
            case All(keys):
                return await self._all(keys, among)
            case Not(part):
                excluded = set(await self._matching(part, among))
                return [at for at in among if at not in excluded]
            case Or(keys):
                return await self._any(keys, among)
            case HasText(where, needle):
                return await self._with_text(where, needle, among)
        await self._spend(len(among) * STEP_OCTETS)
        match key:
            case Among():
                spans = self._spans_of(key)
                return [at for at in among if at in spans]
            case HasFlag(bit):
                return self._with_flag_sets(among, lambda flag_set: bool(flag_set.bits & bit))
            case HasKeyword(keyword):
                word = keyword.lower()
                return self._with_flag_sets(among, lambda flag_set: word in flag_set.keywords)
        await self._load(among)
        return [at for at in among if at in self._rows and await self._row_matches(key, self._rows[at])]

    def _with_flag_sets(self, among: Positions, holds: Callable[[FlagSet], bool]) -> Positions:
        flag_sets, table = self._view.flag_sets, self._view.table
        distinct = {flag_sets[at] for at in among}
        holding = {index for index in distinct if holds(table[index])}
        return (
            among
            if len(holding) == len(distinct)
            else [at for at in among if flag_sets[at] in holding]
            if holding
            else ()
        )

    async def _with_text(self, where: str, needle: str, among: Positions) -> Positions:
        view = self._view
        uids = [view.uids[at] for at in among]
        matching = await self._context.store.search_text(view.folder_id, uids, needle, where=where, budget=self._budget)
        await self._spend(len(among) * STEP_OCTETS)
        return [at for at in among if view.uids[at] in matching]

    async def _load(self, among: Positions) -> None:
        """Have the rows of these at hand, with all that any key asks of them."""
        view, wanted = self._view, [at for at in among if at not in self._rows]
        uids = [view.uids[at] for at in wanted]
        if not uids:
            return
        async for rows in self._context.store.rows(view.folder_id, uids, self._fields):
            for row in rows:
                position = view.position(row.uid)
                if position is not None:
                    self._rows[position] = _Row(row)
            await self._spend(sum(len(row.header or b"") + len(row.envelope or b"") + STEP_OCTETS for row in rows))

    async def _row_matches(self, key: SearchKey, row: "_Row") -> bool:
        match key:
            case Sized(relation, octets):
                size = row.row.size_octets
                return size > octets if relation == "larger" else size < octets
            case Dated("internal", relation, day):
                return _falls(row.row.internal_date.astimezone(UTC).date(), relation, day)
            case Dated(_, relation, day):
                sent = row.sent_day()
                return sent is not None and _falls(sent, relation, day)
            case HasField(name, needle):
                texts = await self._texts(row, name)
                await self._spend(sum(map(len, texts)) if needle else 0)
                wanted = folded_field(needle)
                return any(wanted in text for text in texts)
        raise TypeError(key)

    async def _texts(self, row: "_Row", name: bytes) -> Sequence[str]:
        """What the message's fields of the name say, folded; read and decoded once for all keys."""
        if row.fields is None:
            block = await header_block(self._context.store, row.row)
            row.fields = collect_fields(block)
            await self._spend(len(block))
        texts = row.texts.get(name)
        if texts is None:
            values = row.fields.get(name, [])
            texts = row.texts[name] = [await self._folded(value) for value in values]
            await self._spend(sum(map(len, values)))
        return texts

    async def _folded(self, value: bytes) -> str:
        """In pieces with turns for others between them where there is much: a megabyte of encoded words or of heaped
        marks takes a second."""
        pace = self._context.pace
        if len(value) <= DECODED_AT_ONCE:
            await pace.spend(DECODING_COST * len(value))
            return folded_field(decode_text(unfold(value), MAX_HEADER_OCTETS))
        decoded, folder, pieces = list[str](), PieceFolder(), list[str]()
        for piece in decoded_pieces(unfold(value)):
            decoded.append(piece)
            await pace.spend(DECODING_COST * (WORD_OCTETS + len(piece)))
        text = clean_text("".join(decoded), MAX_HEADER_OCTETS)
        for start in range(0, len(text), DECODED_AT_ONCE):
            pieces.append(folder.feed(text[start : start + DECODED_AT_ONCE]))
            await pace.spend(TURN_OCTETS)
        return with_single_blanks("".join([*pieces, folder.end()]))

    async def _spend(self, octets: int) -> None:
        self._budget.spend(octets)
        await self._context.pace.spend(octets)

    def _spans_of(self, key: Among) -> "_Spans":
        spans = self._spans.get(id(key))
        if spans is None:
            uids = self._view.uids
            ranges = key.messages.of_uids(uids) if key.by_uid else key.messages.among_numbers(len(uids))
            spans = self._spans[id(key)] = _Spans(ranges)
        return spans


class _Spans:
    """Positions as disjoint ascending ranges; whether one is among them takes few steps, however many there are."""

    def __init__(self, spans: list[range]) -> None:
        self.spans = spans
        self._starts = [span.start for span in spans]

    def __len__(self) -> int:
        return sum(map(len, self.spans))

    def __contains__(self, position: int) -> bool:
        index = bisect_right(self._starts, position) - 1
        return index >= 0 and position < self.spans[index].stop


class _Row:
    """A message's row, and what was made of it for the keys so far."""

    __slots__ = ("_sent_day", "fields", "row", "texts")

    def __init__(self, row: MessageRow) -> None:
        self.row = row
        self.fields: dict[bytes, list[bytes]] | None = None
        self.texts: dict[bytes, list[str]] = {}
        self._sent_day: tuple[date | None] | None = None
        # The rows of a whole slice are held: of a long ENVELOPE the date is all that is wanted.
        if row.envelope is not None and len(row.envelope) > MAX_ENVELOPE_OCTETS:
            self.sent_day()
            self.row = row._replace(envelope=None)

    def sent_day(self) -> date | None:
        """Return the day of the Date field, in the zone that it names."""
        if self._sent_day is None:
            sent = parse_date(_date_of(self.row.envelope or b""))
            self._sent_day = (sent.date() if sent else None,)
        return self._sent_day[0]


def _date_of(envelope: bytes) -> bytes:
    """The Date field's value, as an ENVELOPE tells it first."""
    match = _ENVELOPE_DATE.match(envelope)
    if match is None:
        return b""
    if match[2]:
        return envelope[match.end() : match.end() + int(match[2])]
    return _QUOTED_PAIR.sub(rb"\1", match[1])


def _leaves(key: SearchKey) -> Iterable[SearchKey]:
    match key:
        case All(keys) | Or(keys):
            for part in keys:
                yield from _leaves(part)
        case Not(part):
            yield from _leaves(part)
        case _:
            yield key


def _row_fields(key: SearchKey) -> set[RowField]:
    if isinstance(key, HasField):
        return {"header", "parts"}
    return {"envelope"} if isinstance(key, Dated) and key.which == "sent" else set()


def _falls(day: date, relation: str, other: date) -> bool:
    if relation == "on":
        return day == other
    return day < other if relation == "before" else day >= other
