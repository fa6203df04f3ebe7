"""The order of the rungs and what each needs, a row a rule; which rungs a sender has."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mailsuite.authcheck.report import DkimCheck, SpfCheck
from mailsuite.junk.signs import SenderSigns, message_id_key, network_of, referenced_ids, sender_rungs, signs_of
from mailsuite.junk.standing import History, decide

EARLY, LATE = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 9, tzinfo=UTC)
EVE = SenderSigns(
    "eve@mail.shop.example", "mail.shop.example", "shop.example", True, False, ("sign.example",), "spf.example",
    "192.0.2.9", ("<1@us.example>",),
)  # fmt: skip
FROM, DOMAIN, ORGANIZATION = (
    ("from", "eve@mail.shop.example"),
    ("domain", "mail.shop.example"),
    ("organization", "shop.example"),
)
DKIM, SPF, NET = ("dkim", "sign.example"), ("spf", "spf.example"), ("net", "192.0.2.0/24")
REPLY = ("reply", message_id_key("<1@us.example>"))


@pytest.mark.parametrize(
    ("remembered", "label", "rung"),
    [
        ({}, "unknown", ""),
        ({REPLY: History(), FROM: History(junked=9, judged_at=LATE)}, "wanted", "reply"),
        ({FROM: History(junked=1)}, "unwanted", "from"),
        ({FROM: History(wanted=1)}, "wanted", "from"),
        ({FROM: History(wanted=1, junked=1)}, "unknown", "from"),
        ({FROM: History(wanted=1, junked=2)}, "unwanted", "from"),
        ({FROM: History(kept=2)}, "unknown", ""),
        ({FROM: History(kept=3)}, "wanted", "from"),
        ({FROM: History(kept=3, junked=2)}, "unwanted", "from"),
        ({FROM: History(wrote_at=EARLY)}, "wanted", "from"),
        ({FROM: History(junked=5, judged_at=EARLY, wrote_at=LATE)}, "wanted", "from"),
        ({FROM: History(junked=1, judged_at=LATE, wrote_at=EARLY)}, "unwanted", "from"),
        ({FROM: History(wanted=1), DOMAIN: History(junked=9)}, "wanted", "from"),
        ({FROM: History(wanted=1, junked=1), DOMAIN: History(junked=9)}, "unknown", "from"),
        ({DOMAIN: History(junked=1)}, "unknown", ""),
        ({DOMAIN: History(junked=2)}, "unwanted", "domain"),
        ({DOMAIN: History(junked=4, wanted=1)}, "unwanted", "domain"),
        ({DOMAIN: History(junked=3, wanted=1)}, "unknown", "domain"),
        ({ORGANIZATION: History(wanted=3)}, "wanted", "organization"),
        ({DKIM: History(wanted=3)}, "wanted", "dkim"),
        ({DKIM: History(junked=2), SPF: History(junked=3)}, "unwanted", "spf"),
        ({NET: History(junked=4)}, "unknown", ""),
        ({NET: History(junked=5)}, "unwanted", "net"),
        ({NET: History(wanted=50)}, "unknown", ""),
    ],
)
def test_standing(remembered, label, rung):
    found = decide(EVE, remembered)
    assert (found.label, found.rung, bool(found.text)) == (label, rung, bool(rung))


@pytest.mark.parametrize(
    ("signs", "rungs"),
    [
        (EVE, [FROM, DOMAIN, ORGANIZATION, DKIM, SPF, NET]),
        (
            SenderSigns("a@x.example", "x.example", "x.example", True),
            [("from", "a@x.example"), ("domain", "x.example")],
        ),
        (SenderSigns("a@x.example", "x.example", "x.example", False, True, ("y.example",)), [("dkim", "y.example")]),
        (SenderSigns("A@X.example", "x.example"), []),
        (
            SenderSigns("a@gmail.com", "gmail.com", "gmail.com", True, False, ("gmail.com",), "gmail.com"),
            [("from", "a@gmail.com")],
        ),
        (SenderSigns(dkim_domains=("eu.amazonses.com",), spf_domain="b.sendgrid.net"), []),
        (SenderSigns(client_address="2001:db8:1:2:3::4"), [("net", "2001:db8:1:2::/64")]),
    ],
)
def test_rungs(signs, rungs):
    assert list(sender_rungs(signs)) == rungs


@pytest.mark.parametrize(
    ("dmarc", "signer", "spf", "authentic"),
    [
        ("pass", "", "", True),
        ("none", "far.example", "", True),
        ("none", "", "far.example", True),
        ("none", "example", "other.example", False),
        ("none", "mail.far.example", "", False),
        ("none", "", "", False),
        ("fail", "far.example", "", False),
        ("temperror", "far.example", "", False),
    ],
)
def test_who_is_authentic_without_a_policy(report_of, dmarc, signer, spf, authentic):
    """As the checks report it: where there is no DMARC record nothing is aligned."""
    report = report_of("friend@far.example", dmarc=dmarc, signer="")
    report = replace(
        report,
        dkim=(DkimCheck("pass", domain=signer),) if signer else (),
        spf=SpfCheck("mailfrom", spf, "pass") if spf else report.spf,
    )
    assert signs_of(report, {}).is_authentic is authentic


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.77", "192.0.2.0/24"), ("::ffff:192.0.2.77", "192.0.2.0/24"), ("127.0.0.1", ""), ("::1", ""), ("x", "")],
)
def test_network(address, network):
    assert network_of(address) == network


def test_the_nearest_message_answered_comes_first():
    fields = {b"in-reply-to": [b" <3@x>"], b"references": [b" <1@x>\r\n <2@x> <3@x>"]}
    assert referenced_ids(fields) == ("<3@x>", "<2@x>", "<1@x>")
    assert referenced_ids({b"references": [b" ".join(b"<%d@x>" % n for n in range(99))]})[0] == "<98@x>"
    assert referenced_ids({b"in-reply-to": [b"your message of Tuesday"]}) == ()
