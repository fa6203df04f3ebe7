"""What a delivery test says of an address that is hosted here: it looks it up, and dials nobody."""

import asyncio

import pytest
from queued_mail import forget_the_directory

from mailsuite.provisioning.aliases import add_alias
from mailsuite.provisioning.domains import add_domain, set_domain_state
from mailsuite.provisioning.mailboxes import add_mailbox
from mailsuite.resolver.answers import Mx, ZoneResolver
from mailsuite.store.models import Usage
from smtpd_service.probe.delivery import Tools, probe_delivery, read_target
from smtpd_service.probe.hosted_here import MOST_LINES, stages_here
from smtpd_service.probe.stage import Tone

__all__ = ["forget_the_directory"]

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])

ZONE = {("here.test", "MX"): [Mx(10, "mx.here.test")], ("other.test", "MX"): [Mx(10, "mx.here.test")]}


@pytest.fixture(autouse=True)
def directory(forget_the_directory):
    add_domain("here.test")
    add_domain("off.test")
    add_mailbox("ann@here.test", "a long enough password")
    full = add_mailbox("full@here.test", "a long enough password", quota_octets=1000)
    Usage.objects.filter(pk=full).update(used_octets=1000)
    add_alias("team@here.test", ["ann@here.test", "bob@far.test"])
    add_alias("crowd@here.test", [f"r{number}@far.test" for number in range(100)])


def run(target):
    """The stages of a test; this host is the MX of all domains."""
    resolver, found = ZoneResolver(ZONE), stages_here(read_target(target).address)

    async def here(address):
        return found

    async def gather():
        tools = Tools(resolver, None, "mx.here.test", "", {"mx.here.test"}, (), here=here)
        return [stage async for stage in probe_delivery(target, tools)]

    return asyncio.run(gather()), resolver.asked


CASES = [
    ("ann@here.test", Tone.GOOD, "mailbox ann@here.test", "Mail to ann@here.test is filed here."),
    ("Ann+lists@HERE.test", Tone.GOOD, "mailbox ann@here.test", "is filed here"),
    ("here.test", Tone.GOOD, "mailbox ann@here.test", "Mail to postmaster@here.test is filed here."),
    ("tls-reports@here.test", Tone.GOOD, "the reader of reports (tls)", "is filed here"),
    ("team@here.test", Tone.NOTE, "goes on to bob@far.test", "goes on to bob@far.test: test these addresses too"),
    ("crowd@here.test", Tone.NOTE, "more", "r2@far.test and others"),
    ("nobody@here.test", Tone.BAD, "550 5.1.1", "Mail to nobody@here.test would come back."),
    ("full@here.test", Tone.WARNING, "452 4.2.2", "would wait"),
]


def test_an_address_of_our_own():
    """It has no mail loop, though its MX record leads back here."""
    for target, tone, words, result in CASES:
        (here, last), asked = run(target)
        assert (here.name, here.tone, last.name, last.tone) == ("here", tone, "result", tone)
        assert "is hosted here" in here.text and words in "\n".join((here.text, *here.details)) and result in last.text
        assert asked == [] and len(here.details) <= MOST_LINES + 1


def test_a_domain_that_was_switched_off():
    set_domain_state("off.test", disabled=True)
    here, last = run("ann@off.test")[0]
    assert "is hosted here, and says to this address: " in here.text and last.tone in (Tone.BAD, Tone.WARNING)


def test_a_domain_that_is_not_hosted_but_leads_here():
    stages, asked = run("ann@other.test")
    assert stages[-1].tone is Tone.BAD and "does not host that domain" in stages[-1].text
    assert asked == [("other.test", "MX")]
