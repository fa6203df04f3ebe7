"""A message's header parsed once: the value that SPF, DKIM, DMARC, the junk filter, submission and the store all read.

    header = Header.parse(block)
    header.get(b"from", ())                    # raw values, in the order in which they stand
    header.without(header.places(b"bcc"))      # another header, which nobody has to parse again

The octets are kept as they were received and never change; fields are ranges of them, cut out when somebody asks. A
`HeaderTable` carries the ranges to another process that has the octets.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from mailsuite.mail.header import Octets, header_end, split_fields

NO_VALUE = -1


class HeaderLine(NamedTuple):
    """A field of a header with its folded lines, or lines that are none, without their last LF. `name` is in lower
    case, `value_at` the offset after the colon; where there is no colon they are empty and NO_VALUE."""

    name: bytes
    octets: bytes
    value_at: int

    @classmethod
    def of(cls, octets: bytes) -> "HeaderLine":
        """Return the line of these octets."""
        colon = octets.find(b":")
        return cls(octets[:colon].rstrip().lower(), octets, colon + 1) if colon >= 0 else cls(b"", octets, NO_VALUE)


class HeaderTable(Struct, frozen=True, array_like=True):
    """Where the lines of a header stand: the length of its block, and for each line its lower-case name, its offset in
    the block and that of its value, or NO_VALUE."""

    octets: int
    names: list[bytes]
    starts: list[int]
    values_at: list[int]


class Header(Mapping[bytes, Sequence[bytes]]):
    """Raw values by lower-case field name, as `collect_fields` gives them. `block` is the header with its blank line;
    `size_octets` its length. A place is a line's number, from 0."""

    __slots__ = ("_block", "_octets", "_places", "_table", "_values", "size_octets")

    def __init__(self, octets: Octets, table: HeaderTable) -> None:
        """The header at the beginning of the octets, which the table describes."""
        self._octets, self._table, self.size_octets = octets, table, table.octets
        self._block: bytes | None = None
        self._places: dict[bytes, list[int]] | None = None
        self._values: dict[bytes, list[bytes]] = {}

    @classmethod
    def parse(cls, octets: Octets, end: int | None = None) -> "Header":
        """Return the header whose block is octets[:end], or all of them. Takes time linear to its length."""
        block = octets[:] if end is None else octets[:end]
        names: list[bytes] = []
        starts: list[int] = []
        values_at: list[int] = []
        start = 0
        for line in split_fields(block):
            colon = line.find(b":")
            if colon >= 0:
                starts.append(start)
                names.append(line[:colon].rstrip().lower())
                values_at.append(start + colon + 1)
            elif len(starts) < 2 or values_at[-1] != NO_VALUE:
                starts.append(start)
                names.append(b"")
                values_at.append(NO_VALUE)
            start += len(line) + 1
        return cls(octets, HeaderTable(len(block), names, starts, values_at))

    @classmethod
    def parse_message(cls, octets: Octets) -> "Header":
        """Return the header of a message."""
        return cls.parse(octets, header_end(octets, 0, len(octets)))

    @classmethod
    def of(cls, lines: Iterable[HeaderLine]) -> "Header":
        """Return the header that these lines make; the last is what follows the last line end, and mostly empty."""
        known = list(lines)
        starts: list[int] = []
        start = 0
        for line in known:
            starts.append(start)
            start += len(line.octets) + 1
        values_at = [
            at + line.value_at if line.value_at >= 0 else NO_VALUE for at, line in zip(starts, known, strict=True)
        ]
        names = [line.name for line in known]
        return cls(b"\n".join(line.octets for line in known), HeaderTable(start - 1, names, starts, values_at))

    @property
    def table(self) -> HeaderTable:
        """Where its lines stand, for whoever has the octets in another process."""
        return self._table

    @property
    def block(self) -> bytes:
        """The octets of the header, its blank line included."""
        if self._block is None:
            self._block = self._octets[: self.size_octets]
        return self._block

    def __len__(self) -> int:
        return len(self._index())

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._index())

    def __contains__(self, name: object) -> bool:
        return name in self._index()

    def __getitem__(self, name: bytes) -> list[bytes]:
        if (known := self._values.get(name)) is None:
            known = self._values[name] = [self.line(place)[1] for place in self._index()[name]]
        return known

    def get(self, name: bytes, default: Any = None, /) -> Any:
        """Return the values of the fields with this name, or the default where there is none."""
        return self[name] if name in self._index() else default

    def places(self, name: bytes) -> Sequence[int]:
        """Return the places of the fields with this name, from the top down."""
        return self._index().get(name, ())

    def field(self, place: int) -> bytes:
        """Return the octets of the line at the place without its line end."""
        return self._octets[self._table.starts[place] : self._end(place)].removesuffix(b"\r")

    def line(self, place: int) -> tuple[bytes, bytes]:
        """Return name and raw value of the field at the place."""
        table = self._table
        return table.names[place], self._octets[table.values_at[place] : self._end(place)]

    def lines(self) -> list[HeaderLine]:
        """Return all lines, those included that are no field."""
        table = self._table
        return [
            HeaderLine(name, self._octets[start : self._end(place)], value_at - start if value_at >= 0 else NO_VALUE)
            for place, (name, start, value_at) in enumerate(
                zip(table.names, table.starts, table.values_at, strict=True)
            )
        ]

    def fields(self) -> Iterator[tuple[int, bytes]]:
        """Yield place and lower-case name of each field."""
        table = self._table
        for place, (name, value_at) in enumerate(zip(table.names, table.values_at, strict=True)):
            if value_at >= 0:
                yield place, name

    def field_count(self) -> int:
        """Return how many fields it has."""
        return len(self._table.values_at) - self._table.values_at.count(NO_VALUE)

    def without(self, places: Collection[int]) -> "Header":
        """Return the header less the lines at these places."""
        if not places:
            return self
        dropped = frozenset(places)
        return Header.of(line for place, line in enumerate(self.lines()) if place not in dropped)

    def behind(self, front: bytes) -> "Header":
        """Return the header with fields of ours in front, each with its CRLF."""
        *fields, _ = split_fields(front)
        lines = self.lines()
        if lines[0].octets.startswith((b" ", b"\t")):  # what comes behind a field goes on with it
            fields[-1] += b"\n" + lines.pop(0).octets
        return Header.of([*map(HeaderLine.of, fields), *lines])

    def _end(self, place: int) -> int:
        starts = self._table.starts
        return starts[place + 1] - 1 if place + 1 < len(starts) else self.size_octets

    def _index(self) -> dict[bytes, list[int]]:
        if self._places is None:
            self._places = {}
            for place, name in self.fields():
                self._places.setdefault(name, []).append(place)
        return self._places
