"""The content filter's word on a message: the mailbox's own counts, and the site's where the mailbox knows too little.

Counters are kept in memory and read anew when their row's version has moved on, which one small query tells.
"""

from collections.abc import Collection, Iterable, Mapping
from threading import Lock

from mailsuite.bounded import Bounded
from mailsuite.database.sql import Select, placeholders
from mailsuite.junk.features import Features
from mailsuite.junk.models import WordTable
from mailsuite.junk.words import LEAST, SITE_LEAST, Words, weigh
from mailsuite.verdict.facts import OpinionFact

# Of the words that decided, these many are told: half of them the surest for junk, half for wanted.
SHOWN_CLUES = 16
KEPT_TABLES = 32
_COUNTS = Select(WordTable, "id", "version", "wanted_count", "junk_count")
NEUTRAL = OpinionFact(None, (), "the filter has seen too little to say anything")

_kept: Bounded[int, Words] = Bounded(KEPT_TABLES)
_lock = Lock()


def classify(mailbox_id: int, features: Features) -> OpinionFact:
    """Return the filter's opinion on a message to this mailbox."""
    return classify_for([mailbox_id], features)[mailbox_id]


def classify_for(mailbox_ids: Collection[int], features: Features) -> dict[int, OpinionFact]:
    """Return the opinion for each mailbox; reads versions by one query, and counters only where they changed."""
    tables = _tables({WordTable.SITE, *mailbox_ids})
    site = tables.get(WordTable.SITE)
    return {one: _opinion(features, tables.get(one), site) for one in mailbox_ids}


def knows_anything(mailbox_ids: Collection[int]) -> bool:
    """Whether any of their filters, or the site's, has seen enough: else there is no need to read a message."""
    counts = _counts({WordTable.SITE, *mailbox_ids})
    return any(
        min(wanted, junk) >= (SITE_LEAST if one == WordTable.SITE else LEAST)
        for one, (_, wanted, junk) in counts.items()
    )


def _opinion(features: Features, own: Words | None, site: Words | None) -> OpinionFact:
    weighed = weigh(features.words, own, site)
    if weighed is None:
        return NEUTRAL
    whose = "this mailbox" if own and own.knows_enough() else "the site's mailboxes"
    for_junk = [clue for clue in weighed.clues if clue[1] > 0]
    for_wanted = [clue for clue in weighed.clues if clue[1] < 0]
    text = f"by what {whose} called junk: {len(for_junk)} words speak for junk, {len(for_wanted)} against it"
    shown = (*for_junk[: SHOWN_CLUES // 2], *for_wanted[: SHOWN_CLUES // 2])
    return OpinionFact(round(weighed.probability, 4), shown, text)


def _counts(ids: Iterable[int]) -> Mapping[int, tuple[int, int, int]]:
    """Version, wanted and junk messages of each filter that there is."""
    wanted = sorted(ids)
    rows = _COUNTS.rows(f"id IN ({placeholders(wanted)})", wanted)
    return {one: (version, wanted_count, junk_count) for one, version, wanted_count, junk_count in rows}


def _tables(ids: Collection[int]) -> dict[int, Words]:
    counts, found = _counts(ids), dict[int, Words]()
    with _lock:
        for one, (version, _, _) in counts.items():
            if (words := _kept.use(one)) and words.version == version:
                found[one] = words
    stale = [one for one in counts if one not in found]
    rows = WordTable.objects.using("reader").filter(pk__in=stale) if stale else ()
    for row in rows:
        found[row.pk] = decode(row)
    with _lock:
        for one in stale:
            if one in found:
                _kept.put(one, found[one])
    return found


def decode(row: WordTable) -> Words:
    words = Words(row.wanted_count, row.junk_count, row.version, row.wanted_halvings, row.junk_halvings)
    words.load(bytes(row.counts))
    return words


def forget_kept() -> None:
    """Drops the counters in memory, as when the database is another."""
    with _lock:
        _kept.clear()
