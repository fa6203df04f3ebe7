"""The one reading of a message at delivery: everything that rows, sessions and searches need of it later.

Never raises, whatever the octets, and takes time linear to their number. Octets are left as they are.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from mmap import mmap

from mailsuite.mail.body_structure import ParseLimits as ParseLimits
from mailsuite.mail.body_structure import read_structure
from mailsuite.mail.bounded_header import bounded, read_fields
from mailsuite.mail.dates import parse_date
from mailsuite.mail.encoded_word import decode_text
from mailsuite.mail.envelope_structure import envelope_structure
from mailsuite.mail.header import Fields, Octets, header_end, unfold
from mailsuite.mail.parsed_header import Header
from mailsuite.mail.structure import Part

SUBJECT_CHARACTERS = 500
FROM_CHARACTERS = 500
RECIPIENTS_CHARACTERS = 1_000
MESSAGE_ID_CHARACTERS = 998
MAX_REFERENCES = 100

_MESSAGE_ID = re.compile(rb"<[^<>\s]{1,996}>")


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """What a message says about itself.

    `header_octets` counts the header block with its blank line. `envelope_structure`, `body_structure` and `body` are
    the answers to FETCH ENVELOPE, BODYSTRUCTURE and BODY, ready to send. `parts` holds offsets into the octets read.
    Texts are decoded, cut, free of control characters, and empty where the message has none; several fields of a name
    count as one. Message-IDs keep their angle brackets. `sent_at` keeps the zone of the Date field. `truncated` means
    that the message went past a limit and something is left out.
    """

    header_octets: int
    envelope_structure: bytes
    body_structure: bytes
    body: bytes
    parts: Part
    truncated: bool
    subject: str
    from_text: str
    to_text: str
    cc_text: str
    message_id: str
    in_reply_to: str
    references: tuple[str, ...]
    sent_at: datetime | None


DEFAULT_LIMITS = ParseLimits()


def parse_message(
    octets: bytes | memoryview | mmap, limits: ParseLimits = DEFAULT_LIMITS, parsed: Header | None = None
) -> ParsedMessage:
    """Return what the message says about itself. A memoryview is copied; give bytes or an mmap where size matters.
    `parsed` is its header where that was parsed before."""
    data: Octets = bytes(octets) if isinstance(octets, memoryview) else octets
    if parsed is None:
        body_start = header_end(data, 0, len(data))
        most = limits.header_octets, limits.fields
        fields = read_fields(data, 0, body_start, max_octets=most[0], max_fields=most[1])
    else:
        body_start = parsed.size_octets
        fields = bounded(parsed, max_octets=limits.header_octets, max_fields=limits.fields)
    header, has_all_fields = fields
    structure = read_structure(data, header, body_start, limits)
    envelope = envelope_structure(header, limits.structure_octets)
    return ParsedMessage(
        header_octets=body_start,
        envelope_structure=envelope.octets,
        body_structure=b"(%b)" % structure.body_structure,
        body=b"(%b)" % structure.body,
        parts=structure.part,
        truncated=not (has_all_fields and structure.is_whole and envelope.is_whole),
        subject=_texts(header, b"subject", " ", SUBJECT_CHARACTERS),
        from_text=_texts(header, b"from", ", ", FROM_CHARACTERS),
        to_text=_texts(header, b"to", ", ", RECIPIENTS_CHARACTERS),
        cc_text=_texts(header, b"cc", ", ", RECIPIENTS_CHARACTERS),
        message_id=message_id_of(header),
        in_reply_to=_message_id(header, b"in-reply-to"),
        references=_references(header),
        sent_at=_date(header),
    )


def _text(header: Fields, name: bytes, limit: int) -> str:
    values = header.get(name)
    return decode_text(unfold(values[0]), limit) if values else ""


def _texts(header: Fields, name: bytes, parted_by: str, limit: int) -> str:
    """What all fields of the name say, since a search for any of them has to find the message."""
    values = header.get(name, ())
    if len(values) < 2:
        return _text(header, name, limit)
    return parted_by.join([decode_text(unfold(value), limit) for value in islice(values, limit)])[:limit]


def message_id_of(header: Fields) -> str:
    """Return the Message-ID in its angle brackets, or what stands in its place."""
    return _message_id(header, b"message-id")


def _message_id(header: Fields, name: bytes) -> str:
    values = header.get(name)
    if not values:
        return ""
    value = unfold(values[0])
    match = _MESSAGE_ID.search(value)
    return decode_text(match[0] if match else value, MESSAGE_ID_CHARACTERS)


def _references(header: Fields) -> tuple[str, ...]:
    """The first reference, which is the thread's root, and the newest of the others."""
    values = header.get(b"references")
    found = _MESSAGE_ID.findall(unfold(values[0])) if values else []
    if len(found) > MAX_REFERENCES:
        found = [found[0], *found[1 - MAX_REFERENCES :]]
    return tuple(decode_text(message_id, MESSAGE_ID_CHARACTERS) for message_id in found)


def _date(header: Fields) -> datetime | None:
    values = header.get(b"date")
    return parse_date(unfold(values[0])) if values else None
