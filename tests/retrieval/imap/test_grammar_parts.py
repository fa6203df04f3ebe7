"""Sequence sets, list patterns, folder views: the pure pieces by themselves."""

import random
import re
from array import array

import pytest

from retrieval.imap.errors import BadCommand
from retrieval.imap.list_pattern import Pattern
from retrieval.imap.sequence_set import format_uid_set, parse_sequence_set


@pytest.mark.parametrize(
    ("uids", "text"),
    [([], b""), ([5], b"5"), ([1, 2, 3], b"1:3"), ([1, 3, 4, 9], b"1,3:4,9"), ([3, 2, 1], b"3,2,1")],
)
def test_uid_sets_are_written_as_runs(uids, text):
    assert format_uid_set(uids) == text


def test_sets_resolve_as_a_plain_reading_of_the_rule_does():
    draw = random.Random(3501)
    for _ in range(300):
        uids = sorted(draw.sample(range(1, 60), draw.randint(0, 20)))
        ranges = [[draw.choice(["*", draw.randint(1, 60)]) for _ in range(draw.randint(1, 2))] for _ in range(3)]
        text = ",".join(":".join(map(str, pair)) for pair in ranges).encode()
        last = uids[-1] if uids else 0
        numbers = [[last if end == "*" else int(end) for end in pair] for pair in ranges]
        wanted = {uid for uid in uids for pair in numbers if min(pair) <= uid <= max(pair)}
        spans = parse_sequence_set(text).of_uids(array("I", uids))
        positions = [position for span in spans for position in span]
        assert positions == sorted(set(positions))
        assert {uids[position] for position in positions} == wanted


def test_a_long_set_of_overlapping_ranges_is_merged():
    text = b",".join(b"%d:%d" % (start, start + 50) for start in range(1, 5000))
    assert parse_sequence_set(text).of_numbers(6000) == [range(0, 5049)]
    with pytest.raises(BadCommand):
        parse_sequence_set(text).of_numbers(5000)


def test_patterns_match_as_their_regular_expressions_do():
    draw = random.Random(3348)
    for _ in range(2000):
        pattern = "".join(draw.choice("ab/*%") for _ in range(draw.randint(0, 7)))
        name = "".join(draw.choice("ab/") for _ in range(draw.randint(0, 7)))
        translated = "".join({"*": ".*", "%": "[^/]*"}.get(c, re.escape(c)) for c in pattern)
        assert matches(pattern, name) is bool(re.fullmatch(translated, name)), (pattern, name)


def matches(pattern, name):
    return len(name) in Pattern(pattern).levels(name)


def test_hostile_patterns_cost_what_their_length_costs():
    name = "a" * 1000
    assert not matches("%a*" * 300 + "b", name)
    assert matches("*" * 60_000, name)
    assert not matches("a*" * 30_000, name)
