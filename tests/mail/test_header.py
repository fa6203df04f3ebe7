import mmap
import tempfile

import pytest

from mailsuite.mail.header import (
    collect_fields,
    header_end,
    header_fields,
    missing_blank_line,
    normalize_line_ends,
    unfold,
)

BLOCK = b"From: ann\r\nSubject: one\r\n two\r\nX-A: 1\r\nx-a : 2\r\n\r\n"


@pytest.mark.parametrize(
    ("octets", "end"),
    [
        (b"", 0),
        (b"\r\nbody", 2),
        (b"\nbody", 1),
        (b"A: b\r\n\r\nbody", 8),
        (b"A: b\n\nbody", 6),
        (b"A: b\n\r\nbody", 7),
        (b"A: b\r\n\nbody", 7),
        (b"A: b\r\nC: d\r\n", 12),
        (b"A: b", 4),
        (b"A: b\n\nbody\r\n\r\nmore", 6),
        (b"A: b\r\n\r\nbody\n\nmore", 8),
        (b"A: b\r\rbody", 10),
    ],
)
def test_header_end(octets, end):
    assert header_end(octets, 0, len(octets)) == end
    framed = b"xx" + octets + b"\r\n\r\n"
    assert header_end(framed, 2, 2 + len(octets)) == end + 2


def test_header_end_in_an_mmap():
    with tempfile.TemporaryFile() as file:
        file.write(b"A: b\r\n\r\nbody")
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert header_end(mapped, 0, len(mapped)) == 8


def test_fields_are_collected_by_name():
    fields = collect_fields(b"From ann Mon Jan 1 2024\nA: 1\n\t2\nno field\na :3\n\n")
    assert fields[b"a"] == [b" 1\n\t2", b"3"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b" plain\r", b"plain"),
        (b" one\r\n two\r", b"one two"),
        (b" one\n\ttwo", b"one\ttwo"),
        (b" a\rb", b"a b"),
        (b" a\0b", b"ab"),
        (b" \r\n \r", b""),
    ],
)
def test_unfold(value, expected):
    assert unfold(value) == expected


@pytest.mark.parametrize(
    ("names", "exclude", "expected"),
    [
        ([b"subject"], False, b"Subject: one\r\n two\r\n\r\n"),
        ([b"x-a", b"from"], False, b"From: ann\r\nX-A: 1\r\nx-a : 2\r\n\r\n"),
        ([b"x-a"], True, b"From: ann\r\nSubject: one\r\n two\r\n\r\n"),
        ([b"none"], False, b"\r\n"),
        ([], True, BLOCK),
    ],
)
def test_fields_are_picked_as_received(names, exclude, expected):
    assert header_fields(BLOCK, names, exclude=exclude) == expected


def test_picked_and_left_out_are_the_whole_wherever_the_block_is_cut():
    for end in range(len(BLOCK)):
        picked = header_fields(BLOCK[:end], [b"subject"], exclude=False)
        others = header_fields(BLOCK[:end], [b"subject"], exclude=True)
        assert picked.endswith(b"\r\n") and others.endswith(b"\r\n")
        assert len(picked) + len(others) >= len(BLOCK[:end].rstrip()) + 4


def test_line_ends_become_crlf():
    assert normalize_line_ends(b"a\rb\nc\r\nd\n\r\r\n") == b"a\r\nb\r\nc\r\nd\r\n\r\n\r\n"


@pytest.mark.parametrize(
    ("block", "at"),
    [
        (b"Hello there\r\n\r\n", 0),
        (b"Dear Sir: hello\r\nSubject: x\r\n\r\n", 0),
        (b" folded under nothing\r\nSubject: x\r\n\r\n", 0),
        (b"\xc3\x9cber: x\r\n\r\n", 0),
        (b": x\r\n", 0),
        (b"Subject: x\r\n y\r\nHello\r\nthere: you\r\n", 16),
        (b"Subject: x\r\nHello", 12),
        # What has its blank line stays as it is, whatever stands in its header.
        (b"Subject: x\r\nHello\r\nFrom: a\r\n\r\n", None),
        (b"From ann Mon Jan  1\r\nSubject : x\r\n\r\n", None),
        (b">From ann Mon Jan  1\r\nSubject: x\r\n", None),
        (b"Subject: x\nb: c\n\n", None),
        (b"\r\n", None),
        (b"\n", None),
        (b"", None),
    ],
)
def test_a_blank_line_that_is_missing_is_seen(block, at):
    assert missing_blank_line(block) == at
