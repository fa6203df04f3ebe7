import pytest

from mailsuite.mail.address_list import parse_address_list

ANN = (None, None, b"ann", b"example.org")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", []),
        (b"ann@example.org", [ANN]),
        (b"<ann@example.org>", [ANN]),
        (b"Ann <ann@example.org>", [(b"Ann", None, b"ann", b"example.org")]),
        (b'"Ann, B" <ann@example.org>', [(b"Ann, B", None, b"ann", b"example.org")]),
        (b'"Ann \\"B\\"" <ann@example.org>', [(b'Ann "B"', None, b"ann", b"example.org")]),
        (b"J. R. Doe <j@example.org>", [(b"J. R. Doe", None, b"j", b"example.org")]),
        (b"ann@example.org (Ann (B) C)", [(b"Ann (B) C", None, b"ann", b"example.org")]),
        (b"(x) Ann (y) <ann@example.org>", [(b"Ann", None, b"ann", b"example.org")]),
        (b"=?utf-8?Q?J=C3=B6rg?= <j@example.org>", [(b"=?utf-8?Q?J=C3=B6rg?=", None, b"j", b"example.org")]),
        (b"a@b, c@d,, <e@f> ,", [(None, None, b"a", b"b"), (None, None, b"c", b"d"), (None, None, b"e", b"f")]),
        (b"a@b; c@d", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),
        (b"<@x,@y:ann@example.org>", [(None, b"@x,@y", b"ann", b"example.org")]),
        (b'"john doe"@example.org', [(None, None, b"john doe", b"example.org")]),
        (b"a . b @ c . d", [(None, None, b"a.b", b"c.d")]),
        (b"j@[192.0.2.1]", [(None, None, b"j", b"[192.0.2.1]")]),
        (b"root", [(None, None, b"root", b"")]),
        (b"undisclosed-recipients:;", [(None, None, b"undisclosed-recipients", None), (None,) * 4]),
        (b"Team: a@b, C <c@d>; e@f", [
            (None, None, b"Team", None), (None, None, b"a", b"b"), (b"C", None, b"c", b"d"), (None,) * 4,
            (None, None, b"e", b"f"),
        ]),
        (b"Open: a@b", [(None, None, b"Open", None), (None, None, b"a", b"b"), (None,) * 4]),
        (b"ann@x <ann@example.org>", [(b"ann@x", None, b"ann", b"example.org")]),
        (b"<a@b> <c@d>", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),
        (b"<a@b> c@d", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),
        (b"Ann <ann@example.org", [(b"Ann", None, b"ann", b"example.org")]),
        (b"<>", []),
        (b"Mailer <>", []),
        (b"ann@\xe4.org", [(None, None, b"ann", b"\xe4.org")]),
    ],
)  # fmt: skip
def test_list(value, expected):
    assert parse_address_list(value) == expected


WILD = b'Team: "A \\" b" <@x:a@[1]>, (c (d) \\) e) f . g@h; \\ "open <i@j> , k@l'


def test_list_cut_anywhere_is_read():
    for start in range(len(WILD)):
        for end in range(start, len(WILD) + 1):
            for name, _, local_part, domain in parse_address_list(WILD[start:end]):
                assert name is None or name
                assert local_part is not None or domain is None
