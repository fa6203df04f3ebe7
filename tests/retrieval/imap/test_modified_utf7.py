import pytest

from retrieval.imap.modified_utf7 import MalformedName, decode_name, encode_name


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("INBOX", b"INBOX"),
        ("", b""),
        ("a & b", b"a &- b"),
        ("&&", b"&-&-"),
        ("~peter/mail/\u53f0\u5317/\u65e5\u672c\u8a9e", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),  # RFC 3501 §5.1.3
        ("\u00e9", b"&AOk-"),
        ("x\u00e9&\u00e9", b"x&AOk-&-&AOk-"),
        ("\U0001f4e7", b"&2D3c5w-"),
        ("\u263a!", b"&Jjo-!"),
    ],
)
def test_names_go_both_ways(name, octets):
    assert encode_name(name) == octets
    assert decode_name(octets) == name


@pytest.mark.parametrize(
    "octets",
    [
        b"&Jjo!",  # RFC 3501 §5.1.3: the shift does not end
        b"&U,BTFw-&ZeVnLIqe-",  # RFC 3501 §5.1.3: two shifts in a row
        b"&AGE-",  # an "a" that needs no shift
        b"&ACY-",  # so is "&", which has a form of its own
        b"&",
        b"a&b",
        b"&Jjo",
        b"&Jj-",
        b"&U/BTFw-",
        b"&AOk=-",
        b"&AOl-",  # bits left over are not zero
        b"&2D0-",  # half a surrogate pair
        b"&3OfYPQ-",
        b"\xc3\xa9",
        b"a\tb",
        b"a\x7fb",
        b"&AAo-",
        b"&AIU-",
        b"&ICg-",
        b"&\xc3-",
    ],
)
def test_what_is_no_name(octets):
    with pytest.raises(MalformedName):
        decode_name(octets)
