"""The answer to FETCH ENVELOPE (RFC 3501 §7.4.2), made once from a message's header fields."""

from collections.abc import Iterable
from typing import NamedTuple

from mailsuite.mail.address_list import AddressList, ListedAddress, read_addresses, read_authors
from mailsuite.mail.bounded_header import cut_value
from mailsuite.mail.header import Fields, unfold
from mailsuite.mail.imap_string import NIL, imap_nstring, imap_string

# Three lists of authors are told, and From stands for those that are missing.
MAX_AUTHORS_OCTETS = 64 * 1024
_GROUP_END = b"(NIL NIL NIL NIL)"


class Envelope(NamedTuple):
    """The ENVELOPE with its parentheses; `is_whole` unless addresses or words past the bound are left out."""

    octets: bytes
    is_whole: bool


def envelope_structure(fields: Fields, max_octets: int) -> Envelope:
    """Return the ENVELOPE of a message with these raw field values, of about `max_octets` at most. Sender and Reply-To
    are From where they are missing or empty; several To, Cc or Bcc fields count as one."""
    writer = _Writer(fields, max_octets)
    date, subject, in_reply_to, message_id = map(writer.text, (b"date", b"subject", b"in-reply-to", b"message-id"))
    authors = writer.authors(b"from")
    sender, reply_to = (writer.authors(name, authors) for name in (b"sender", b"reply-to"))
    recipients = b" ".join(map(writer.recipients, (b"to", b"cc", b"bcc")))
    octets = b"(%b %b %b %b %b %b %b %b)" % (
        *(date, subject, authors, sender, reply_to),
        *(recipients, in_reply_to, message_id),
    )
    return Envelope(octets, writer.is_whole)


class _Writer:
    """Writes the parts of one ENVELOPE; counts what is left of the bound."""

    def __init__(self, fields: Fields, max_octets: int) -> None:
        self._fields, self._left = fields, max_octets
        self.is_whole = True

    def text(self, name: bytes) -> bytes:
        values = self._fields.get(name)
        if not values:
            return NIL
        # In a quoted string it may take twice its octets.
        text = imap_string(self._cut(unfold(values[0]), self._left // 2))
        self._left -= len(text)
        return text

    def authors(self, name: bytes, default: bytes = NIL) -> bytes:
        values, most = self._fields.get(name), min(self._left, MAX_AUTHORS_OCTETS)
        own = self._list(self._entries(read_authors(self._cut(unfold(values[0]), most))), most) if values else NIL
        if own == NIL and len(default) <= self._left:
            own = default
        self._left -= len(own)
        return own

    def recipients(self, name: bytes) -> bytes:
        entries: list[ListedAddress] = []
        left = self._left
        for value in self._fields.get(name, ()):
            cut = self._cut(unfold(value), left)
            left -= len(cut)
            entries += self._entries(read_addresses(cut))
        found = self._list(entries, self._left)
        self._left -= len(found)
        return found

    def _entries(self, found: AddressList) -> list[ListedAddress]:
        self.is_whole = self.is_whole and not found.is_cut
        return found.entries

    def _cut(self, value: bytes, most: int) -> bytes:
        if len(value) <= most:
            return value
        self.is_whole = False
        return cut_value(value, max(most, 0))

    def _list(self, entries: Iterable[ListedAddress], most: int) -> bytes:
        """The list, as far as it has at most so many octets: a group that goes on is ended."""
        written: list[bytes] = []
        left, in_group = most, False
        for entry in entries:
            octets = _address(entry)
            left -= len(octets)
            if left < len(_GROUP_END):
                self.is_whole = False
                written += [_GROUP_END] if in_group else []
                break
            written.append(octets)
            if entry.domain is None:
                in_group = entry.local_part is not None
        return b"(%b)" % b"".join(written) if written else NIL


def _address(entry: ListedAddress) -> bytes:
    name, route, local_part, domain = entry
    return b"(%b %b %b %b)" % (imap_nstring(name), imap_nstring(route), imap_nstring(local_part), imap_nstring(domain))
