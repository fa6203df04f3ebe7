"""What a client's greeting and reverse DNS give away."""

import pytest

from mailsuite.mailauth.iprev import IprevOutcome
from mailsuite.screening.helo import SIGNS, Us, client_signs

pytestmark = pytest.mark.sqlite_only

US = Us("mx.us.example", frozenset({"203.0.113.1", "9.9.9.1"}), {"hosted.example"})
GOOD = IprevOutcome("pass", ("mail.them.example",), "mail.them.example")
CASES = [
    ("9.9.9.9", "mail.them.example", GOOD, True, ()),
    ("9.9.9.9", "MAIL.them.example.", GOOD, True, ()),
    ("9.9.9.9", "mail.them.example", IprevOutcome("temperror"), True, ()),
    ("9.9.9.9", "mail.them.example", IprevOutcome("permerror"), True, ("no-reverse-dns",)),
    ("9.9.9.9", "mail.them.example", IprevOutcome("fail", ("x.example",)), True, ("reverse-dns-unconfirmed",)),
    (
        "9.9.9.9",
        "mail.them.example",
        IprevOutcome("pass", (), "dsl-9-9-9-9.isp.example"),
        True,
        ("reverse-dns-generic",),
    ),
    ("9.9.9.9", "[9.9.9.9]", GOOD, True, ("helo-literal",)),
    ("9.9.9.9", "9.9.9.9", GOOD, True, ("helo-literal",)),
    ("2001:4860::1", "[IPv6:2001:4860::1]", GOOD, True, ("helo-literal",)),
    ("9.9.9.9", "laptop", GOOD, True, ("helo-not-qualified",)),
    ("9.9.9.9", "", GOOD, True, ("helo-not-qualified",)),
    ("9.9.9.9", "absent.example", GOOD, False, ("helo-unknown",)),
    ("9.9.9.9", "hosted.example", GOOD, True, ("helo-hosted",)),
    ("9.9.9.9", "hosted.example", IprevOutcome("pass", (), "unhosted.example"), True, ("helo-hosted",)),
    ("9.9.9.9", "hosted.example", IprevOutcome("pass", (), "www.hosted.example"), True, ()),
    ("9.9.9.9", "laptop", IprevOutcome("permerror"), True, ("no-reverse-dns", "helo-not-qualified")),
    # Loopback, and our own networks when they use our name, are spared.
    ("127.0.0.1", "laptop", IprevOutcome("permerror"), True, ()),
    ("::1", "mx.us.example", IprevOutcome("permerror"), True, ()),
    ("10.0.0.5", "mx.us.example", GOOD, True, ()),
    ("nonsense", "laptop", IprevOutcome("permerror"), True, ()),
]


@pytest.mark.parametrize("client, helo, iprev, exists, doubts", CASES)
def test_signs(client, helo, iprev, exists, doubts):
    signs = client_signs(client, helo, iprev, helo_exists=exists, us=US)
    assert signs.doubts == doubts
    assert tuple(hit.name for hit in signs.hits) == doubts
    assert signs.refusal is None


@pytest.mark.parametrize("helo", ["mx.us.example", "MX.us.example.", "[9.9.9.1]", "9.9.9.1"])
def test_a_stranger_with_our_own_name_is_refused(helo):
    signs = client_signs("9.9.9.9", helo, GOOD, helo_exists=True, us=US)
    assert str(signs.refusal) == "550 5.7.1 You greet this host by its own name (helo-forged)"


def test_all_signs_together_make_no_junk():
    reverse = max(weight for name, (weight, _) in SIGNS.items() if "reverse" in name)
    helo = max(weight for name, (weight, _) in SIGNS.items() if name.startswith("helo"))
    assert reverse + helo < 1
