"""What the content filter looks at: words and pairs of words, sender, hosts linked to, and how the mail is made.

Features are words too, in the order that they are met, each once; those that are no word of the text have a prefix, and
all of them are shown to people as clues.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailsuite.junk.text import BODY_OCTETS, visible_text
from mailsuite.mail.address_list import first_author
from mailsuite.mail.bounded_header import bounded
from mailsuite.mail.encoded_word import decode_text
from mailsuite.mail.folding import compatible
from mailsuite.mail.header import Fields, unfold
from mailsuite.mail.parsed_header import Header

# Behind these only the fields that tell most are looked at.
HEADER_OCTETS = 64 * 1024
MAX_FIELDS = 1_000
ADDRESS_OCTETS = 2_000  # of From and Reply-To are looked through
MAX_WORDS = 800
MAX_PAIRS = 200
MAX_HEADER_WORDS = 60
MAX_FEATURES = 1_500

# Signs stay in words: fr33, $$$, v!agra.
_WORD = re.compile(r"[\w$€£@!'’-]{3,24}")
_TRIMMED = "'’-_!@"
_LISTED = (b"list-id", b"list-unsubscribe", b"list-unsubscribe-post", b"precedence", b"in-reply-to", b"auto-submitted")


@dataclass(frozen=True, slots=True)
class Features:
    """One message's, made once however many mailboxes get it."""

    words: tuple[str, ...] = ()


def extract(header: Header, body: Iterable[bytes]) -> Features:
    """Return the features of a message; of its body, given in chunks, no more than BODY_OCTETS are read. Never raises
    for what the octets are."""
    fields, _ = bounded(header, max_octets=HEADER_OCTETS, max_fields=MAX_FIELDS)
    front = header.block[:HEADER_OCTETS]
    seen = visible_text(fields, len(front), front + _beginning(body))
    found = dict.fromkeys(_of_header(fields))
    found.update(dict.fromkeys(f"host:{name}" for host in seen.hosts for name in _domains(host)))
    found.update(dict.fromkeys(sorted(seen.marks)))
    found.update(dict.fromkeys(_of_text(seen.text)))
    return Features(tuple(found)[:MAX_FEATURES])


def _beginning(body: Iterable[bytes]) -> bytes:
    chunks, left = [], BODY_OCTETS
    for chunk in body:
        chunks.append(chunk[:left])
        left -= len(chunk)
        if left <= 0:
            break
    return b"".join(chunks)


def _of_text(text: str) -> Iterator[str]:
    written = _written(text, MAX_WORDS)
    words = [word.lower() for word in written]
    yield from words
    yield from (f"capitals:{word.lower()}" for word in written if word.isupper())
    yield from (f"{first} {second}" for first, second in zip(words[:MAX_PAIRS], words[1:], strict=False))


def _words(text: str, most: int) -> list[str]:
    return [word.lower() for word in _written(text, most)]


def _written(text: str, most: int) -> list[str]:
    """Words as they are written; letters that only look like others (full-width, mathematical) become those."""
    found = []
    for match in _WORD.finditer(compatible(text)):
        if len(word := match[0].strip(_TRIMMED)) >= 3:
            found.append(word)
            if len(found) == most:
                break
    return found


def _of_header(fields: Fields) -> Iterator[str]:
    subject = _text(fields, b"subject")
    words = _words(subject, MAX_HEADER_WORDS)
    yield from (f"subject:{word}" for word in words)
    yield from (f"subject:{first} {second}" for first, second in zip(words, words[1:], strict=False))
    if subject.isupper():
        yield "subject:in capitals"
    sender = _address(fields, b"from")
    yield from (f"from:{name}" for name in _domains(sender[1]))
    yield from (f"name:{word}" for word in _words(sender[0], MAX_HEADER_WORDS))
    answers_to = _address(fields, b"reply-to")[1]
    if answers_to and answers_to != sender[1]:
        yield "reply-to:elsewhere"
    yield from (f"field:{name.decode()}" for name in _LISTED if name in fields)
    yield from (
        f"without:{name.decode()}" for name in (b"date", b"message-id", b"to", b"subject") if name not in fields
    )
    for name in (b"x-mailer", b"user-agent"):
        yield from (f"mailer:{word}" for word in _words(_text(fields, name), 1))


def _text(fields: Fields, name: bytes) -> str:
    values = fields.get(name)
    return decode_text(unfold(values[0]), 500) if values else ""


def _address(fields: Fields, name: bytes) -> tuple[str, str]:
    """The first address's name as shown, and its domain."""
    values = fields.get(name)
    found = first_author(unfold(values[0]), ADDRESS_OCTETS) if values else None
    if found is None or not found.domain:
        return "", ""
    return decode_text(found.name or b"", 200), found.domain.decode("ascii", "replace").lower()[:200]


def _domains(host: str) -> Iterator[str]:
    """The host and the domains above it that are more than a label."""
    labels = host.strip(".").split(".")
    for at in range(max(len(labels) - 4, 0), len(labels) - 1):
        yield ".".join(labels[at:])
