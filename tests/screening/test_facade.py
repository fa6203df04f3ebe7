"""What smtpd asks of screening, in its event loop."""

import asyncio

import pytest
from dns_server import DnsServer
from zone import zone_resolver

from mailsuite.directory.models import Domain
from mailsuite.mailauth.iprev import IprevOutcome
from mailsuite.resolver.answers import Answer, Status
from mailsuite.resolver.dns_resolver import DnsResolver
from mailsuite.screening import facade, services
from mailsuite.screening.facade import Screening, SenderFacts, Thresholds
from mailsuite.screening.models import DnsList, GreylistEntry, Rule, ScreeningSettings, SenderPause
from mailsuite.screening.rules import save_rule

ZONE = {
    ("99.2.0.192.bl.test", "A"): ["127.0.0.2"],
    ("98.2.0.192.bl.test", "A"): ["127.255.255.254"],
    ("99.2.0.192.wl.test", "A"): ["127.0.10.3"],
    ("1." + "0." * 23 + "8.b.d.0.1.0.0.2.wl.test", "A"): ["127.0.10.3"],
    ("helo.test", "AAAA"): ["2001:db8::1"],
    ("broken.test", "A"): "servfail",
}
SENDER = SenderFacts("192.0.2.99", "a@b.example", ("a@b.example",))


@pytest.fixture
def lists(home):
    services.save_list(DnsList(name="BL", zone="bl.test", weight=0.7, is_active=True))
    services.save_list(DnsList(name="WL", zone="wl.test", kind="allow", weight=0.5, is_active=True, asks_ipv6=True))


def use(inline, what, resolver=None):
    """What a coroutine function of a Screening answers."""

    async def run():
        screening = Screening(resolver or zone_resolver(ZONE), hostname="mx.us.example", own_addresses=["192.0.2.25"])
        screening._reader = screening._writer = inline
        try:
            return await what(screening)
        finally:
            await asyncio.gather(*screening._noting)

    return inline.run(run())


@pytest.mark.parametrize(
    "client, hits",
    [
        ("192.0.2.99", [("BL", 0.7), ("WL", -0.5)]),
        ("::ffff:192.0.2.99", [("BL", 0.7), ("WL", -0.5)]),
        ("192.0.2.1", []),
        ("2001:db8::1", [("WL", -0.5)]),
        ("127.0.0.1", []),
        ("nonsense", []),
    ],
)
def test_lists_in_use_are_asked(lists, inline, client, hits):
    found = use(inline, lambda screening: screening.at_connection(client))
    assert [(hit.name, hit.weight) for hit in found] == hits
    assert all("test" not in hit.text for hit in found), "a zone may hold a key"


@pytest.mark.parametrize(
    ("client", "ours"),
    [
        ("192.0.2.99", {"us.example", "alias.example", "mx.us.example"}),
        ("::ffff:127.0.0.1", set()),
        ("::1", set()),
        ("192.0.2.25", set()),
    ],
)
def test_which_domains_are_ours_for_a_stranger(home, inline, client, ours):
    Domain.objects.create(name="us.example")
    Domain.objects.create(name="alias.example", alias_of=Domain.objects.get(name="us.example"))
    Domain.objects.create(name="off.example", state=Domain.State.DISABLED)
    names = ["us.example", "alias.example", "mx.us.example", "sub.us.example", "off.example", "far.example"]
    assert use(inline, lambda screening: screening.own_domains(client, names)) == ours


def test_a_list_that_refuses_to_answer_is_switched_off(lists, inline):
    assert use(inline, lambda screening: screening.at_connection("192.0.2.98")) == ()
    assert [row.name for row in services.lists_out_of_order()] == ["BL"]
    assert [one.name for one in services.active_lists()] == ["WL"]


def test_lists_that_do_not_answer_in_time_count_as_nothing(lists, inline, monkeypatch):
    monkeypatch.setattr(facade, "LIST_SECONDS", 0.05)

    class Silent:
        async def query(self, name, rdtype):
            await asyncio.Event().wait()

    assert use(inline, lambda screening: screening.at_connection("192.0.2.99"), Silent()) == ()
    assert services.lists_out_of_order() == []


def test_lists_through_a_real_dns_server(lists, inline):
    with DnsServer(ZONE) as server:
        resolver = lambda: DnsResolver(server.address)  # noqa: E731

        async def ask(screening):
            screening._resolver = resolver()
            return await screening.at_connection("192.0.2.99")

        assert [hit.name for hit in use(inline, ask)] == ["BL", "WL"]


def test_out_of_the_box_dns_is_asked_for_no_list(home, inline):
    resolver = zone_resolver(ZONE)
    assert use(inline, lambda screening: screening.at_connection("192.0.2.99"), resolver) == ()
    assert resolver.asked == []


@pytest.mark.parametrize(
    "helo, doubts",
    [
        ("helo.test", ()),
        ("absent.test", ("helo-unknown",)),
        ("broken.test", ()),
        ("[192.0.2.99]", ("helo-literal",)),
        ("example.com", ("helo-hosted",)),
    ],
)
def test_the_greeting(home, inline, helo, doubts):
    iprev = IprevOutcome("pass", ("mail.test",), "mail.test")
    signs = use(inline, lambda screening: screening.client_signs("192.0.2.99", helo, iprev))
    assert signs.doubts == doubts


def test_a_stranger_with_our_own_name(home, inline):
    iprev = IprevOutcome("permerror")
    signs = use(inline, lambda screening: screening.client_signs("9.9.9.9", "mx.us.example", iprev))
    assert signs.refusal.code == 550


def test_rules(home, domain, inline):
    save_rule(Rule(action="block", subject="network", value="192.0.2.0/24", domain=domain))
    ask = {"recipient": "ann@example.org", "mailbox_id": home["ann"].pk, "domain_id": domain.pk}
    hit = use(inline, lambda screening: screening.rule_for(SENDER, **ask))
    assert (hit.action, hit.scope, hit.text) == ("block", "domain", "“block hosts in 192.0.2.0/24”")


def greylist(inline, sender=SENDER, **fields):
    fields = {"doubts": ("no-reverse-dns",)} | fields
    return use(inline, lambda screening: screening.greylist(sender, ["ann@example.org"], **fields))


def test_the_doubtful_are_asked_to_come_again(home, inline):
    deferral = greylist(inline)
    assert deferral.reason == "greylisted"
    assert str(deferral.reply) == "451 4.7.1 Please try again in a minute (greylisted)"
    assert "no-reverse-dns" in deferral.text
    GreylistEntry.objects.update(first_seen_at="2020-01-01T00:00Z")
    assert greylist(inline) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"doubts": ()},
        {"is_known": True},
        {"sender": SenderFacts("127.0.0.1", "a@b.example")},
        {"sender": SenderFacts("::1", "a@b.example")},
        {"sender": SenderFacts("::ffff:127.0.0.1", "a@b.example")},
    ],
)
def test_others_are_not(home, inline, fields):
    assert greylist(inline, **fields) is None
    assert not GreylistEntry.objects.exists()


def test_greylisting_may_be_switched_off(home, inline):
    services.save_settings(ScreeningSettings(greylists_doubtful=False))
    assert greylist(inline) is None


def test_first_time_senders_wait_where_somebody_wants_that(home, inline):
    def pause(mailbox, *, sender=SENDER, is_known=False):
        return use(
            inline,
            lambda screening: screening.first_time_pause(
                sender, str(mailbox), mailbox_id=mailbox.pk, is_known=is_known
            ),
        )

    proven = SenderFacts("192.0.2.99", "a@b.example", ("a@b.example",), True, True)
    assert pause(home["ann"]) is None
    services.save_pause(SenderPause(mailbox=home["ann"], minutes=10))
    assert pause(home["ann"]).reason == "first-time-sender"
    assert pause(home["ann"]).reply.text == "Please try again in 10 minutes (first-time-sender)"
    assert pause(home["bob"]) is None
    # Known, but not proven to be who it says: it may be somebody else with a known name.
    assert pause(home["ann"], is_known=True) is not None
    assert pause(home["ann"], sender=proven) is not None
    assert pause(home["ann"], sender=proven, is_known=True) is None
    GreylistEntry.objects.update(first_seen_at="2020-01-01T00:00Z")
    assert pause(home["ann"]) is None


def test_thresholds(home, inline):
    assert use(inline, lambda screening: screening.thresholds()) == Thresholds(1.0, 2.0)
    services.save_settings(ScreeningSettings(junk_score=1.5, reject_score=4))
    assert use(inline, lambda screening: screening.thresholds()) == Thresholds(1.5, 4.0)


def test_without_database_mail_goes_on(inline, lists, monkeypatch):
    """Whatever can't be read or kept counts as nothing."""

    def broken(*arguments, **fields):
        raise OSError("the database is away")

    for name in ("policy", "active_lists", "sender_pause", "note_outcome"):
        monkeypatch.setattr(services, name, broken)
    monkeypatch.setattr(facade, "find_rule", broken)
    monkeypatch.setattr(facade.lookup, "hosted_names", broken)
    monkeypatch.setattr(facade.greylisting, "may_pass", broken)
    assert use(inline, lambda screening: screening.thresholds()) == Thresholds()
    assert use(inline, lambda screening: screening.at_connection("192.0.2.99")) == ()
    assert use(inline, lambda screening: screening.rule_for(SENDER, recipient="ann@example.org")) is None
    assert greylist(inline) is None
    iprev = IprevOutcome("permerror")
    assert use(inline, lambda s: s.client_signs("9.9.9.9", "helo.test", iprev)).doubts == ("no-reverse-dns",)
    assert use(inline, lambda s: s._passes("greylisted", SENDER, ["a@b.example"], facade.timedelta(1), ())) is True


def test_temporary_trouble_with_dns_casts_no_doubt(home, inline):
    class Away:
        async def query(self, name, rdtype):
            return Answer(Status.TEMPERROR)

    iprev = IprevOutcome("temperror")
    signs = use(inline, lambda screening: screening.client_signs("192.0.2.99", "x.test", iprev), Away())
    assert signs.doubts == ()
