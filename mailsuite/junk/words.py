"""The filter's arithmetic: how often words were in junk and in wanted mail, and what that makes of a message.

A word's bucket is a hash of it, so memory is fixed: BUCKETS counters for each kind. A message counts once in each of
its buckets, which makes learning and its undoing exact. Of a message's words those that tell most are combined as
Robinson did it, by Fisher's method: the evidence for junk and that for wanted are tested by themselves and set against
each other, so that mail with clues for both ends in the middle.
"""

import math
import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

BUCKETS = 1 << 16
TABLE_OCTETS = 2 * 2 * BUCKETS
# What a filter must have seen of each kind before it says anything.
LEAST = 20
SITE_LEAST = 50
# Counters have 16 bits; beyond this a filter learns no more, since what it could not count it could not take back.
MOST = 60_000

# How much a word's prior weighs, in messages; how far from the middle a word must be; how many are combined.
PRIOR_STRENGTH = 1.0
LEAST_DEVIATION = 0.2
MOST_CLUES = 150
# How much of the site's word counts while the mailbox itself has seen too little.
SITE_SHARE = 0.75
# No word is surer than this, or a handful would outvote all others.
SURE = 0.99


@dataclass(slots=True)
class Words:
    """One filter's counters; `version` is the row's that they were read from."""

    wanted_count: int = 0
    junk_count: int = 0
    version: int = 0
    wanted: "array[int]" = field(default_factory=lambda: array("H", bytes(2 * BUCKETS)))
    junk: "array[int]" = field(default_factory=lambda: array("H", bytes(2 * BUCKETS)))

    def knows_enough(self, least: int = LEAST) -> bool:
        return self.wanted_count >= least and self.junk_count >= least

    @property
    def is_full(self) -> bool:
        return max(self.wanted_count, self.junk_count) >= MOST

    def count(self, buckets: Iterable[int], *, is_junk: bool, sign: int = 1) -> None:
        """Learn a message (1) or take it back (-1)."""
        table = self.junk if is_junk else self.wanted
        for bucket in buckets:
            table[bucket] = max(table[bucket] + sign, 0)
        if is_junk:
            self.junk_count = max(self.junk_count + sign, 0)
        else:
            self.wanted_count = max(self.wanted_count + sign, 0)

    def subtract(self, other: "Words") -> None:
        """Take back all that the other has counted."""
        for mine, its in ((self.wanted, other.wanted), (self.junk, other.junk)):
            for bucket, count in enumerate(its):
                if count:
                    mine[bucket] = max(mine[bucket] - count, 0)
        self.wanted_count = max(self.wanted_count - other.wanted_count, 0)
        self.junk_count = max(self.junk_count - other.junk_count, 0)

    def encode(self) -> bytes:
        """Return the counters as they are stored, on every machine alike."""
        return zlib.compress(b"".join(_little(table).tobytes() for table in (self.wanted, self.junk)), 1)

    @classmethod
    def decode(cls, octets: bytes, wanted_count: int, junk_count: int, version: int) -> "Words":
        if not octets:
            return cls(wanted_count, junk_count, version)
        plain = zlib.decompress(octets)
        tables = array("H", plain[: 2 * BUCKETS]), array("H", plain[2 * BUCKETS : TABLE_OCTETS])
        return cls(wanted_count, junk_count, version, _little(tables[0]), _little(tables[1]))


def _little(table: "array[int]") -> "array[int]":
    if memoryview(b"\1\0").cast("H")[0] == 1:
        return table
    swapped = array("H", table)
    swapped.byteswap()
    return swapped


def bucket_of(word: str) -> int:
    return zlib.crc32(word.encode(errors="replace")) & (BUCKETS - 1)


def buckets_of(words: Iterable[str]) -> "array[int]":
    """Return the words' buckets, each once, ascending."""
    return array("H", sorted({bucket_of(word) for word in words}))


@dataclass(frozen=True, slots=True)
class Weighed:
    """`probability` of junk, and the words that made it with their weights from -1 (wanted) to 1 (junk)."""

    probability: float
    clues: tuple[tuple[str, float], ...]


def weigh(words: Sequence[str], own: Words | None, site: Words | None) -> Weighed | None:
    """Return what the filters make of the words; None while neither has seen enough. The mailbox's own counts rule; the
    site's are where a word starts from that the mailbox has not met."""
    own = own if own and own.knows_enough() else None
    site = site if site and site.knows_enough(SITE_LEAST) else None
    if own is None and site is None:
        return None
    found: dict[int, tuple[float, str]] = {}
    for word in words:
        bucket = bucket_of(word)
        if bucket not in found:
            found[bucket] = (_likelihood(bucket, own, site), word)
    telling = [(abs(likelihood - 0.5), likelihood, word) for likelihood, word in found.values()]
    telling = sorted((one for one in telling if one[0] >= LEAST_DEVIATION), reverse=True)[:MOST_CLUES]
    clues = tuple((word, round(2 * likelihood - 1, 3)) for _, likelihood, word in telling)
    return Weighed(fisher([likelihood for _, likelihood, _ in telling]), clues)


def _likelihood(bucket: int, own: Words | None, site: Words | None) -> float:
    """How likely a message with this word is junk (Robinson's f(w)), within the bounds of SURE."""
    prior = 0.5
    if site is not None:
        prior = _shrunk(bucket, site, 0.5)
        if own is None:
            prior = 0.5 + SITE_SHARE * (prior - 0.5)
    likelihood = prior if own is None else _shrunk(bucket, own, prior)
    return min(max(likelihood, 1 - SURE), SURE)


def _shrunk(bucket: int, table: Words, prior: float) -> float:
    junk, wanted = table.junk[bucket], table.wanted[bucket]
    if not junk and not wanted:
        return prior
    in_junk, in_wanted = junk / table.junk_count, wanted / table.wanted_count
    likelihood = in_junk / (in_junk + in_wanted)
    return (PRIOR_STRENGTH * prior + (junk + wanted) * likelihood) / (PRIOR_STRENGTH + junk + wanted)


def fisher(likelihoods: Sequence[float]) -> float:
    """Return the probability of junk: Fisher's method for and against it, the two set against each other."""
    if not likelihoods:
        return 0.5
    count = len(likelihoods)
    for_junk = _chi_square_tail(-2 * math.fsum(math.log(1 - one) for one in likelihoods), count)
    for_wanted = _chi_square_tail(-2 * math.fsum(math.log(one) for one in likelihoods), count)
    return (1 + for_wanted - for_junk) / 2


def _chi_square_tail(chi_square: float, pairs: int) -> float:
    """Return how likely a chi-square variable with 2 × `pairs` degrees of freedom is at least that large."""
    half = chi_square / 2
    # In logarithms, since exp(-half) of many sure words is zero.
    term = -half
    terms = [term]
    for step in range(1, pairs):
        term += math.log(half / step) if half > 0 else -math.inf
        terms.append(term)
    largest = max(terms)
    return min(math.exp(largest) * math.fsum(math.exp(one - largest) for one in terms), 1.0)
