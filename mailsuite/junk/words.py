"""The filter's arithmetic: how often words were in junk and in wanted mail, and what that makes of a message.

A word's bucket is a hash of it, so memory is fixed: BUCKETS counters for each kind. A message counts once in each of
its buckets, which makes learning and its undoing exact. When MOST messages of a kind were learned, that kind's counters
are halved, all of them: old mail counts less and less, and it goes on for ever. What a message taught before that
cannot be told from the rest any more, so it is not taken back then: a count never falls below what others taught.

How surely a word tells is bounded by the kind of which fewer messages are known: owners teach much junk and little that
is wanted, and a word that was never met in twenty wanted mails may well be in the next. A message's telling words have
each their log-odds, and the mean counts: words come together, so that a long text's many prove no more than a short
one's few.
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
# Of one kind; counters have 16 bits.
MOST = 20_000

# How much a word's prior weighs, in messages; how far from the middle a word must be.
PRIOR_STRENGTH = 1.0
LEAST_DEVIATION = 0.2
# How much of the site's word counts while the mailbox itself has seen too little.
SITE_SHARE = 0.75
# No word is surer than this, or a handful would outvote all others.
SURE = 0.99
# The mean is taken as if so many words more said neither, or one word alone would decide.
NEUTRAL_WORDS = 8
# What was learned of the kind less known weighs m / (m + this).
HALF_TRUSTED = 8
# Makes a verdict's threshold of 0.9 the mean that few wanted mails reach (tests/bench/junk_filter.py).
STEEPNESS = 3.4


@dataclass(slots=True)
class Words:
    """One filter's counters; `version` is the row's that they were read from, `wanted_halvings` and `junk_halvings`
    say how often each kind's were halved."""

    wanted_count: int = 0
    junk_count: int = 0
    version: int = 0
    wanted_halvings: int = 0
    junk_halvings: int = 0
    wanted: "array[int]" = field(default_factory=lambda: array("H", bytes(2 * BUCKETS)))
    junk: "array[int]" = field(default_factory=lambda: array("H", bytes(2 * BUCKETS)))

    def knows_enough(self, least: int = LEAST) -> bool:
        return self.wanted_count >= least and self.junk_count >= least

    @property
    def trust(self) -> float:
        """How far the filter may be believed, from 0 to 1, by the kind of which it has seen less."""
        least = min(self.wanted_count, self.junk_count)
        return least / (least + HALF_TRUSTED)

    def halvings(self, *, is_junk: bool) -> int:
        return self.junk_halvings if is_junk else self.wanted_halvings

    def learn(self, buckets: Iterable[int], *, is_junk: bool) -> int:
        """Count a message; returns the kind's halvings before it, which taking it back needs."""
        halvings = self.halvings(is_junk=is_junk)
        self._count(buckets, is_junk, 1)
        if (self.junk_count if is_junk else self.wanted_count) >= MOST:
            self._halve(is_junk)
        return halvings

    def take_back(self, buckets: Iterable[int], *, is_junk: bool, halvings: int) -> None:
        """Undo `learn`, which returned these halvings; nothing once there were more."""
        if halvings == self.halvings(is_junk=is_junk):
            self._count(buckets, is_junk, -1)

    def _count(self, buckets: Iterable[int], is_junk: bool, sign: int) -> None:
        table = self.junk if is_junk else self.wanted
        for bucket in buckets:
            table[bucket] = max(table[bucket] + sign, 0)
        if is_junk:
            self.junk_count = max(self.junk_count + sign, 0)
        else:
            self.wanted_count = max(self.wanted_count + sign, 0)

    def _halve(self, is_junk: bool) -> None:
        """One kind alone: likelihoods are shares of each, and the other may be near what a filter must have seen."""
        if is_junk:
            self.junk = array("H", [count >> 1 for count in self.junk])
            self.junk_count, self.junk_halvings = self.junk_count >> 1, self.junk_halvings + 1
        else:
            self.wanted = array("H", [count >> 1 for count in self.wanted])
            self.wanted_count, self.wanted_halvings = self.wanted_count >> 1, self.wanted_halvings + 1

    def encode(self) -> bytes:
        """Return the counters as they are stored, on every machine alike."""
        return zlib.compress(b"".join(_little(table).tobytes() for table in (self.wanted, self.junk)), 1)

    def load(self, octets: bytes) -> None:
        """Take counters as `encode` wrote them."""
        if octets:
            plain = zlib.decompress(octets)
            self.wanted = _little(array("H", plain[: 2 * BUCKETS]))
            self.junk = _little(array("H", plain[2 * BUCKETS : TABLE_OCTETS]))


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
    telling = sorted((one for one in telling if one[0] >= LEAST_DEVIATION), reverse=True)
    clues = tuple((word, round(2 * likelihood - 1, 3)) for _, likelihood, word in telling)
    trust = max(table.trust for table in (own, site) if table)
    return Weighed(combine([likelihood for _, likelihood, _ in telling], trust), clues)


def _likelihood(bucket: int, own: Words | None, site: Words | None) -> float:
    """How likely a message with this word is junk, within the bounds of SURE."""
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
    # As if as many messages of each kind were known as of the one that is known less.
    seen = (in_junk + in_wanted) * min(table.junk_count, table.wanted_count)
    likelihood = in_junk / (in_junk + in_wanted)
    return (PRIOR_STRENGTH * prior + seen * likelihood) / (PRIOR_STRENGTH + seen)


def combine(likelihoods: Sequence[float], trust: float = 1.0) -> float:
    """Return the probability of junk out of the telling words' likelihoods."""
    odds = math.fsum(math.log(one / (1 - one)) for one in likelihoods) / (len(likelihoods) + NEUTRAL_WORDS)
    # Bounded by SURE, so that exp has no overflow.
    return 1 / (1 + math.exp(-STEEPNESS * trust * odds))
