"""SEARCH (RFC 3501 §6.4.4): candidates are narrowed by the cheapest keys first, so that text is searched last and in as
few messages as can be.

A set of positions goes in, the subset that matches comes out; positions are steady while a command runs.
"""

import re
from collections.abc import Collection
from datetime import UTC, date

from mailsuite.mail.dates import parse_date
from mailsuite.mail.encoded_word import decode_text
from mailsuite.mail.header import collect_fields, unfold
from retrieval.imap.commands import Search
from retrieval.imap.context import Context, Output
from retrieval.imap.fetch_items import Section
from retrieval.imap.search_keys import (
    All,
    Among,
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
from retrieval.imap.sections import find_section
from retrieval.imap.view import FolderView
from retrieval.mail_store import MessageRow, RowField

MAX_FIELD_CHARACTERS = 64 * 1024
_ENVELOPE_DATE = re.compile(rb'\("((?:[^"\\]|\\.)*)"')

Positions = set[int]


async def search(context: Context, command: Search) -> Output:
    """One SEARCH response with sequence numbers or uids, ascending."""
    view = context.view
    found = sorted(await _matching(context, command.key, set(range(len(view.uids)))))
    numbers = (view.uids[at] for at in found) if command.by_uid else (at + 1 for at in found)
    yield b"* SEARCH%b\r\n" % b"".join(b" %d" % number for number in numbers)


async def _matching(context: Context, key: SearchKey, among: Positions) -> Positions:
    if not among:
        return among
    match key:
        case All(keys):
            for part in keys:
                among = await _matching(context, part, among)
            return among
        case Not(part):
            return among - await _matching(context, part, among)
        case Or(left, right):
            if left.cost > right.cost:
                left, right = right, left
            found = await _matching(context, left, among)
            return found | await _matching(context, right, among - found)
        case Among() | HasFlag() | HasKeyword():
            return _in_view(context.view, key, among)
        case HasText(where, needle):
            return await _with_text(context, where, needle, among)
        case _:
            return await _in_rows(context, key, among)


def _in_view(view: FolderView, key: Among | HasFlag | HasKeyword, among: Positions) -> Positions:
    match key:
        case Among(messages, by_uid):
            spans = messages.of_uids(view.uids) if by_uid else messages.among_numbers(len(view.uids))
            return {position for span in spans for position in span if position in among}
        case HasFlag(bit):
            looks = {index for index, look in enumerate(view.table) if look.bits & bit}
        case HasKeyword(keyword):
            looks = {index for index, look in enumerate(view.table) if keyword.lower() in look.keywords}
    if not looks:
        return set()
    return {position for position in among if view.looks[position] in looks}


async def _with_text(context: Context, where: str, needle: str, among: Positions) -> Positions:
    view = context.view
    uids = [view.uids[position] for position in sorted(among)]
    found = await context.store.search_text(view.folder_id, uids, needle, where=where)
    return {position for position in among if view.uids[position] in found}


async def _in_rows(context: Context, key: Dated | Sized | HasField, among: Positions) -> Positions:
    view = context.view
    uids = [view.uids[position] for position in sorted(among)]
    found: Positions = set()
    async for rows in context.store.rows(view.folder_id, uids, _fields(key)):
        for row in rows:
            position = view.position(row.uid)
            if position is not None and await _row_matches(context, key, row):
                found.add(position)
    return found


def _fields(key: Dated | Sized | HasField) -> Collection[RowField]:
    if isinstance(key, HasField):
        return {"header", "parts"}
    return {"envelope"} if isinstance(key, Dated) and key.which == "sent" else set()


async def _row_matches(context: Context, key: Dated | Sized | HasField, row: MessageRow) -> bool:
    match key:
        case Sized("larger", octets):
            return row.size_octets > octets
        case Sized(_, octets):
            return row.size_octets < octets
        case Dated("internal", relation, day):
            return _falls(row.internal_date.astimezone(UTC).date(), relation, day)
        case Dated(_, relation, day):
            sent = _sent_day(row.envelope or b"")
            return sent is not None and _falls(sent, relation, day)
        case HasField():
            fields = await find_section(context.store, row, Section(b"", text="HEADER.FIELDS", fields=(key.name,)))
            return isinstance(fields, bytes) and _has_field(fields, key)


def _falls(day: date, relation: str, other: date) -> bool:
    if relation == "on":
        return day == other
    return day < other if relation == "before" else day >= other


def _sent_day(envelope: bytes) -> date | None:
    """Return the day of the Date field, in the zone that it names."""
    found = _ENVELOPE_DATE.match(envelope)
    sent = parse_date(found[1]) if found else None
    return sent.date() if sent else None


def _has_field(block: bytes, key: HasField) -> bool:
    values = collect_fields(block).get(key.name, [])
    if not key.needle:
        return bool(values)
    needle = key.needle.casefold()
    return any(needle in decode_text(unfold(value), MAX_FIELD_CHARACTERS).casefold() for value in values)
