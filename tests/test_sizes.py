"""Amounts of octets as people write and read them."""

import pytest

from mailsuite.env import Environment
from mailsuite.sizes import read_limit, write_limit


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("500M", 500 * 2**20), ("2g", 2**31), ("1.5 GB", 3 * 2**29), ("1 GiB", 2**30), ("1234567", 1234567),
        ("none", 0), (" Unlimited ", 0), ("0", None), ("0G", None), ("0.0001", None), ("", None), ("-1G", None),
        ("1e9", None), ("9999999T", None), ("1.5X", None), ("٣G", None),
    ],
)  # fmt: skip
def test_reading(text, octets):
    assert read_limit(text) == octets


@pytest.mark.parametrize("octets", [0, 1, 5000, 1234567, 2**20, 3 * 2**29, 5 * 2**30, 123456 * 2**8, 9999 * 2**40])
def test_what_is_written_reads_the_same(octets):
    assert read_limit(write_limit(octets)) == octets


def test_the_setting():
    for value, octets in (("", 7), ("none", 0), ("1G", 2**30)):
        assert Environment({"X": value}).limit("X", 7) == octets
    wrong = Environment({"X": "0"})
    assert wrong.limit("X", 7) == 7 and "such as 500M or 2G, or none" in wrong.problems[0]
