"""What a submission server does to a message before it is signed (RFC 6409 §8)."""

import re
from dataclasses import dataclass
from datetime import datetime

from mailsuite.mail.address import Address, AddressError, format_address, parse_address
from mailsuite.mail.address_list import parse_address_list
from mailsuite.mail.dates import format_date
from mailsuite.mail.header import collect_fields, header_end, normalize_line_ends, split_fields, unfold

# Bcc would tell what its writer hides (RFC 5322 §3.6.3); Return-Path is for final delivery alone (RFC 5321 §4.4)
_DROPPED = frozenset({b"bcc", b"resent-bcc", b"return-path"})
_FIELD_NAME = re.compile(rb"[!-9;-~]+[ \t]*:")
_MBOX_LINE = re.compile(rb">?From [ \t]*[^ \t:]")
_NOT_ID_LEFT = re.compile(r"[^A-Za-z0-9._-]", re.ASCII)
# Legal in a quoted local-part, but a way to show one address to some readers and another to the rest
_MISREAD = re.compile(r'[\s"\\()<>@,;:\[\]]')
MAX_AUTHORS = 100
MAX_AUTHORS_OCTETS = 32 * 1024


@dataclass(frozen=True, slots=True)
class Authors:
    """Whom a message claims to be from: the addresses in From, and the one in Sender if there is one."""

    from_addresses: tuple[Address, ...]
    sender: Address | None

    @property
    def all(self) -> tuple[Address, ...]:
        """Return every address that the submitter must be allowed to send as."""
        return (*self.from_addresses, self.sender) if self.sender else self.from_addresses


def prepare_header(header_block: bytes, *, hostname: str, now: datetime, message_id_seed: str) -> bytes:
    """Return the header block, blank line included, as it goes out: CRLF everywhere, Date and Message-ID added when
    missing or empty (RFC 6409 §8.2 and §8.3), Bcc, Resent-Bcc and Return-Path dropped.

    `message_id_seed` is unique to the message. A line that is no field ends the header; it and what follows come after
    the blank line, as the body they must have been meant for.
    """
    kept: list[bytes] = []
    found: set[bytes] = set()
    stray = b""
    fields = split_fields(normalize_line_ends(header_block))
    for at, field in enumerate(fields):
        line = field.removesuffix(b"\r")
        if not line:
            break
        if at == 0 and _MBOX_LINE.match(line):  # piped into a client as it was
            continue
        name, _, value = line.partition(b":")
        key = name.rstrip().lower()
        if not _FIELD_NAME.match(line):
            stray = b"\n".join(fields[at:])
            break
        is_empty_id = key in (b"date", b"message-id") and not unfold(value)
        if key not in _DROPPED and not is_empty_id:
            found.add(key)
            kept.append(line + b"\r\n")
    if b"date" not in found:
        kept.append(f"Date: {format_date(now)}\r\n".encode("ascii"))
    if b"message-id" not in found:
        kept.append(f"Message-ID: <{_NOT_ID_LEFT.sub('', message_id_seed)}@{hostname}>\r\n".encode("ascii"))
    return b"".join(kept) + b"\r\n" + stray


def author_addresses(header_block: bytes) -> Authors:
    """Return the addresses in From and Sender. Raises AddressError when they are missing, doubled or not readable for
    certain: what one reader of a header overlooks another may show. What follows the blank line is not looked at."""
    block = normalize_line_ends(header_block)
    fields = collect_fields(block[: header_end(block, 0, len(block))])
    from_addresses = _addresses(fields.get(b"from", []), "From")
    senders = _addresses(fields[b"sender"], "Sender") if b"sender" in fields else ()
    if not from_addresses:
        raise AddressError("The message has no From address: add one")
    if len(senders) > 1:
        raise AddressError("The Sender field has more than one address: keep one")
    return Authors(from_addresses, senders[0] if senders else None)


def _addresses(values: list[bytes], field: str) -> tuple[Address, ...]:
    if len(values) > 1:
        raise AddressError(f"The message has more than one {field} field: keep one")
    found: list[Address] = []
    if values and len(values[0]) > MAX_AUTHORS_OCTETS:
        raise AddressError(f"The {field} field is longer than {MAX_AUTHORS_OCTETS} octets: shorten it")
    for entry in parse_address_list(unfold(values[0])) if values else ():
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
