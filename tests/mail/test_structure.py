import pytest

from mailsuite.mail.message import parse_message
from mailsuite.mail.structure import Part, PartKind, decode_parts, encode_parts, find_part, section_range, shifted

INNER = (
    b"Subject: inner\r\nContent-Type: multipart/mixed; boundary=in\r\n\r\n"
    b"--in\r\n\r\ni1\r\n--in\r\nX: y\r\n\r\ni2\r\n--in--\r\n"
)
OUTER = (
    b"Subject: outer\r\nContent-Type: multipart/mixed; boundary=out\r\n\r\npreamble\r\n"
    b"--out\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    b"--out\r\nContent-Type: message/rfc822\r\n\r\n" + INNER + b"\r\n"
    b"--out\r\nContent-Type: message/rfc822\r\n\r\nSubject: single\r\n\r\nalone\r\n--out--\r\nepilogue\r\n"
)
SINGLE = b"Subject: single\r\n\r\nalone\r\n"
WRAPPED = b"Content-Type: message/rfc822\r\n\r\n" + SINGLE


def _section(octets, path, text):
    bounds = section_range(parse_message(octets).parts, path, text)
    return None if bounds is None else octets[slice(*bounds)]


@pytest.mark.parametrize(
    ("octets", "path", "text", "expected"),
    [
        (OUTER, (), None, OUTER),
        (OUTER, (), "HEADER", OUTER[: OUTER.index(b"preamble")]),
        (OUTER, (), "TEXT", OUTER[OUTER.index(b"preamble") :]),
        (OUTER, (), "MIME", None),
        (OUTER, (1,), None, b"hello"),
        (OUTER, (1,), "MIME", b"Content-Type: text/plain\r\n\r\n"),
        (OUTER, (1,), "HEADER", None),
        (OUTER, (1, 1), None, None),
        (OUTER, (2,), None, INNER),
        (OUTER, (2,), "MIME", b"Content-Type: message/rfc822\r\n\r\n"),
        (OUTER, (2,), "HEADER", INNER[: INNER.index(b"--in")]),
        (OUTER, (2,), "TEXT", INNER[INNER.index(b"--in") :]),
        (OUTER, (2, 1), None, b"i1"),
        (OUTER, (2, 1), "MIME", b"\r\n"),
        (OUTER, (2, 2), None, b"i2"),
        (OUTER, (2, 2), "MIME", b"X: y\r\n\r\n"),
        (OUTER, (2, 3), None, None),
        (OUTER, (2, 0), None, None),
        (OUTER, (3,), None, b"Subject: single\r\n\r\nalone"),
        (OUTER, (3, 1), None, b"alone"),
        (OUTER, (3, 2), None, None),
        (OUTER, (3, 1, 1), None, None),
        (OUTER, (4,), None, None),
        (SINGLE, (1,), None, b"alone\r\n"),
        (SINGLE, (1,), "MIME", b"Subject: single\r\n\r\n"),
        (SINGLE, (1,), "TEXT", None),
        (SINGLE, (1, 1), None, None),
        (SINGLE, (2,), None, None),
        (WRAPPED, (1,), None, SINGLE),
        (WRAPPED, (1,), "HEADER", b"Subject: single\r\n\r\n"),
        (WRAPPED, (1,), "TEXT", b"alone\r\n"),
        (WRAPPED, (1, 1), None, b"alone\r\n"),
    ],
)
def test_section(octets, path, text, expected):
    assert _section(octets, path, text) == expected


def test_bare_line_feeds_make_the_same_tree():
    octets = OUTER.replace(b"\r\n", b"\n")
    assert _section(octets, (2, 2), None) == b"i2"
    assert _section(octets, (3, 1), None) == b"alone"


def test_stored_tree_comes_back():
    tree = parse_message(OUTER).parts
    assert decode_parts(encode_parts(tree)) == tree
    big = Part(PartKind.SINGLE, 1 << 40, 1 << 41, 1 << 45)
    assert decode_parts(encode_parts(big)) == big


def test_cut_or_lengthened_tree_is_refused():
    encoded = encode_parts(parse_message(OUTER).parts)
    for end in range(len(encoded)):
        with pytest.raises(ValueError, match="tree"):
            decode_parts(encoded[:end])
    with pytest.raises(ValueError, match="tree"):
        decode_parts(encoded + b"\0")


def test_shifted_tree_fits_the_message_behind_a_prefix():
    octets = b"Received: x\r\n" + OUTER
    tree = shifted(parse_message(OUTER).parts, 13)
    part = find_part(tree, (2, 2))
    assert part is not None
    assert octets[part.body_start : part.end] == b"i2"
