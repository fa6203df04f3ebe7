"""What TLS a domain's own records demand (RFC 7672, RFC 8461): which decides, and what a delivery does by it."""

import asyncio
import hashlib
from ipaddress import ip_network

import pytest
import uvloop
from certificates import client_context, make
from smtp_sink import Behaviour, Sink

from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.mailauth.mtasts import Mode, Policy
from mailsuite.resolver.answers import Answer, Mx, Status, Tlsa, ZoneResolver
from mailsuite.transport_security.policies import Sts
from smtpd_service.outbound.courier import Courier, Letter
from smtpd_service.outbound.destinations import Destinations, NextHop
from smtpd_service.outbound.published_policy import PublishedPolicy
from smtpd_service.outbound.transaction import Fate, Mail, StartTls

LOOPBACK = [ip_network("127.0.0.0/8")]
BODY = b"Subject: x\r\n\r\nHello\r\n"
EE, UNUSABLE = Tlsa(3, 1, 1, b"x" * 32), Tlsa(1, 1, 1, b"x" * 32)


class Known:
    """Policies as they are known; counts who asks."""

    def __init__(self, *policies, mx=("mx.far.test",)):
        self.asked, self.policy = 0, next((Policy(mode, mx, 1000) for mode in policies), None)

    async def of(self, domain):
        self.asked += 1
        return Sts(self.policy, "known")


async def yes():
    return True


async def no():
    return False


def secure(*rdata):
    return Answer(Status.OK if rdata else Status.NODATA, rdata, 300, secure=True)


def zone(*tlsa, port=25, mx=True, address=True, hosts=("mx.far.test",)):
    """The records of far.test: MX and addresses signed as told; `tlsa` are records, or one Answer."""
    exchanges = [Mx(10 * number, host) for number, host in enumerate(hosts)]
    records = {("far.test", "MX"): secure(*exchanges) if mx else exchanges}
    for number, host in enumerate(hosts, 1):
        found = [f"127.0.0.{number}"]
        records[(host, "A")] = secure(*found) if address else found
        records[(host, "AAAA")] = Answer(Status.NODATA, (), 300, secure=address)
    if tlsa:
        records[(f"_{port}._tcp.{hosts[0]}", "TLSA")] = tlsa[0] if isinstance(tlsa[0], Answer) else secure(*tlsa)
    return records


FAILED = Answer(Status.TEMPERROR)
VERIFIED, ANY, MATCHES, WAITS, OFFERED = "a good certificate", "any certificate", "TLSA", "no delivery", "when offered"


def demanded(demand):
    if demand.refusal:
        return WAITS
    if demand.starttls is StartTls.OFFERED:
        assert demand.falls_back
        return OFFERED
    assert demand.starttls is StartTls.REQUIRED and not demand.falls_back
    return MATCHES if demand.check else VERIFIED if demand.context.check_hostname else ANY


@pytest.mark.parametrize(
    ("records", "sts", "validates", "rule", "demand"),
    [
        # Neither.
        (zone(mx=False), (), yes, "opportunistic", OFFERED),
        (zone(), (), yes, "opportunistic", OFFERED),
        # MTA-STS alone: only enforce has the say.
        (zone(mx=False), (Mode.ENFORCE,), yes, "sts", VERIFIED),
        (zone(mx=False), (Mode.TESTING,), yes, "opportunistic", OFFERED),
        (zone(mx=False), (Mode.NONE,), yes, "opportunistic", OFFERED),
        # DANE, which goes first.
        (zone(EE), (), yes, "dane", MATCHES),
        (zone(EE), (Mode.ENFORCE,), yes, "dane", MATCHES),
        (zone(Tlsa(2, 0, 1, b"y" * 32)), (Mode.TESTING,), yes, "dane", MATCHES),
        # Usages 0 and 1, unknown parameters: TLS, and about the certificate MTA-STS has the say if it wants.
        (zone(Tlsa(0, 0, 1, b"x" * 32), UNUSABLE), (), yes, "dane", ANY),
        (zone(Tlsa(3, 1, 9, b"x")), (Mode.TESTING,), yes, "dane", ANY),
        (zone(UNUSABLE), (Mode.ENFORCE,), yes, "sts", VERIFIED),
        (zone(UNUSABLE, EE), (Mode.ENFORCE,), yes, "dane", MATCHES),
        # A look-up that fails is no permission.
        (zone(FAILED), (), yes, "dane", WAITS),
        (zone(FAILED), (Mode.ENFORCE,), yes, "dane", WAITS),
        (zone() | {("mx.far.test", "AAAA"): FAILED}, (), yes, "dane", WAITS),
        # What is not signed is not looked at.
        (zone(EE, mx=False), (), yes, "opportunistic", OFFERED),
        (zone(EE, address=False), (), yes, "opportunistic", OFFERED),
        (zone(Answer(Status.OK, (EE,), 300)), (), yes, "opportunistic", OFFERED),
        (zone(Answer(Status.OK, (EE,), 300)), (Mode.ENFORCE,), yes, "sts", VERIFIED),
        (zone(FAILED, mx=False), (), yes, "opportunistic", OFFERED),
        # A resolver that is not to be believed, and DANE turned off.
        (zone(EE), (), no, "opportunistic", OFFERED),
        (zone(FAILED), (Mode.ENFORCE,), no, "sts", VERIFIED),
        (zone(EE), (Mode.ENFORCE,), None, "sts", VERIFIED),
    ],
)  # fmt: skip
def test_who_decides(records, sts, validates, rule, demand):
    policy = PublishedPolicy(ZoneResolver(records), Known(*sts), validates=validates)
    found = asyncio.run(policy.judge("far.test", "mx.far.test"))
    assert (found.rule, demanded(found.demand)) == (rule, demand)


def test_a_host_that_the_policy_does_not_name_is_not_dialled():
    policy = PublishedPolicy(ZoneResolver(zone(mx=False)), Known(Mode.ENFORCE, mx=("*.else.test",)), validates=yes)
    demand = asyncio.run(policy.for_host("far.test", "mx.far.test"))
    assert demand.refusal.reason == "sts-host" and demand.refusal.fate is Fate.LATER


def test_where_nothing_is_signed_dane_costs_no_question():
    resolver, sts = ZoneResolver(zone(mx=False)), Known()
    asyncio.run(PublishedPolicy(resolver, sts, validates=yes).judge("far.test", "mx.far.test"))
    # Of the MX records, which the way there has asked for and the resolver remembers.
    assert resolver.asked == [("far.test", "MX")] and sts.asked == 1
    asyncio.run(PublishedPolicy(resolver, sts, validates=yes).judge("[192.0.2.1]", "192.0.2.1"))
    assert len(resolver.asked) == sts.asked == 1


# A delivery by it


@pytest.fixture(scope="module")
def authority():
    return make(common_name="A test's authority", ca=True)


@pytest.fixture
def pair(authority):
    return make("mx.far.test", issuer=authority)


@pytest.fixture
def sink():
    with Sink() as sink:
        yield sink


def deliver(sink, authority, *tlsa, sts=None, hosts=("mx.far.test",), mx=True):
    async def body():
        yield BODY

    async def may_finish():
        return True

    async def run():
        resolver = ZoneResolver(zone(*tlsa, port=sink.port, hosts=hosts, mx=mx))
        context = client_context(authority)
        policy = PublishedPolicy(resolver, sts or Known(), validates=yes, port=sink.port, context=context)
        destinations = Destinations(resolver, (), LOOPBACK, port=sink.port)
        courier = Courier(
            NextHop("far.test"), destinations=destinations, policy=policy, helo="us.test", allowed=LOOPBACK
        )
        mail = Mail(Envelope("ann@us.test"), [EnvelopeRecipient("bob@far.test")], len(BODY))
        [found] = await courier.deliver(Letter(mail, body, may_finish, lambda: None))
        await courier.close()
        return found

    return uvloop.run(run())


def tlsa_of(pair):
    return Tlsa(3, 1, 1, hashlib.sha256(pair.spki).digest())


def test_good_tls_is_told_with_what_it_was_held_against(sink, authority, pair, tmp_path):
    sink.behaviour = Behaviour(tls=pair.server_context(tmp_path))
    for how, proof, rule in (
        ({"sts": Known(Mode.ENFORCE)}, "certificate verified (MTA-STS)", "the MTA-STS policy of far.test (enforce)"),
        ({"sts": Known(Mode.TESTING)}, "any certificate", "no policy is enforced"),
    ):
        found = deliver(sink, authority, **how)
        assert found.outcome.fate is Fate.DELIVERED
        assert found.tls.startswith("TLSv1.3 TLS_") and found.tls.endswith(f", {proof}") and len(found.tls) <= 100
        assert f"*: TLS policy: {rule}" in found.dialog
    found = deliver(sink, authority, tlsa_of(pair))
    assert found.tls.endswith(", certificate matches TLSA (DANE)") and "DANE demands TLS" in found.dialog
    found = deliver(sink, authority, UNUSABLE)
    assert found.tls.endswith(", any certificate (DANE, no usable TLSA)")
    assert sink.connections == len(sink.messages) == 4 and all(message.tls for message in sink.messages)


@pytest.mark.parametrize(
    ("how", "reason", "words"),
    [
        ({"names": "else.test"}, "tls-failed", "the MTA-STS policy of far.test"),
        ({"authority": False}, "tls-failed", "the MTA-STS policy of far.test"),
        ({"days": (-9, -1)}, "tls-failed", "certificate has expired"),
        ({"breaks": True}, "tls-failed", "the MTA-STS policy of far.test"),
        ({"offers": False}, "tls-missing", "the MTA-STS policy of far.test"),
        ({"mx": ("*.else.test",)}, "sts-host", "does not name its mail host mx.far.test"),
        ({"tlsa": EE}, "tls-failed", "no TLSA record matches its certificate: DANE demands"),
        ({"tlsa": EE, "offers": False}, "tls-missing", "DANE demands TLS"),
        ({"tlsa": UNUSABLE, "offers": False, "sts": False}, "tls-missing", "DANE demands TLS, with any"),
        ({"tlsa": FAILED}, "dnssec-failed", "(DANE): the DNS gave no sound answer about TLSA records"),
    ],
)
def test_what_is_demanded_and_not_there_is_waited_for(sink, authority, tmp_path, how, reason, words):
    """Never in clear, and never with a host that does not prove to be the one."""
    issuer = authority if how.get("authority", True) else make(common_name="another", ca=True)
    context = make(how.get("names", "mx.far.test"), issuer=issuer, days=how.get("days", (-1, 30)))
    tls = context.server_context(tmp_path) if how.get("offers", True) else None
    sink.behaviour = Behaviour(tls=tls, breaks_tls=how.get("breaks", False))
    sts = Known(*([Mode.ENFORCE] if how.get("sts", True) else []), mx=how.get("mx", ("mx.far.test",)))
    found = deliver(sink, authority, *filter(None, [how.get("tlsa")]), sts=sts)
    assert (found.outcome.fate, found.outcome.reason) == (Fate.LATER, reason)
    assert found.outcome.status.startswith("4.7.") and words in found.outcome.text
    assert found.outcome.text in found.dialog or "*: TLS policy: " in found.dialog
    assert not any(command.startswith("MAIL") for command in sink.commands)
    assert sink.connections == (0 if reason in ("sts-host", "dnssec-failed") else 1)


def test_names_count_where_certificates_have_them_today():
    """RFC 8461 §4.2 wants a DNS name among the alternative ones; a common name is none."""
    policy = PublishedPolicy(ZoneResolver(zone(mx=False)), Known(Mode.ENFORCE), validates=None)
    demand = asyncio.run(policy.for_host("far.test", "mx.far.test"))
    assert demand.context.check_hostname and not demand.context.hostname_checks_common_name


def test_the_next_host_that_fits_gets_the_mail(sink, authority, pair, tmp_path):
    sink.behaviour = Behaviour()
    good = Behaviour(tls=make("b.far.test", issuer=authority).server_context(tmp_path))
    with Sink(good, "127.0.0.2", sink.port) as second:
        for allowed in (("a.far.test", "b.far.test"), ("b.far.test",)):
            found = deliver(
                sink, authority, sts=Known(Mode.ENFORCE, mx=allowed), hosts=("a.far.test", "b.far.test"), mx=False
            )
            assert (found.outcome.fate, found.endpoint.host) == (Fate.DELIVERED, "b.far.test")
            assert "a.far.test" in found.dialog
        assert (sink.connections, len(sink.messages), len(second.messages)) == (1, 0, 2)


def test_without_a_policy_that_is_enforced_broken_tls_leads_to_clear_text(sink, authority, pair, tmp_path):
    sink.behaviour = Behaviour(tls=pair.server_context(tmp_path), breaks_tls=True)
    found = deliver(sink, authority, sts=Known(Mode.TESTING))
    assert (found.outcome.fate, found.tls, sink.connections) == (Fate.DELIVERED, "", 2)
