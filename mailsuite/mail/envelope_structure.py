"""The answer to FETCH ENVELOPE (RFC 3501 §7.4.2), made once from a message's header fields."""

from collections.abc import Sequence

from mailsuite.mail.address_list import ListedAddress, parse_address_list, read_authors
from mailsuite.mail.header import Fields, unfold
from mailsuite.mail.imap_string import NIL, imap_nstring


def envelope_structure(fields: Fields) -> bytes:
    """Return the parenthesised ENVELOPE of a message with these raw field values. Sender and Reply-To are From where
    they are missing or empty; several To, Cc or Bcc fields count as one."""
    from_list = _first_addresses(fields, b"from")
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        _text(fields, b"date"),
        _text(fields, b"subject"),
        from_list,
        _own_or(fields, b"sender", from_list),
        _own_or(fields, b"reply-to", from_list),
        _all_addresses(fields, b"to"),
        _all_addresses(fields, b"cc"),
        _all_addresses(fields, b"bcc"),
        _text(fields, b"in-reply-to"),
        _text(fields, b"message-id"),
    )


def _text(fields: Fields, name: bytes) -> bytes:
    values = fields.get(name)
    return imap_nstring(unfold(values[0])) if values else NIL


def _first_addresses(fields: Fields, name: bytes) -> bytes:
    values = fields.get(name)
    return _address_list(read_authors(unfold(values[0])).entries) if values else NIL


def _own_or(fields: Fields, name: bytes, default: bytes) -> bytes:
    own = _first_addresses(fields, name)
    return default if own == NIL else own


def _all_addresses(fields: Fields, name: bytes) -> bytes:
    return _address_list([entry for value in fields.get(name, ()) for entry in parse_address_list(unfold(value))])


def _address_list(entries: Sequence[ListedAddress]) -> bytes:
    return b"(%b)" % b"".join(map(_address, entries)) if entries else NIL


def _address(entry: ListedAddress) -> bytes:
    name, route, local_part, domain = entry
    return b"(%b %b %b %b)" % (imap_nstring(name), imap_nstring(route), imap_nstring(local_part), imap_nstring(domain))
