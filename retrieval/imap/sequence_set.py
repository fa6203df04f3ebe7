"""Sets of messages as clients name them (RFC 3501 §9, sequence-set), and the positions they mean in a folder.

sequence-set = (seq-number / seq-number ":" seq-number) *("," sequence-set)
seq-number   = nz-number / "*"       "*" is the last message; a range may stand reversed
"""

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from retrieval.imap.errors import BadCommand

LAST = 0  # what "*" is read as
_LARGEST = 2**32 - 1
_RANGE = re.compile(rb"([1-9]\d{0,9}|\*)(?::([1-9]\d{0,9}|\*))?")


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """Ranges as the client wrote them, LAST standing for "*"."""

    ranges: tuple[tuple[int, int], ...]

    def of_numbers(self, count: int) -> list[range]:
        """Return the positions (from 0) of these sequence numbers among `count` messages: ascending, disjoint.
        Raises BadCommand for a number that no message has."""
        spans = []
        for first, last in self.ranges:
            low, high = sorted((first or count, last or count))
            if low < 1 or high > count:
                raise BadCommand("No message has that sequence number")
            spans.append((low - 1, high))
        return _merged(spans)

    def among_numbers(self, count: int) -> list[range]:
        """Return as `of_numbers` does, with the numbers that no message has passed over: what a search for them means,
        and clients ask for the first hundred whether there are so many or not."""
        spans = []
        for first, last in self.ranges:
            low, high = sorted((first or count, last or count))
            spans.append((max(low, 1) - 1, min(high, count)))
        return _merged(spans)

    def of_uids(self, uids: "array[int]") -> list[range]:
        """Return the positions of these uids, given all uids ascending; uids that no message has are passed over."""
        largest = uids[-1] if uids else 0
        spans = []
        for first, last in self.ranges:
            low, high = sorted((first or largest, last or largest))
            spans.append((bisect_left(uids, low), bisect_right(uids, high)))
        return _merged(spans)


def parse_sequence_set(octets: bytes) -> SequenceSet:
    """Return the set. Raises BadCommand."""
    ranges = []
    for item in octets.split(b","):
        match = _RANGE.fullmatch(item)
        if match is None:
            raise BadCommand("Not a sequence set")
        first = _number(match[1])
        ranges.append((first, first if match[2] is None else _number(match[2])))
    return SequenceSet(tuple(ranges))


def format_uid_set(uids: Iterable[int]) -> bytes:
    """Return the uids, in this order, as a uid-set (RFC 4315 §4): runs that ascend by one as ranges."""
    pieces: list[bytes] = []
    first = last = 0
    for uid in uids:
        if first and uid == last + 1:
            last = uid
            continue
        if first:
            pieces.append(_span(first, last))
        first = last = uid
    if first:
        pieces.append(_span(first, last))
    return b",".join(pieces)


def _number(octets: bytes) -> int:
    if octets == b"*":
        return LAST
    number = int(octets)
    if number > _LARGEST:
        raise BadCommand("A number in a sequence set is too large")
    return number


def _span(first: int, last: int) -> bytes:
    return b"%d" % first if first == last else b"%d:%d" % (first, last)


def _merged(spans: list[tuple[int, int]]) -> list[range]:
    merged: list[range] = []
    for start, stop in sorted(spans):
        if start >= stop:
            continue
        if merged and start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(stop, merged[-1].stop))
        else:
            merged.append(range(start, stop))
    return merged
