"""Where reports may go: every step of RFC 9990 §4, over a zone in memory."""

import asyncio

import pytest

from mailsuite.mailauth.dmarc import TemporaryError
from mailsuite.mailauth.report_destinations import find_destinations, read_uri
from mailsuite.resolver.answers import Answer, Status, ZoneResolver

LONG = ".".join(["a" * 60] * 4)
ZONE = {
    ("_dmarc.example.org", "TXT"): [b"v=DMARC1; p=none"],
    ("_dmarc.other.example", "TXT"): [b"v=DMARC1; p=none"],
    ("example.org._report._dmarc.agreed.example", "TXT"): [b"v=DMARC1"],
    ("example.org._report._dmarc.noisy.example", "TXT"): [b"some text", b"v=DMARC1;"],
    ("example.org._report._dmarc.moved.example", "TXT"): [b"v=DMARC1; rua=mailto:new@moved.example"],
    ("example.org._report._dmarc.elsewhere.example", "TXT"): [b"v=DMARC1; rua=mailto:victim@third.example"],
    ("example.org._report._dmarc.wrong.example", "TXT"): [b"v=spf1 -all", b"x; v=DMARC1"],
    ("*._report._dmarc.star.example", "TXT"): [b"v=DMARC1"],
    ("example.org._report._dmarc.down.example", "TXT"): Answer(Status.TEMPERROR),
    ("_dmarc.broken.example", "TXT"): Answer(Status.TEMPERROR),
}


def find(*rua, domain="example.org", octets=1000):
    resolver = ZoneResolver(ZONE)
    found = asyncio.run(find_destinations(resolver, domain, rua, octets))
    return [str(one.address) for one in found.accepted], list(found.refused), resolver.asked


@pytest.mark.parametrize(
    ("rua", "accepted", "refused"),
    [
        (["mailto:a@example.org"], ["a@example.org"], 0),
        (["mailto:a@sub.example.org"], ["a@sub.example.org"], 0),
        (["mailto:a@other.example"], [], 1),
        (["mailto:a@agreed.example"], ["a@agreed.example"], 0),
        (["mailto:a@noisy.example"], ["a@noisy.example"], 0),
        (["mailto:a@moved.example"], ["new@moved.example"], 0),
        # The address that overrides must be at the same host, or neither gets a report.
        (["mailto:a@elsewhere.example"], [], 1),
        (["mailto:a@wrong.example"], [], 1),
        (["mailto:a@silent.example"], [], 1),
        ([f"mailto:a@{LONG}.example"], [], 1),
        (["https://example.org/"], [], 1),
        (["mailto:nobody"], [], 1),
        (["mailto:a@[192.0.2.1]"], [], 1),
        (["mailto:a%2Bb@example.org"], ["a+b@example.org"], 0),
        (["mailto:a@example.org?subject=x"], ["a@example.org"], 0),
        (["mailto:a@example.org!10m"], ["a@example.org"], 0),
        (["mailto:a@example.org!999"], [], 1),
        (["mailto:a@example.org!1k"], ["a@example.org"], 0),
        (["MAILTO:A@Example.ORG", "mailto:a@example.org"], ["A@example.org"], 0),
        ([f"mailto:a{n}@example.org" for n in range(9)], [f"a{n}@example.org" for n in range(5)], 0),
        (["mailto:a@other.example", "mailto:b@example.org"], ["b@example.org"], 1),
    ],
)
def test_who_may_get_reports(rua, accepted, refused):
    found, lines, _ = find(*rua)
    assert (found, len(lines)) == (accepted, refused)


@pytest.mark.parametrize("host", ["down.example", "broken.example"])
def test_what_dns_does_not_answer_now_is_asked_again_later(host):
    with pytest.raises(TemporaryError):
        find(f"mailto:a@{host}")


def test_an_address_at_the_domain_itself_needs_no_question():
    assert find("mailto:a@example.org")[2] == []


def test_the_questions_are_bounded():
    rua = [f"mailto:a@{'x.' * 60}h{n}.example" for n in range(50)]
    assert len(find(*rua)[2]) <= 60


@pytest.mark.parametrize("uri", ["mailto:", "mailto:a@b.example!x", "mailto:a\r\nb@c.example", "mailto:@b.example"])
def test_what_is_no_address(uri):
    assert read_uri(uri) is None
