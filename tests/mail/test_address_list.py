import random
import re

import pytest

from mailsuite.mail import address_list
from mailsuite.mail.address_list import MAX_TOKENS, first_author, read_addresses, read_authors

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
        (b"Mailer <>", [(b"Mailer", None, b"", b"")]),
        (b'"Mail System" < >, a@b', [(b"Mail System", None, b"", b""), (None, None, b"a", b"b")]),
        (b"ann@\xe4.org", [(None, None, b"ann", b"\xe4.org")]),
        # An opening mark that nothing closes is an ordinary character.
        (b'"Ann <ann@example.org>', [(b'"Ann', None, b"ann", b"example.org")]),
        (b'"ann@example.org', [(b'"', None, b"ann", b"example.org")]),
        (b"Ann (Sales <ann@example.org>", [(b"Ann (Sales", None, b"ann", b"example.org")]),
        ("Ann (Sales） <ann@example.org>".encode(),
         [("Ann (Sales）".encode(), None, b"ann", b"example.org")]),
        (b"((A) ann@example.org", [(b"(", None, b"ann", b"example.org")]),
        (b"Sales) <ann@example.org>", [(b"Sales)", None, b"ann", b"example.org")]),
        (b"Sales < North <ann@example.org>", [(b"Sales < North", None, b"ann", b"example.org")]),
        (b"A <a@b>, Sales [North <c@d>, E <e@f>", [
            (b"A", None, b"a", b"b"), (b"Sales [North", None, b"c", b"d"), (b"E", None, b"e", b"f"),
        ]),
        (b"[A <a@b>, C] <c@d>", [(b"[A", None, b"a", b"b"), (b"C]", None, b"c", b"d")]),
        (b"A <a@b, C <c@d>", [(b"A", None, b"a", b"b"), (b"C", None, b"c", b"d")]),
        (b"j@[192.0.2.1", [(b"[192.0.2.1", None, b"j", b"")]),
        (b"ann@example.org>", [ANN]),
        (b"=?utf-8?Q?Doe,_Ann_(X)?= <ann@example.org>", [(b"=?utf-8?Q?Doe,_Ann_(X)?=", None, b"ann", b"example.org")]),
        (b"=?utf-8?Q?Doe,_Ann ann@example.org", [
            (None, None, b"=?utf-8?Q?Doe", b""), (b"_Ann", None, b"ann", b"example.org"),
        ]),
        (b"=?utf-8?Q?<a@b>?= <c@d>", [(b"=?utf-8?Q?", None, b"a", b"b"), (b"?=", None, b"c", b"d")]),
        # White space joins nothing but around dots and the @.
        (b"ann@example.org Tan", [(b"Tan", None, b"ann", b"example.org")]),
        (b"Ann Tan ann@example.org", [(b"Ann Tan", None, b"ann", b"example.org")]),
        (b'"Ann Tan" ann@example.org', [(b"Ann Tan", None, b"ann", b"example.org")]),
        (b'"Ann Tan"ann@example.org', [(b"Ann Tan", None, b"ann", b"example.org")]),
        (b"a@b c@d", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),
        (b"a@b (A) c@d (C)", [(b"A", None, b"a", b"b"), (b"C", None, b"c", b"d")]),
        (b"ann (x) b@c", [(b"ann", None, b"b", b"c")]),
        (b"ann(x)@(y)example.org", [(b"y", None, b"ann", b"example.org")]),
        (b"ann@example. org", [ANN]),
        (b"ann@example.org. Tan", [(b"Tan", None, b"ann", b"example.org.")]),
        (b"<ann@example.org> Tan, c@d", [(b"Tan", None, b"ann", b"example.org"), (None, None, b"c", b"d")]),
        (b"A <ann@example.org> Tan", [(b"A", None, b"ann", b"example.org")]),
        (b"<a@b c@d>", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),
        (b"<Ann Tan>", [(None, None, b"Ann Tan", b"")]),
        (b"<Ann ann@example.org>", [(b"Ann", None, b"ann", b"example.org")]),
        (b"<mailto:ann@example.org>", [ANN]),
        (b"@ @@", []),
        (b"a@b, (c (d)) e@f, x: g@h, i@j; k@l, \"m@n, \"o\" <p@q>", [
            (None, None, b"a", b"b"), (b"c (d)", None, b"e", b"f"), (None, None, b"x", None), (None, None, b"g", b"h"),
            (None, None, b"i", b"j"), (None,) * 4, (None, None, b"k", b"l"), (b"m@n, o\"", None, b"p", b"q"),
        ]),
        (b"a@b@c", [(None, None, b"a", b"b"), (None, None, b"", b"c")]),
    ],
)  # fmt: skip
def test_list(value, expected):
    assert read_addresses(value).entries == expected


WILD = b'Team: "A \\" b" <@x:a@[1]>, (c (d) \\) e) f . g@h; \\ "open <i@j> , k@l'


def test_list_cut_anywhere_is_read():
    for start in range(len(WILD)):
        for end in range(start, len(WILD) + 1):
            for name, _, local_part, domain in read_addresses(WILD[start:end]).entries:
                assert name is None or name
                assert local_part is not None or domain is None


@pytest.mark.parametrize(
    ("value", "expected", "is_mended"),
    [
        (b"ann@example.org", [ANN], False),
        (b"Ann: ann@example.org;", [(None, None, b"Ann", None), ANN, (None,) * 4], False),
        (b"root", [(None, None, b"root", b"")], False),
        (b"Doe, Ann <ann@example.org>", [(b"Doe, Ann", None, b"ann", b"example.org")], True),
        (b"Doe, Ann, Sales <ann@example.org>", [(b"Doe, Ann, Sales", None, b"ann", b"example.org")], True),
        (b"root, ann@example.org", [ANN], True),
        (b"Ann <ann@example.org>, Tan", [(b"Ann", None, b"ann", b"example.org")], True),
        (b"<ann>, ann@example.org", [ANN], True),
        (b"ann@example.org Tan", [(b"Tan", None, b"ann", b"example.org")], True),
        (b'"Tan <ann@example.org>', [(b'"Tan', None, b"ann", b"example.org")], True),
        (b"ann@x <ann@example.org>", [(b"ann@x", None, b"ann", b"example.org")], True),
        (b"Doe, a@b, Tan, C <c@d>", [(None, None, b"a", b"b"), (b"Tan, C", None, b"c", b"d")], True),
    ],
)
def test_of_authors_those_without_a_domain_are_passed_over(value, expected, is_mended):
    found = read_authors(value)
    assert (found.entries, found.is_mended, found.is_cut) == (expected, is_mended, False)


@pytest.mark.parametrize(
    ("value", "others"),
    [
        (b"a@mail.bank. example", [(None, None, b"a", b"mail.bank.example")]),
        (b"a@mail.bank. example. org Ann", [(None, None, b"a", b"mail.bank.example.org")]),
        (b"<a@mail.bank. example>, b@c", [(None, None, b"a", b"mail.bank.example")]),
        (b"Ann <a@b.c.>", []),
        (b"a@bank. example", []),
        (b"a@b.c .example", []),
        (b"root, Ann <a@b>", [(None, None, b"root", b"")]),
    ],
)
def test_what_some_readers_may_show_instead_is_told(value, others):
    assert list(read_authors(value).others) == others


@pytest.mark.parametrize(("most_octets", "expected"), [(100, ANN[2:]), (27, ANN[2:]), (26, (b"Doe", b"")), (3, None)])
def test_a_limit_cuts_no_address(most_octets, expected):
    found = first_author(b"Doe, Ann <ann@example.org>, b@c", most_octets)
    assert (found and found[2:]) == expected


@pytest.mark.parametrize("value", [b"Ann <a@b>, c@d", b'"Ann, B" <a@b> ', b"a@b,c@d", b'Ann B <a@b.c>, "D" <d@e>,',
    b'"Ann \\"B\\"" <a@b>', b"a@b (Ann), c@d( D ) ", b"Ann (B) <a@b>,(D) <c@d>", b"a@b ()"])  # fmt: skip
def test_the_short_way_and_the_whole_grammar_agree(monkeypatch, value):
    found = read_addresses(value).entries
    monkeypatch.setattr(address_list, "_SIMPLE", re.compile(rb"(?!)"))
    assert read_authors(value)[:2] == (found, False)


@pytest.mark.parametrize("front", [b"", b"<", b"x@y "])
def test_an_address_behind_endless_words_is_found(front):
    found = read_addresses(front + b"word " * 5_000 + b"ann@example.org").entries
    assert found[-1][2:] == (b"ann", b"example.org")
    assert len(found[-1].name or b"") <= MAX_TOKENS * 5


@pytest.mark.parametrize("words", range(MAX_TOKENS // 2 - 3, MAX_TOKENS // 2 + 3))
def test_a_bound_falls_between_addresses(words):
    """Else a forger would have one cut in two."""
    found = read_addresses(b"x@y " + b"w " * words + b"ann@example.org Tan")
    assert (b"ann", b"example.org") in [entry[2:] for entry in found.entries]
    assert found.is_cut


PIECES = [
    *(b"a@b", b",", b", ", b"Ann <a@b.c>", b"(x)", b"<", b">", b'"q, r" <q@r>', b'"', b":", b"team:", b";", b"@"),
    *(b"x y", b"<@a,@b:c@d>", b"[1]", b"(", b")", b"\\", b" ", b"s@t (u)", b"s@t <u@v>", b"s (t) <u@v>"),
    *(b'"q \\"r\\"" <q@r>', b"(x) <a@b>", b" a@b ( ) ,"),
]


def test_what_is_read_by_one_pattern_reads_as_by_tokens(monkeypatch):
    """An entry that is not in the usual shape is read by tokens; those around it are not, and none is lost."""
    rng = random.Random(3)
    values = [b"".join(rng.choices(PIECES, k=rng.randrange(1, 14))) for _ in range(5_000)]
    found = list(map(read_authors, values))
    monkeypatch.setattr(address_list, "_SIMPLE", re.compile(rb"(?!)"))
    assert list(map(read_authors, values)) == found


def test_of_a_list_that_is_all_odd_the_rest_is_left_out(monkeypatch):
    monkeypatch.setattr(address_list, "MAX_ODD_OCTETS", 100)
    entries, is_mended, _, is_cut = read_authors(b", ".join(b"(x) r%d@example.org" % at for at in range(50)))
    assert [entry.local_part for entry in entries] == [b"r%d" % at for at in range(len(entries))]
    assert is_mended and is_cut and 3 < len(entries) < 7
    # What is in the usual shape costs little, and is none of them.
    usual = b", ".join(b"r%d@example.org" % at for at in range(50))
    assert len(read_authors(b"(x) a@b, " + usual + b", (y) c@d").entries) == 52
