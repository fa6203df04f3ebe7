"""What a limit leaves out of a long header: what lies beyond it, and nothing that says what the mail is."""

import pytest

from mailsuite.mail import address_list, bounded_header
from mailsuite.mail.body_structure import ParseLimits
from mailsuite.mail.bounded_header import cut_value, read_fields
from mailsuite.mail.message import parse_message


@pytest.mark.parametrize(
    ("value", "most", "expected"),
    [
        (b"a@b, c@d", 100, b"a@b, c@d"),
        (b"a@b, c@d", 7, b"a@b"),
        (b'"A, B" <a@b>, "C, D" <c@d>', 20, b'"A, B" <a@b>'),
        (b"words and words", 12, b"words and"),
        (b"x" * 9, 5, b"x" * 5),
        (b"", 0, b""),
    ],
)
def test_a_value_ends_where_an_address_or_a_word_does(value, most, expected):
    assert cut_value(value, most) == expected


def test_one_bracket_far_in_front_costs_no_other_address():
    value = b"Ann <ann@example.org>, " + b", ".join(b"r%d@example.org" % at for at in range(1_000))
    cut = cut_value(value, 10_000)
    assert value.startswith(cut + b",") and len(cut) > 9_900


def test_a_first_field_beyond_the_limit_is_cut_and_not_lost():
    lists = b"To: " + b",\r\n ".join(b"Reader <r%d@example.org>" % at for at in range(200))
    octets = lists + b"\r\nSubject: behind\r\n\r\ntext\r\n"
    message = parse_message(octets, ParseLimits(header_octets=1_000))
    assert (message.subject, message.truncated) == ("behind", True)
    assert b'"r0"' in message.envelope_structure and message.to_text.startswith("Reader <r0@example.org>")


def test_a_header_without_end_is_not_looked_through_for_ever(monkeypatch):
    monkeypatch.setattr(bounded_header, "_MAX_SEARCHED", 1_000)
    for lines, found in ((100, True), (400, False)):
        octets = b"X: y\r\n" * lines + b"Subject: far\r\n\r\n"
        fields = read_fields(octets, 0, len(octets), max_octets=100, max_fields=5).fields
        assert (b"subject" in fields) is found


@pytest.mark.parametrize("front", [b"", b"\n", b"text\r\n\r\n"])
def test_a_block_within_others_keeps_its_first_field(front):
    block = b"From: " + b"x" * 500 + b"@example.org\r\n\r\n"
    fields, is_whole = read_fields(front + block, len(front), len(front + block), max_octets=100, max_fields=5)
    assert b"from" in fields and not is_whole


@pytest.mark.parametrize(
    "shape",
    [
        b"r%d@example.org (Reader)", b"r%d@example.org <r@example.org>", b"Reader (Sales) <r%d@example.org>",
        b'"The \\"Reader\\"" <r%d@example.org>', b'"Reader, A" <r%d@example.org>', b"(Sales) <r%d@example.org>",
    ],
)  # fmt: skip
def test_lists_as_mail_programs_write_them_are_read_whole(monkeypatch, shape):
    monkeypatch.setattr(address_list, "MAX_ODD_OCTETS", 100)
    octets = b"To: " + b",\r\n ".join(shape.replace(b"%d", b"%d" % at) for at in range(500)) + b"\r\n\r\n"
    message = parse_message(octets)
    assert not message.truncated and b"r499" in message.envelope_structure


def test_what_is_left_out_of_a_list_is_told(monkeypatch):
    monkeypatch.setattr(address_list, "MAX_ODD_OCTETS", 100)
    message = parse_message(b"To: " + b", ".join(b"A (x) B <r%d@example.org>" % at for at in range(50)) + b"\r\n\r\n")
    assert message.truncated and b'"r2"' in message.envelope_structure
