import pytest

from mailsuite.mail.address import (
    Address,
    AddressError,
    Path,
    address_key,
    format_address,
    normalize_domain,
    parse_address,
    parse_path,
    parse_path_and_parameters,
    read_domain,
    split_subaddress,
    with_a_labels,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.org", "example.org"),
        ("EXAMPLE.Org", "example.org"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("xn--BCHER-kva.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("例え．テスト", "xn--r8jz45g.xn--zckzah"),
        ("例え｡テスト", "xn--r8jz45g.xn--zckzah"),
        ("ＥＸＡＭＰＬＥ．ｏｒｇ", "example.org"),
        # UTS 46: a capital sigma is σ wherever it stands; ς is a letter of its own
        ("ΠΑΡΆΔΕΙΓΜΑΣ.example", "xn--hxajbheg2az3al3a.example"),
        ("παράδειγμασ.example", "xn--hxajbheg2az3al3a.example"),
        ("παράδειγμας.example", "xn--hxajbheg2az3als.example"),
        ("ｅｘａｍｐｌｅ.org", "example.org"),
        ("localhost", "localhost"),
        ("1.example", "1.example"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
    ],
)
def test_domain_becomes_a_labels(text, expected):
    assert normalize_domain(text) == expected
    assert normalize_domain(expected) == expected


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        ("example.org.", "dot"),
        (".example.org", "empty part"),
        ("a..b", "empty part"),
        ("-a.example", "hyphens"),
        ("a-.example", "hyphens"),
        ("a_b.example", "letters"),
        ("a b.example", "letters"),
        ("192.0.2.1", "IP address"),
        ("a" * 64 + ".example", "63"),
        ("ü" * 64 + ".example", "63"),
        (".".join(["a" * 49] * 6), "253"),
        ("exa\nmple.org", "control"),
        ("exa\0mple.org", "control"),
        ("\u0301a.example", "begins"),
        ("a☃.example", "character"),
        ("ex\udcffample.org", "broken UTF-8"),
    ],
)
def test_bad_domain_is_named(text, word):
    with pytest.raises(AddressError, match=word):
        normalize_domain(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Example.ORG. ", "example.org"),
        ("@BÜCHER.example", "xn--bcher-kva.example"),
        ("例え。テスト。", "xn--r8jz45g.xn--zckzah"),
        ("ＥＸＡＭＰＬＥ．ｏｒｇ．\n", "example.org"),
    ],
)
def test_a_typed_domain_is_read(text, expected):
    assert read_domain(text) == expected


@pytest.mark.parametrize("text", ["", ".", "@", "a..", "@@a.example", "a b.example", "a@b.example"])
def test_what_is_typed_and_no_domain(text):
    with pytest.raises(AddressError):
        read_domain(text)


def test_words_that_are_looked_for_get_a_labels():
    words = "BÜCHER.example Jürgen@bücher.example plain.Example @Straße.example 例え。テスト grün 3…5 ü@x_☃"
    expected = "xn--bcher-kva.example Jürgen@xn--bcher-kva.example plain.Example @xn--strae-oqa.example"
    assert with_a_labels(words) == expected + " xn--r8jz45g.xn--zckzah grün 3…5 ü@x_☃"


def test_underscores_only_where_allowed():
    assert normalize_domain("mail_out.example.org", allow_underscores=True) == "mail_out.example.org"


@pytest.mark.parametrize(
    ("text", "local_part", "domain"),
    [
        ("ann@example.org", "ann", "example.org"),
        ("Ann.B+c@Example.ORG", "Ann.B+c", "example.org"),
        ('"ann b"@example.org', "ann b", "example.org"),
        ('"a\\"b\\\\c"@example.org', 'a"b\\c', "example.org"),
        ('"a@b"@example.org', "a@b", "example.org"),
        ('""@example.org', "", "example.org"),
        ("o'hara/x=y@example.org", "o'hara/x=y", "example.org"),
        ("jörg@bücher.example", "jörg", "xn--bcher-kva.example"),
        ("ann@[192.0.2.1]", "ann", "[192.0.2.1]"),
        ("ann@[IPv6:2001:DB8:0::1]", "ann", "[IPv6:2001:db8::1]"),
        ("a" * 64 + "@example.org", "a" * 64, "example.org"),
    ],
)
def test_address(text, local_part, domain):
    address = parse_address(text)
    assert (address.local_part, address.domain) == (local_part, domain)
    assert parse_address(str(address)) == address


BAD_ADDRESSES = [
    "",
    "ann",
    "@example.org",
    "ann@",
    "ann@@example.org",
    ".ann@example.org",
    "ann.@example.org",
    "a..b@example.org",
    "a b@example.org",
    "a,b@example.org",
    "a@b@example.org",
    '"ann@example.org',
    '"ann"x@example.org',
    "ann@example.org>",
    "ann@example.org\r\nRCPT TO:<x@example.org>",
    "ann\0@example.org",
    '"a\nb"@example.org',
    "ann@[192.0.2.300]",
    "ann@[192.0.2.1",
    "ann@[IPv6:fe80::1%eth0]",
    "ann@[]",
    "ann@exam ple.org",
    "ann\udce4@example.org",
]


@pytest.mark.parametrize("text", [*BAD_ADDRESSES, "a" * 65 + "@example.org"])
def test_bad_address_is_refused(text):
    with pytest.raises(AddressError):
        parse_address(text)


@pytest.mark.parametrize("text", BAD_ADDRESSES)
def test_bad_path_is_refused(text):
    if text:
        with pytest.raises(AddressError):
            parse_path(f"<{text}>")


@pytest.mark.parametrize(
    "same",
    [
        ("Ann@Example.org", "ann@example.ORG"),
        ("jo\u0308rg@example.org", "JÖRG@example.org"),
        ('"ann"@example.org', "ann@example.org"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
    ],
)
def test_key_ignores_spelling(same):
    first, second = map(address_key, same)
    assert first == second


def test_key_keeps_quoted_apart():
    assert address_key('"a b"@example.org') == '"a b"@example.org'
    assert address_key("ab@example.org") == "ab@example.org"


@pytest.mark.parametrize(
    ("local_part", "expected"),
    [
        ("ann", ("ann", None)),
        ("ann+news", ("ann", "news")),
        ("ann+a+b", ("ann", "a+b")),
        ("ann+", ("ann", "")),
        ("+ann", ("+ann", None)),
        ("+ann+x", ("+ann", "x")),
    ],
)
def test_subaddress(local_part, expected):
    assert split_subaddress(local_part) == expected


def test_subaddress_without_separator():
    assert split_subaddress("ann+x", "") == ("ann+x", None)
    assert split_subaddress("ann--x", "--") == ("ann", "x")


def test_null_path():
    path = parse_path("<>")
    assert path.is_null
    assert not path.is_bare_postmaster
    assert str(path) == ""


def test_bare_postmaster():
    path = parse_path("<PostMaster>")
    assert path.is_bare_postmaster
    assert not path.is_null
    assert str(path) == "PostMaster"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<ann@example.org>", "ann@example.org"),
        ("<@a.example,@b.example:ann@example.org>", "ann@example.org"),
        ('<"a>b"@example.org>', '"a>b"@example.org'),
        ("<a@mail_out.example.org>", "a@mail_out.example.org"),
        (f"<{'v' * 100}@example.org>", f"{'v' * 100}@example.org"),
    ],
)
def test_path(text, expected):
    assert str(parse_path(text)) == expected


@pytest.mark.parametrize(
    "text", ["<ann@example.org> x", "<ann@example.org>>", "ann@example.org", "<ann@example.org", "<@a:>"]
)
def test_bad_framing_of_a_path(text):
    with pytest.raises(AddressError):
        parse_path(text)


def test_path_cut_anywhere_is_refused():
    whole = '<@a.example:"a>b"@example.org>'
    for end in range(len(whole)):
        with pytest.raises(AddressError):
            parse_path(whole[:end])


def test_path_limit():
    longest = f"<{'a' * 200}@{'b' * 49}.org>"
    assert len(longest) == 256
    parse_path(longest)
    with pytest.raises(AddressError, match="256"):
        parse_path(longest.replace("@", "a@"))


@pytest.mark.parametrize(
    ("argument", "path", "parameters"),
    [
        ("<a@example.org>", "a@example.org", {}),
        (" <a@example.org>", "a@example.org", {}),
        ("<> SIZE=10", "", {"SIZE": "10"}),
        (
            "<a@example.org> size=10 BODY=8BITMIME smtputf8",
            "a@example.org",
            {"SIZE": "10", "BODY": "8BITMIME", "SMTPUTF8": None},
        ),
        ("<a@example.org>  RET=HDRS  ENVID=q+2B1 ", "a@example.org", {"RET": "HDRS", "ENVID": "q+2B1"}),
        ("<a@example.org> ORCPT=utf-8;jörg@example.org", "a@example.org", {"ORCPT": "utf-8;jörg@example.org"}),
    ],
)
def test_parameters(argument, path, parameters):
    found, given = parse_path_and_parameters(argument)
    assert str(found) == path
    assert given == parameters


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "  <a@example.org>",
        "<a@example.org>SIZE=1",
        "<a@example.org> SIZE=",
        "<a@example.org> =1",
        "<a@example.org> SIZE=1 size=2",
        "<a@example.org> X=a=b",
        "<a@example.org> -X=1",
        "<a@example.org> X=1\r",
    ],
)
def test_bad_parameters(argument):
    with pytest.raises(AddressError):
        parse_path_and_parameters(argument)


def test_format_quotes_only_what_needs_it():
    assert format_address("ann", "example.org") == "ann@example.org"
    assert format_address("a b", "example.org") == '"a b"@example.org'
    assert format_address('a"\\', "example.org") == '"a\\"\\\\"@example.org'
    assert format_address("", "example.org") == '""@example.org'


def test_internationalized():
    assert Address("jörg", "example.org").is_internationalized
    assert not Address("joerg", "xn--bcher-kva.example").is_internationalized
    assert Path(Address("ann", "")).is_bare_postmaster
