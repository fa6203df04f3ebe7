"""A header block as signatures see it (RFC 6376 §3.4.1, §3.4.2, §5.4.2): fields chosen from the bottom up, each made
canonical once.

Lines that are no field are passed over. Time is linear in the octets that are hashed.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence

from mailsuite.mail.header import MAX_HEADER_OCTETS
from mailsuite.mail.parsed_header import Header

MAX_OCTETS = MAX_HEADER_OCTETS
MAX_FIELDS = 5_000  # some programs write a To field for each of their readers

_WHITE_SPACE = b" \t\r\n"
_SPACES = re.compile(rb"[ \t]{2,}|\t")


class HeaderFields:
    """The fields of a header, by their place in it. Past the limits there are none, and `problem` says why.
    `header` is the header itself, `canonical_octets` counts what was made canonical."""

    def __init__(self, header: Header, *, limited: bool = True) -> None:
        self.header = header
        self.problem = _problem(header) if limited else ""
        self._canonical: dict[tuple[int, str], bytes] = {}
        self.canonical_octets = 0

    @property
    def names(self) -> list[bytes]:
        """The lower-case names of all fields, from the top down."""
        return [] if self.problem else [name for _, name in self.header.fields()]

    def named(self, name: bytes) -> Sequence[int]:
        """Return the places of the fields with this lower-case name, from the top down."""
        return () if self.problem else self.header.places(name)

    def field(self, place: int) -> bytes:
        """Return the field at the place, without its line end."""
        return self.header.field(place)

    def canonical(self, place: int, canon: str) -> bytes:
        """Return the field's canonical form, its line end included."""
        key = (place, canon)
        if key not in self._canonical:
            field = self.field(place)
            self._canonical[key] = canonical_field(field, canon) + b"\r\n"
            self.canonical_octets += len(field)
        return self._canonical[key]

    def signed_hash(self, names: Iterable[bytes], canon: str, signature_place: int, unsigned: bytes) -> bytes:
        """Return the SHA-256 over the fields that these names choose and the signature's own field, `unsigned` being
        that with an empty b= (§3.7). A name that no field is left for chooses nothing."""
        digest = hashlib.sha256()
        left: dict[bytes, list[int]] = {}
        for name in names:
            places = left.get(name)
            if places is None:
                places = left[name] = [place for place in self.named(name) if place != signature_place]
            if places:
                digest.update(self.canonical(places.pop(), canon))
        digest.update(canonical_field(unsigned, canon))
        return digest.digest()


def field_name(field: bytes) -> bytes:
    """Return the name in lower case; white space before the colon is no part of it (RFC 5322 §4.5)."""
    return field.partition(b":")[0].rstrip(_WHITE_SPACE).lower()


def canonical_field(field: bytes, canon: str) -> bytes:
    """Return the field in simple or relaxed canonical form, without a line end."""
    if canon == "simple":
        return field
    value = field.partition(b":")[2].replace(b"\r\n", b"")
    if b"  " in value or b"\t" in value:
        value = _SPACES.sub(b" ", value)
    return field_name(field) + b":" + value.strip(_WHITE_SPACE)


def _problem(header: Header) -> str:
    if header.size_octets > MAX_OCTETS:
        return f"the header is larger than {MAX_OCTETS // 1024} KB"
    return f"the header has more than {MAX_FIELDS} fields" if header.field_count() > MAX_FIELDS else ""
