"""The octets of one message, as the checks need them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mailsuite.mail.parsed_header import Header

# What is hashed at once, in the event loop: some tenths of a millisecond.
INLINE_OCTETS = 32 * 1024


@dataclass(frozen=True)
class Content:
    """`body` yields what follows the header in chunks, and may read from the disk unless `is_in_memory`."""

    header: Header
    body: Callable[[], Iterator[bytes]]
    body_octets: int
    is_in_memory: bool = True

    @property
    def is_small(self) -> bool:
        """Whether hashing it stalls nobody."""
        return self.is_in_memory and self.body_octets <= INLINE_OCTETS
