"""The octets of one message, as the checks need them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from mailsuite.mail.header import Fields, collect_fields

# What is hashed at once, in the event loop: some tenths of a millisecond.
INLINE_OCTETS = 32 * 1024


@dataclass(frozen=True)
class Content:
    """`header` is the header block with its blank line; `body` yields what follows in chunks, and may read from the
    disk unless `is_in_memory`."""

    header: bytes
    body: Callable[[], Iterator[bytes]]
    body_octets: int
    is_in_memory: bool = True

    @property
    def is_small(self) -> bool:
        """Whether hashing it stalls nobody."""
        return self.is_in_memory and self.body_octets <= INLINE_OCTETS

    @cached_property
    def fields(self) -> Fields:
        """The raw values of the header's fields by lower-case name."""
        return collect_fields(self.header)
