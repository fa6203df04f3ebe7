"""What a submission server does to a message before it is signed (RFC 6409 §8)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailsuite.mail.address import Address, AddressError, format_address, parse_address
from mailsuite.mail.address_list import ListedAddress, read_authors
from mailsuite.mail.dates import format_date
from mailsuite.mail.encoded_word import decode_text, encode_text
from mailsuite.mail.header import Fields, normalize_line_ends, unfold
from mailsuite.mail.parsed_header import Header, HeaderLine

# Bcc would tell what its writer hides (RFC 5322 §3.6.3); Return-Path is for final delivery alone (RFC 5321 §4.4)
_DROPPED = frozenset({b"bcc", b"resent-bcc", b"return-path"})
_FIELD_NAME = re.compile(rb"[!-9;-~]+[ \t]*:")
# What needs no quotes (RFC 5322 §3.2.3, RFC 6532 §3.2)
_DOT_ATOM = re.compile(rb"[^\s\"\\()<>@,;:\[\].\x00-\x20]++(?:\.[^\s\"\\()<>@,;:\[\].\x00-\x20]++)*+")
_MBOX_LINE = re.compile(rb">?From [ \t]*[^ \t:]")
_NOT_ID_LEFT = re.compile(r"[^A-Za-z0-9._-]", re.ASCII)
# Legal in a quoted local-part, but a way to show one address to some readers and another to the rest
_MISREAD = re.compile(r'[\s"\\()<>@,;:\[\]]|=\?')
_END = HeaderLine.of(b"\r\n")  # the blank line, and nothing behind it
MAX_AUTHORS = 100
MAX_AUTHORS_OCTETS = 32 * 1024
MAX_NAME_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Authors:
    """Whom a message claims to be from: the addresses in From, and the one in Sender if there is one."""

    from_addresses: tuple[Address, ...]
    sender: Address | None

    @property
    def all(self) -> tuple[Address, ...]:
        """Return every address that the submitter must be allowed to send as."""
        return (*self.from_addresses, self.sender) if self.sender else self.from_addresses


def prepare_header(header: Header, *, hostname: str, now: datetime, message_id_seed: str) -> tuple[Header, bytes]:
    """Return the header as it goes out, and what of its octets belongs to the body: CRLF everywhere, Date and
    Message-ID added when missing or empty (RFC 6409 §8.2 and §8.3), Bcc, Resent-Bcc and Return-Path dropped.

    `message_id_seed` is unique to the message. A line that is no field ends the header; it and what follows come after
    the blank line, as the body they must have been meant for.
    """
    block = normalize_line_ends(header.block)
    lines = (header if block is header.block else Header.parse(block)).lines()
    kept: list[HeaderLine] = []
    found: set[bytes] = set()
    stray = b""
    for at, line in enumerate(lines):
        if not line.octets.strip(b"\r\n"):
            break
        if at == 0 and _MBOX_LINE.match(line.octets):  # piped into a client as it was
            continue
        if not _FIELD_NAME.match(line.octets):
            stray = b"\n".join(one.octets for one in lines[at:])
            break
        is_empty_id = line.name in (b"date", b"message-id") and not unfold(line.octets[line.value_at :])
        if line.name not in _DROPPED and not is_empty_id:
            found.add(line.name)
            kept.append(line if line.octets.endswith(b"\r") else HeaderLine.of(line.octets + b"\r"))
    if b"date" not in found:
        kept.append(HeaderLine.of(f"Date: {format_date(now)}\r".encode("ascii")))
    if b"message-id" not in found:
        message_id = f"Message-ID: <{_NOT_ID_LEFT.sub('', message_id_seed)}@{hostname}>\r"
        kept.append(HeaderLine.of(message_id.encode("ascii")))
    return Header.of([*kept, _END]), stray


def complete_authors(header: Header, own: Address, *, is_report: bool = False) -> Header:
    """Return a prepared header with a From that everybody reads alike (RFC 6409 §8). Without one, or where it
    has no address with a domain (scanners write `Scanner`, or none at all), it names `own`; where the grammar does not
    know all of it, as in `Doe, Ann <ann@example.org>`, it is written anew. A Sender without an address is dropped.
    In a report, which comes with the null path, MAILER-DAEMON is nobody, at whatever host: so bounces small relays
    (nullmailer), whose user would never hear of it.

    Several From fields, and what is longer than MAX_AUTHORS_OCTETS, stay as they are, for `author_addresses`."""
    lines = [line for line in header.lines() if line.value_at >= 0]
    changed: dict[int, bytes] = {}
    if len(places := header.places(b"from")) == 1:
        changed[places[0]] = _completed(lines[places[0]].octets, own, is_report=is_report)
    if len(places := header.places(b"sender")) == 1:
        sender = lines[places[0]].octets
        changed[places[0]] = _rewritten(sender) if _has_domain(sender) else b""
    if b"from" not in header:
        changed[len(lines)] = b"From: %b\r" % str(own).encode()
        lines.append(HeaderLine.of(b""))
    if all(octets == lines[place].octets for place, octets in changed.items()):
        return header
    octets = [changed.get(place, line.octets) for place, line in enumerate(lines)]
    return Header.of([*(HeaderLine.of(one) for one in octets if one), _END])


def author_addresses(fields: Fields) -> Authors:
    """Return the addresses in From and Sender of a header with CRLF everywhere. Raises AddressError when they are
    missing, doubled or not readable for certain: what one reader of a header overlooks another may show."""
    from_addresses = _addresses(fields.get(b"from", ()), "From")
    senders = _addresses(fields[b"sender"], "Sender") if b"sender" in fields else ()
    if not from_addresses:
        raise AddressError("The message has no From address: add one")
    if len(senders) > 1:
        raise AddressError("The Sender field has more than one address: keep one")
    return Authors(from_addresses, senders[0] if senders else None)


def _addresses(values: Sequence[bytes], field: str) -> tuple[Address, ...]:
    if len(values) > 1:
        raise AddressError(f"The message has more than one {field} field: keep one")
    found: list[Address] = []
    if values and len(values[0]) > MAX_AUTHORS_OCTETS:
        raise AddressError(f"The {field} field is longer than {MAX_AUTHORS_OCTETS} octets: shorten it")
    for entry in read_authors(unfold(values[0])).entries if values else ():
        if entry.domain is None:  # the name or the end of a group
            continue
        try:
            local_part, domain = (entry.local_part or b"").decode(), entry.domain.decode()
        except UnicodeDecodeError:
            raise AddressError(f"The {field} field has an address that is not UTF-8: correct it") from None
        if not local_part or not domain:
            raise AddressError(f"The {field} field has an address without local-part or domain: complete it")
        if _MISREAD.search(local_part):
            raise AddressError(f"The {field} field has an address that others may misread: write local-part@domain")
        found.append(parse_address(format_address(local_part, domain)))
        if len(found) > MAX_AUTHORS:
            raise AddressError(f"The {field} field has too many addresses: keep {MAX_AUTHORS}")
    return tuple(found)


def _completed(field: bytes, own: Address, *, is_report: bool) -> bytes:
    name, _, value = field.partition(b":")
    if len(value) > MAX_AUTHORS_OCTETS:
        return field
    entries = _members(read_authors(unfold(value)).entries)
    if any(entry.domain and not (is_report and _is_daemon(entry)) for entry in entries):
        return _rewritten(field)
    words = [entry.name or entry.local_part or b"" for entry in entries]
    return b"%b: %b\r" % (name, _mailbox(b", ".join(words) or None, str(own).encode()))


def _rewritten(field: bytes) -> bytes:
    """The field as everybody reads it alike."""
    name, _, value = field.partition(b":")
    found = read_authors(unfold(value)) if len(value) <= MAX_AUTHORS_OCTETS else None
    if found is None or not found.is_mended:
        return field
    return b"%b: %b\r" % (name, b",\r\n ".join(map(_written, _members(found.entries))))


def _is_daemon(entry: ListedAddress) -> bool:
    return (entry.local_part or b"").lower() == b"mailer-daemon"


def _has_domain(field: bytes) -> bool:
    value = field.partition(b":")[2]
    return len(value) > MAX_AUTHORS_OCTETS or any(entry.domain for entry in read_authors(unfold(value)).entries)


def _members(entries: list[ListedAddress]) -> list[ListedAddress]:
    return [entry for entry in entries if entry.domain is not None]


def _written(entry: ListedAddress) -> bytes:
    local_part, domain = entry.local_part or b"", entry.domain or b""
    if not _DOT_ATOM.fullmatch(local_part):
        local_part = _quoted(local_part)
    return _mailbox(entry.name, b"%b@%b" % (local_part, domain))


def _mailbox(name: bytes | None, address: bytes) -> bytes:
    if not name:
        return address
    text = decode_text(name, MAX_NAME_CHARACTERS)
    words = encode_text(text).encode("ascii")
    return b"%b <%b>" % (_quoted(words) if words == text.encode() else words, address)


def _quoted(text: bytes) -> bytes:
    return b'"%b"' % text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
