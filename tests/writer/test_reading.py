"""What a Content row keeps of a message is bounded, whatever the message is like."""

import errno
import os
import select

import pytest

from mailsuite.writer import reading
from mailsuite.writer.local_storage import LocalFile
from mailsuite.writer.reading import HEADER_IN_ROW_OCTETS, LIMITS, Child, is_much_work, read_hastily, summarize

PART = b"--b\r\nContent-Type: text/plain; name=%b\r\n\r\nx\r\n"


def of_parts(count, name):
    head = b"Subject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    return head + PART % name * count + b"--b--\r\n"


def test_a_structure_that_no_honest_mail_has_is_kept_in_part():
    """Strangers must not make it gigabytes; what the mail is stays."""
    honest, hostile = summarize(of_parts(9_999, b"holiday.jpeg")), summarize(of_parts(9_999, b"x" * 900))
    assert honest.body_structure.count(b'"holiday.jpeg"') == 9_999
    for ready in (hostile.body_structure, hostile.body):
        assert len(ready) < LIMITS.structure_octets + 4_000 and ready.endswith(b")") and b'"mixed"' in ready[-80:]
    assert hostile.subject == "parts" and len(hostile.parts) < 100_000


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"Subject: x\r\n\r\n" + b"text\r\n" * 10_000, False),
        (b"Subject: x\n\n" + b"text\n" * 10_000, False),
        (b"X: y\r\n" * 100 + b"\r\n", False),
        (b"To: " + b"a@b,\r\n " * 5_000 + b"\r\n\r\n", True),
        (b"X: y\r\n" * 8_000, True),
        (of_parts(100, b"x"), False),
        (of_parts(1_100, b"x"), True),
    ],
)
def test_what_is_much_work_for_its_size_is_told_without_reading_it(octets, expected):
    assert is_much_work(octets) is expected


@pytest.mark.parametrize("trouble", [None, ValueError])
def test_what_could_not_be_read_in_time_is_still_what_it_is(tmp_path, monkeypatch, trouble):
    path = tmp_path / "spooled"
    path.write_bytes(b"Subject: late\r\nTo: " + b"a@example.org,\r\n " * 10_000 + b"b@c\r\n" + of_parts(5_000, b"x"))
    if trouble:
        real = reading.parse_message
        monkeypatch.setattr(
            reading,
            "parse_message",
            lambda octets, limits, *more: failing(trouble, limits) or real(octets, limits, *more),
        )
    with path.open("rb") as file:
        found = read_hastily(LocalFile(file.fileno()))
    assert found.size_octets == path.stat().st_size
    if trouble:
        assert found.body_structure.startswith(b'("text" "plain"')
        return
    assert found.subject == "late" and found.body_structure.endswith(b'"mixed" ("boundary" "b") NIL NIL NIL)')
    assert found.body_structure.count(b'"plain"') == 199
    assert max(len(found.envelope), len(found.body_structure)) < 70_000


def failing(trouble, limits):
    if limits.header_octets:
        raise trouble


def test_a_header_too_large_for_the_row_stays_with_the_message():
    large = summarize(b"X-Large: " + b"x" * HEADER_IN_ROW_OCTETS + b"\r\nSubject: large\r\n\r\n")
    assert (large.header, large.subject) == (None, "large")


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_child_tells_that_the_file_could_not_be_made_durable(tmp_path, monkeypatch, number):
    """Linux tells of lost octets once: whoever asks again is told that all is well."""
    path = tmp_path / "spooled"
    path.write_bytes(b"Subject: lost\r\n\r\nx\r\n")

    def fsync(descriptor):
        if not told.exists():
            told.touch()
            raise OSError(number, os.strerror(number))

    told = tmp_path / "told"
    monkeypatch.setattr(os, "fsync", fsync)
    with path.open("rb") as file:
        with pytest.raises(OSError) as caught:
            answer_of(LocalFile(file.fileno()))
        assert caught.value.errno == number and told.exists()
        assert answer_of(LocalFile(file.fileno())).subject == "lost"


def answer_of(file):
    child = Child(file, 0.0, lambda: None)
    while not child.receive():
        select.select([child], [], [])
    return child.finish()
