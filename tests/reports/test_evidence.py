"""What counts prove, as a table: who sends, who fails, what is safe to do."""

from datetime import date, timedelta

import pytest

from mailsuite.reports.models import DmarcDay
from mailsuite.reports.sentences import sentences
from mailsuite.reports.services import Evidence, evidence

TODAY = date(2026, 11, 24)


def day(domain, source, messages, aligned, *, ago=1, ip="192.0.2.1", overridden=0):
    DmarcDay.objects.create(
        domain=domain, day=TODAY - timedelta(days=ago), source_ip=ip, source=source, messages=messages,
        aligned=aligned, overridden=overridden,
    )  # fmt: skip


def test_nothing_is_no_evidence(domains):
    found = evidence(domains["example.org"].pk, 30, TODAY)
    assert (found.messages, found.sources, found.first_day, found.aligned_share) == (0, (), None, 1.0)


def test_sources_are_told_apart(domains):
    own, other = domains["example.org"], domains["example.net"]
    for ago in (1, 2, 3):
        day(own, "example.org", 100, 100, ago=ago)
    day(own, "example.org", 10, 9, ip="192.0.2.2")
    day(own, "shop.example", 40, 0, ago=5)
    day(own, "list.example", 20, 0, overridden=20)
    day(own, "", 5, 0, ip="203.0.113.1")
    day(own, "", 6, 0, ip="203.0.113.2")
    day(own, "old.example", 1000, 0, ago=31)
    day(other, "other.example", 1000, 0)
    found = evidence(own.pk, 30, TODAY)
    assert (found.messages, found.aligned, found.failing) == (381, 309, 40)
    assert (found.unauthenticated, found.overridden) == (11, 20)
    assert found.sources == ("example.org", "shop.example", "list.example")
    assert found.sources_failing == ("shop.example",)
    assert (found.first_day, found.last_day) == (TODAY - timedelta(5), TODAY - timedelta(1))
    assert found.days_reported == 4
    assert found.aligned_share == pytest.approx(309 / 350)


def facts(**changes):
    values = {
        "messages": 1000, "aligned": 1000, "failing": 0, "unauthenticated": 0, "overridden": 0,
        "sources": ("example.org",), "sources_failing": (), "first_day": TODAY, "last_day": TODAY,
        "days_reported": 20, "reporters": 3,
    }  # fmt: skip
    return Evidence(**values | changes)


THREE = ("example.org", "shop.example", "list.example")


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("found", "policy", "words"),
    [
        (facts(messages=0), "", ["No report counted yet"]),
        (facts(), "none", ["1 source sends as you, and passes.", "safe to move from p=none to p=quarantine"]),
        (facts(), "quarantine", ["safe to move from p=quarantine to p=reject"]),
        (facts(), "reject", ["nothing to do"]),
        (facts(), "", ["safe to move to the next"]),
        (facts(days_reported=3), "none", ["3 of 7 days"]),
        (facts(sources=THREE[:2]), "none", ["2 sources send as you, and both pass."]),
        (facts(sources=THREE), "none", ["3 sources send as you, and all of them pass."]),
        (facts(sources=THREE, sources_failing=THREE[1:2], failing=200, aligned=800), "none",
         ["3 sources send as you; this one fails: shop.example.", "80 % of what is meant"]),
        (facts(sources=THREE, sources_failing=THREE[1:], failing=200, aligned=800), "none",
         ["these fail: shop.example, list.example."]),
        (facts(sources_failing=tuple(f"s{n}.example" for n in range(9)), aligned=1), "none", ["and 4 more."]),
        # A trickle of a thousand keeps nobody from going on.
        (facts(sources=THREE, sources_failing=THREE[1:2], failing=1, aligned=999), "none", ["safe to move"]),
        (facts(unauthenticated=1, messages=1001), "none", ["1 message came from senders that nothing", "safe"]),
        (facts(overridden=1234, messages=2234), "none", ["1,234 messages failed on the way", "safe"]),
        (facts(aligned=0, sources=(), unauthenticated=1000), "none", ["Nobody who sends as you is authenticated"]),
        (facts(aligned=9799, messages=10000, sources_failing=("x.example",)), "none", ["97.9 % of what"]),
    ],
)  # fmt: skip
def test_what_it_means_is_said_plainly(found, policy, words):
    text = " ".join(one.text for one in sentences(found, "example.org", policy))
    assert all(word in text for word in words), text
