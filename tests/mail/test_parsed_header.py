"""A header that is parsed once says the same as the octets, whoever changes it and wherever it is carried."""

import random

import msgspec
import pytest

from mailsuite.mail.header import collect_fields, drop_fields
from mailsuite.mail.parsed_header import Header, HeaderLine, HeaderTable

BLOCKS = [
    b"",
    b"\r\n",
    b"From: a\r\n\r\n",
    b"From : a\r\nTo: b,\r\n c\r\nfrom:d\r\n\r\n",
    b"From ann Mon\r\nSubject: x\r\n\r\n",
    b"no field\r\nnone either\r\nX: y\r\nnone\r\nagain none\r\n\r\n",
    b"a: b\n\tc\nD:\n\n",
    b": no name\r\nEnd: without line end",
    b"\xff\xfe: \x00\r\nX:\ry\r\n\r\n",
    b" folded first: x\r\n\r\n",
]


def generated(seed):
    chance = random.Random(seed)
    pieces = [
        b"From",
        b"TO",
        b"x-y",
        b":",
        b": ",
        b" ",
        b"\t",
        b"\r\n",
        b"\n",
        b"\r",
        b"a@b.example",
        b"\xc3\xa9",
        b"=",
    ]
    return b"".join(chance.choices(pieces, k=chance.randrange(60)))


@pytest.fixture(params=[*BLOCKS, *map(generated, range(300))], ids=lambda block: repr(block[:30]))
def block(request):
    return request.param


def test_it_says_what_the_octets_say(block):
    header = Header.parse(block)
    assert dict(header) == collect_fields(block)
    assert (header.block, len(header), header.size_octets) == (block, len(collect_fields(block)), len(block))
    assert b"\n".join(line.octets for line in header.lines()) == block
    assert header.get(b"absent") is None and header.get(b"absent", ()) == () and b"absent" not in header


def test_what_is_made_of_its_lines_needs_no_parsing(block):
    header = Header.parse(block)
    again = Header.of(header.lines())
    assert (again.block, again.table) == (block, header.table)


def test_fields_go_as_if_the_block_were_cut(block):
    header = Header.parse(block)
    for name in header:
        left = header.without(header.places(name))
        assert left.block == drop_fields(block, name)[0]
        assert dict(left) == collect_fields(left.block)


def test_fields_in_front(block):
    front = b"Received: here\r\n\tby us\r\nX: z\r\n"
    header = Header.parse(block).behind(front)
    assert header.block == front + block
    assert dict(header) == collect_fields(front + block)


def test_a_table_crosses_to_who_has_the_message(block):
    carried = msgspec.msgpack.decode(msgspec.msgpack.encode(Header.parse(block).table), type=HeaderTable)
    header = Header(block + b"and: its body\r\n", carried)
    assert (dict(header), header.block) == (collect_fields(block), block)


def test_what_is_no_field_is_one_line_however_long():
    header = Header.parse(b"A: b\r\nC: d\r\n" + b"none\r\n" * 100_000 + b"\r\n")
    assert len(header.table.names) == 3 and header.field_count() == 2


def test_a_field_is_found_by_its_place():
    header = Header.parse(b"A: b\r\nno field\r\nTo: x,\r\n y\r\nto: z\r\n\r\n")
    assert [header.field(place) for place in header.places(b"to")] == [b"To: x,\r\n y", b"to: z"]
    assert HeaderLine.of(b"To: x").value_at == 3
