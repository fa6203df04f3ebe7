"""Searches the text of messages (RFC 3501 §6.4.4), decoded by MIME and compared as mailsuite.mail.folding says.

Runs in a thread, in pieces small enough that the event loop gets its turns, and in turns small enough that other
mailboxes get theirs: a search over everything must not cost the others. Looked into is what the stored structure calls
text, and the reports that are a kind of message (message/delivery-status and such: a bounce is found by whom it did not
reach); attachments are not.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from mailsuite.mail.charset import piecewise_decoder
from mailsuite.mail.encoded_word import decode_text
from mailsuite.mail.folding import PieceFolder, folded, folded_field
from mailsuite.mail.header import MAX_HEADER_OCTETS, collect_fields, split_fields, unfold
from mailsuite.mail.mime_fields import encoding_of, extended_text, leaf_type_of
from mailsuite.mail.structure import Part, PartKind, decode_parts
from mailsuite.mail.transfer_encoding import (
    base64_part,
    from_base64,
    from_quoted_printable,
    quoted_printable_part,
)
from mailsuite.writer.storage import MailStorage, StoredFile
from retrieval.search_budget import SearchBudget

PIECE_OCTETS = 128 * 1024
# What a mailbox has looked at before the next one's turn, some tenth of a second; and what a message costs at least.
TURN_OCTETS = 4 * 1024 * 1024
MESSAGE_OCTETS = 4 * 1024
PART_OCTETS = 512  # the same for a part: a message may have thousands
_LARGE = 1 << 30
_FOLD = re.compile(rb"\r?\n(?=[ \t])")


class Searched(NamedTuple):
    """One message: its own prefix, its blob and where its parts are in it."""

    uid: int
    prefix: bytes
    blob: str
    parts: bytes


def matching_uids(
    storage: MailStorage, messages: Sequence[Searched], needle: str, *, headers: bool, budget: SearchBudget
) -> tuple[set[int], int]:
    """The uids of messages whose text parts hold the needle; with `headers` also those whose header does, or that of a
    part: an attachment's name, the subject of a message within. And how many messages were looked at: a turn ends after
    the one that has made it TURN_OCTETS. Raises Refused when the budget is used up."""
    matching, ends_at = set[int](), budget.octets - TURN_OCTETS
    in_text, in_field = folded(needle), folded_field(needle) if headers else None
    for count, message in enumerate(messages, 1):
        if _matches(storage, message, in_text, in_field, budget):
            matching.add(message.uid)
        if budget.octets <= ends_at:
            return matching, count
    return matching, len(messages)


def field_text(header: bytes, name: str) -> str:
    """What all fields of the name say, decoded."""
    values = collect_fields(header).get(name.encode(), [])
    return "\n".join(decode_text(unfold(value), _LARGE) for value in values)


def read_header(storage: MailStorage, name: str, octets: int) -> bytes:
    """Return the header block, of so many octets, that the blob begins with; nothing when there is no such blob."""
    try:
        with storage.open(name) as blob:
            return blob.read(0, min(octets, MAX_HEADER_OCTETS))
    except OSError:
        return b""


def _matches(storage: MailStorage, message: Searched, in_text: str, in_field: str | None, budget: SearchBudget) -> bool:
    """Whether a text part of the message has the one, or a header block the other, if that is looked for."""
    budget.spend(MESSAGE_OCTETS + len(message.prefix))
    try:
        opened = storage.open(message.blob)
    except OSError:
        return False
    with opened as blob:
        try:
            root = decode_parts(message.parts)
            if in_field is not None and any(in_field in text for text in _header_texts(blob, message, root, budget)):
                return True
            return any(_part_matches(blob, part, in_text, budget) for part in _leaves(root))
        except ValueError:
            return False


def _header_texts(blob: StoredFile, message: Searched, root: Part, budget: SearchBudget) -> Iterator[str]:
    """What the message's own header says, and then that of each part, folded."""
    yield folded_field(_block_text(message.prefix) + _header(blob, root, budget))
    for part in _descendants(root):
        yield folded_field(_header(blob, part, budget))


def _header(blob: StoredFile, part: Part, budget: SearchBudget) -> str:
    size = min(part.body_start - part.header_start, MAX_HEADER_OCTETS)
    budget.spend(max(size, PART_OCTETS))
    return _block_text(blob.read(part.header_start, part.header_start + size))


def _block_text(block: bytes) -> str:
    """The fields of a header block, a line each, each decoded by itself, since one may be in another charset; then what
    extended parameters say, such as file names."""
    if block.isascii() and b"=?" not in block:
        text = _FOLD.sub(b"", block).decode()
    else:
        text = "\n".join(decode_text(unfold(field), _LARGE) for field in split_fields(block))
    return "\n".join([text, *(extended_text(collect_fields(block)) if b"*" in block else ())])


def _descendants(part: Part) -> Iterator[Part]:
    for child in part.children:
        yield child
        yield from _descendants(child)


def _leaves(part: Part) -> Iterator[Part]:
    if part.kind is PartKind.SINGLE:
        yield part
    for child in part.children:
        yield from _leaves(child)


def _part_matches(blob: StoredFile, part: Part, needle: str, budget: SearchBudget) -> bool:
    """Looks through one part, with as much of the last piece before each as a match across the cut can need."""
    size = min(part.body_start - part.header_start, MAX_HEADER_OCTETS)
    budget.spend(max(size, PART_OCTETS))
    fields = collect_fields(blob.read(part.header_start, part.header_start + size))
    kind = leaf_type_of(fields)
    if kind.main not in (b"text", b"message"):
        return False
    decoder, folder, tail = piecewise_decoder(kind.parameter(b"charset") or b""), PieceFolder(), ""
    for octets in _decoded(_pieces(blob, part, budget), encoding_of(fields)):
        window = tail + folder.feed(decoder.decode(octets))
        if needle in window:
            return True
        tail = window[-len(needle) :]
    return needle in tail + folder.feed(decoder.decode(b"", final=True)) + folder.end()


def _pieces(blob: StoredFile, part: Part, budget: SearchBudget) -> Iterator[bytes]:
    for start in range(part.body_start, part.end, PIECE_OCTETS):
        piece = blob.read(start, min(part.end, start + PIECE_OCTETS))
        budget.spend(len(piece))
        yield piece


def _decoded(pieces: Iterator[bytes], encoding: bytes) -> Iterator[bytes]:
    """The pieces without their transfer encoding (RFC 2045 §6)."""
    if encoding not in _DECODERS:
        yield from pieces
        return
    (part, whole), rest = _DECODERS[encoding], b""
    for piece in pieces:
        octets, rest = part(rest + piece)
        yield octets
    yield whole(rest)


# What decodes a piece, and what is left at the end
_DECODERS: dict[bytes, tuple[Callable[[bytes], tuple[bytes, bytes]], Callable[[bytes], bytes]]] = {
    b"base64": (base64_part, from_base64),
    b"quoted-printable": (quoted_printable_part, from_quoted_printable),
}
