"""Figures of the content filter on made-up mail that it has not seen: false positives first, then what it misses.

    .venv/bin/python tests/bench/junk_filter.py [MAILS_OF_EACH_KIND]

The corpus is tests/support/mail_corpus.py: generated, so the figures compare methods and guard against mistakes; they
promise nothing about anybody's mail. Senders, hosts and sentences of the tested mail are none that were trained; the
filter's constants were chosen on a third world. Beside Fisher's method stand two others over the same counters.
"""

import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

BASE = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(BASE), str(BASE / "tests" / "support")]

from mail_corpus import Mail, mails  # noqa: E402

from mailsuite.junk import words  # noqa: E402
from mailsuite.junk.features import extract  # noqa: E402
from mailsuite.junk.words import TABLE_OCTETS, Words, buckets_of, weigh  # noqa: E402
from mailsuite.verdict.judge import JUNK_PROBABILITY  # noqa: E402

Method = Callable[[Sequence[float]], float]


def trained(some: Sequence[Mail]) -> Words:
    table = Words()
    for mail in some:
        table.count(buckets_of(extract(mail.header, [mail.body]).words), is_junk=mail.is_junk)
    return table


def graham(likelihoods: Sequence[float]) -> float:
    """Naive Bayes over the fifteen words that tell most."""
    return bayes(likelihoods[:15])


def bayes(likelihoods: Sequence[float]) -> float:
    """Naive Bayes over all telling words."""
    odds = math.fsum(math.log(one / (1 - one)) for one in likelihoods)
    return 1 / (1 + math.exp(-max(min(odds, 700), -700)))


def mistakes(table: Words, some: Sequence[Mail]) -> tuple[list[str], list[str]]:
    """The kinds of wanted mail that would go to Junk, and of junk that would not."""
    false_positives, missed = [], []
    for mail in some:
        found = weigh(extract(mail.header, [mail.body]).words, table, None)
        probability = found.probability if found else 0.5
        if probability >= JUNK_PROBABILITY and not mail.is_junk:
            false_positives.append(mail.kind)
        elif probability < JUNK_PROBABILITY and mail.is_junk:
            missed.append(mail.kind)
    return false_positives, missed


def main(each: int) -> None:
    tested = list(mails(2, each, world="tested"))
    wanted = sum(not mail.is_junk for mail in tested)
    print(f"{len(tested)} mails not seen before, {wanted} of them wanted; Junk from {JUNK_PROBABILITY} on")
    own = words.fisher
    for count in (4, 10, 40, 100):
        table = trained(list(mails(1, count, world="trained")))
        for name, method in (("fisher", own), ("naive Bayes, 15", graham), ("naive Bayes, all", bayes)):
            words.fisher = method  # type: ignore[assignment]
            false_positives, missed = mistakes(table, tested)
            print(
                f"  trained {table.wanted_count:4}+{table.junk_count:<4} {name:17}"
                f" false positives {len(false_positives):4} ({100 * len(false_positives) / wanted:.2f} %)"
                f"  missed {len(missed):4} ({100 * len(missed) / (len(tested) - wanted):.2f} %)"
                f"  {_most(false_positives)} | {_most(missed)}"
            )
        words.fisher = own
    _costs(table, tested)


def _most(kinds: Sequence[str]) -> str:
    return ", ".join(f"{kind} {kinds.count(kind)}" for kind in sorted(set(kinds), key=kinds.count, reverse=True)[:3])


def _costs(table: Words, tested: Sequence[Mail]) -> None:
    begun = time.process_time()
    features = [extract(mail.header, [mail.body]).words for mail in tested]
    read = time.process_time()
    for one in features:
        weigh(one, table, table)
    weighed = time.process_time()
    large = b"".join(mail.body for mail in tested)[: 300 * 1024]
    words_of_large = extract(tested[0].header, [large]).words
    weigh(words_of_large, table, table)
    ended = time.process_time()
    each = 1000 / len(tested)
    octets = sum(len(mail.body) for mail in tested) / len(tested)
    print(
        f"  {octets:.0f} octets of text: {(read - begun) * each:.2f} ms to read, {(weighed - read) * each:.2f} to weigh"
    )
    print(
        f"  a text of {len(large) // 1024} KB: {(ended - weighed) * 1000:.1f} ms in all, {len(words_of_large)} features"
    )
    print(f"  {TABLE_OCTETS} octets a mailbox in memory, {len(table.encode())} in its row after this training")
    print(f"  {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB at most")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
