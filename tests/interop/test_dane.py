"""DANE against the real thing: knot signs, unbound validates, a host shows certificates (RFC 7672)."""

import asyncio
import hashlib
from ipaddress import ip_network

import pytest
from certificates import make
from signed_dns import SignedDns
from smtp_sink import Behaviour, Sink

from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.mailauth.dane import State, look_up
from mailsuite.resolver.answers import Mx, Status, Tlsa
from mailsuite.resolver.dns_resolver import DnsResolver
from mailsuite.transport_security.known import NOTHING
from mailsuite.transport_security.policies import StsPolicies
from mailsuite.transport_security.validation import ValidationWatch, resolver_validates
from smtpd_service.outbound.courier import Courier, Letter
from smtpd_service.outbound.destinations import Destinations, NextHop
from smtpd_service.outbound.published_policy import PublishedPolicy
from smtpd_service.outbound.transaction import Fate, Mail
from smtpd_service.probe.delivery import Tools, probe_delivery
from smtpd_service.probe.stage import Tone

pytestmark = [pytest.mark.interop, pytest.mark.sqlite_only]


class NoMemory:
    async def find(self, domain):
        return NOTHING


async def yes():
    return True


@pytest.fixture(scope="module")
def signed_dns(require_program):
    with SignedDns(require_program) as dns:
        yield dns


def asked(dns, what):
    """What a coroutine finds with a new resolver, so that nothing is remembered from before."""

    async def ask():
        return await what(DnsResolver(dns))

    return asyncio.run(ask())


def tlsa(port, *pairs, usage=3):
    return [
        f"_{port}._tcp.mx.far.test. 60 IN TLSA {usage} 1 1 {hashlib.sha256(pair.spki).hexdigest()}" for pair in pairs
    ]


HOST = ("far.test. 60 IN MX 10 mx.far.test.", "mx.far.test. 60 IN A 127.0.0.1")


def run(dns, sink, target="bob@far.test", **how):
    async def gather(resolver):
        policy = PublishedPolicy(resolver, StsPolicies(resolver, NoMemory(), None), validates=yes, port=sink.port)
        allowed = [ip_network("127.0.0.0/8")]
        tools = Tools(resolver, policy, "mx.suite.test", "", {"mx.suite.test"}, allowed, port=sink.port)
        return {stage.name: stage async for stage in probe_delivery(target, tools)}

    return asked(dns.resolver, gather)


def test_the_resolver_is_found_to_validate(signed_dns):
    signed_dns.publish(*HOST)
    assert asked(signed_dns.resolver, resolver_validates).is_good
    assert "does not validate" in asked(signed_dns.direct, resolver_validates).text


def test_answers_and_what_vouches_for_them(signed_dns):
    digest = bytes(range(32))
    signed_dns.publish(*HOST, f"_25._tcp.mx.far.test. 60 IN TLSA 3 1 1 {digest.hex()}")

    def query(name, rdtype):
        answer = asked(signed_dns.resolver, lambda resolver: resolver.query(name, rdtype))
        return answer.status, answer.rdata, answer.secure

    assert query("far.test", "MX") == (Status.OK, (Mx(10, "mx.far.test"),), True)
    assert query("_25._tcp.mx.far.test", "TLSA") == (Status.OK, (Tlsa(3, 1, 1, digest),), True)
    assert query("mx.far.test", "AAAA") == (Status.NODATA, (), True)
    assert query("nowhere.test", "MX") == (Status.NXDOMAIN, (), True)
    assert query("mx.plain.test", "A") == (Status.OK, ("127.0.0.1",), False)
    assert query("mx.bogus.test", "A")[0] is Status.TEMPERROR


@pytest.mark.parametrize(
    ("domain", "host", "state"),
    [
        ("far.test", "mx.far.test", State.NONE),
        ("plain.test", "mx.plain.test", State.NONE),
        ("bogus.test", "mx.bogus.test", State.FAILED),
        ("half.test", "mx.bogus.test", State.FAILED),
        ("half.test", "mx.plain.test", State.NONE),
        ("alias.test", "alias.far.test", State.USABLE),
    ],
)
def test_look_ups(signed_dns, domain, host, state):
    signed_dns.publish(
        *HOST,
        "half.test. 60 IN MX 10 mx.bogus.test.",
        "alias.test. 60 IN MX 10 alias.far.test.",
        "alias.far.test. 60 IN CNAME real.far.test.",
        "real.far.test. 60 IN A 127.0.0.1",
        f"_25._tcp.real.far.test. 60 IN TLSA 3 1 1 {'cd' * 32}",
    )
    assert asked(signed_dns.resolver, lambda resolver: look_up(resolver, domain, host)).state is state


def test_match_mismatch_and_roll_over(signed_dns, tmp_path):
    old, new, stray = make("a.test"), make("b.test"), make("mx.far.test")
    with Sink(behaviour=Behaviour(tls=old.server_context(tmp_path, "old"))) as sink:
        signed_dns.publish(*HOST, *tlsa(sink.port, old))
        stages = run(signed_dns, sink)
        assert stages["dane"].tone is stages["tls"].tone is stages["result"].tone is Tone.GOOD
        assert "signed (DNSSEC)" in stages["mx"].text and "matches the TLSA records" in stages["tls"].text
        # Both are published, then the key changes, then the old record goes.
        signed_dns.publish(*HOST, *tlsa(sink.port, old, new))
        assert run(signed_dns, sink)["result"].tone is Tone.GOOD
        sink.behaviour = Behaviour(tls=new.server_context(tmp_path, "new"))
        assert run(signed_dns, sink)["result"].tone is Tone.GOOD
        signed_dns.publish(*HOST, *tlsa(sink.port, new))
        assert run(signed_dns, sink)["result"].tone is Tone.GOOD
        # A renewal that nobody has published.
        sink.behaviour = Behaviour(tls=stray.server_context(tmp_path, "stray"))
        stages = run(signed_dns, sink)
        assert stages["tls"].tone is stages["result"].tone is Tone.BAD
        assert "mail" not in stages and not sink.messages
        # Without TLS nothing goes out either.
        sink.behaviour = Behaviour()
        stages = run(signed_dns, sink)
        assert "STARTTLS, which is required" in stages["ehlo"].text and "mail" not in stages


def test_a_trust_anchor_of_one_s_own(signed_dns, tmp_path):
    authority = make(common_name="our own", ca=True)
    for name, tone in (("mx.far.test", Tone.GOOD), ("else.test", Tone.BAD)):
        context = make(name, issuer=authority).server_context(tmp_path, name)
        with Sink(behaviour=Behaviour(tls=context)) as sink:
            signed_dns.publish(*HOST, *tlsa(sink.port, authority, usage=2))
            assert run(signed_dns, sink)["result"].tone is tone


def test_a_bogus_zone_is_not_passed_by(signed_dns, tmp_path):
    signed_dns.publish("half.test. 60 IN MX 10 mx.bogus.test.", "half.test. 60 IN MX 20 mx.far.test.", *HOST[1:])
    with Sink() as sink:
        stages = run(signed_dns, sink, "bob@bogus.test")
        assert stages["mx"].tone is Tone.WARNING and sink.connections == 0
        # A host whose address is bogus is left out; the next one is signed and well.
        stages = run(signed_dns, sink, "bob@half.test")
        assert "mx.bogus.test" in stages["mx"].text and stages["connect"].host.startswith("mx.far.test")


def delivered(dns, sink, domain="far.test"):
    """What the queue's courier does with a message, by a resolver of its own."""

    async def deliver(resolver):
        policies = StsPolicies(resolver, NoMemory(), None)
        validates = ValidationWatch(resolver).is_good
        allowed = [ip_network("127.0.0.0/8")]
        courier = Courier(
            NextHop(domain),
            destinations=Destinations(resolver, (), allowed, port=sink.port),
            policy=PublishedPolicy(resolver, policies, validates=validates, port=sink.port),
            helo="mx.suite.test",
            allowed=allowed,
        )

        async def body():
            yield b"Subject: x\r\n\r\nHello\r\n"

        mail = Mail(Envelope("ann@suite.test"), [EnvelopeRecipient(f"bob@{domain}")], 23)
        [found] = await courier.deliver(Letter(mail, body, yes, lambda: None))
        await courier.close()
        return found

    return asked(dns.resolver, deliver)


def test_the_queue_delivers_by_it(signed_dns, tmp_path):
    """Matching, wrong, missing, unsigned: as RFC 7672 wants it, and never in clear where records are signed."""
    pair = make("a.test")
    with Sink(behaviour=Behaviour(tls=pair.server_context(tmp_path))) as sink:
        signed_dns.publish(*HOST, *tlsa(sink.port, pair))
        found = delivered(signed_dns, sink)
        assert found.outcome.fate is Fate.DELIVERED and found.tls.endswith("certificate matches TLSA (DANE)")
        signed_dns.publish(*HOST, *tlsa(sink.port, make("b.test")))
        found = delivered(signed_dns, sink)
        assert (found.outcome.fate, found.outcome.reason) == (Fate.LATER, "tls-failed")
        assert "no TLSA record matches its certificate" in found.outcome.text
        signed_dns.publish(*HOST, *tlsa(sink.port, pair, usage=1))
        assert delivered(signed_dns, sink).tls.endswith("any certificate (DANE, no usable TLSA)")
        signed_dns.publish(*HOST)
        assert delivered(signed_dns, sink).tls.endswith(", any certificate")
        sink.behaviour = Behaviour()
        assert delivered(signed_dns, sink, "plain.test").outcome.fate is Fate.DELIVERED
        signed_dns.publish(*HOST, *tlsa(sink.port, pair))
        assert delivered(signed_dns, sink).outcome.reason == "tls-missing"
        assert [message.tls for message in sink.messages] == [True, True, True, False]


def test_an_unsigned_zone_has_no_dane(signed_dns):
    with Sink() as sink:
        stages = run(signed_dns, sink, "bob@plain.test")
        assert "not signed" in stages["dane"].text and stages["policy"].tone is Tone.NOTE


def test_two_suites(signed_dns, new_suite, tmp_path):
    """One takes mail on port 25 and publishes its TLSA; the other one's command finds it and all stages well."""
    certificate, key = make("mx.far.test", "localhost", "127.0.0.1").write(tmp_path)
    receiver = new_suite(
        MAILSUITE_HOSTNAME="mx.far.test",
        MAILSUITE_LISTEN_SMTP="127.0.0.53:25",
        MAILSUITE_RESOLVER=signed_dns.resolver,
        MAILSUITE_TLS_CERT=str(certificate),
        MAILSUITE_TLS_KEY=str(key),
    )
    try:
        Sink(host="127.0.0.53", port=25).__enter__().__exit__()
    except PermissionError:
        pytest.skip("needs the right to listen on port 25 of the loopback (root, or ip_unprivileged_port_start)")
    receiver.start()
    receiver.manage("domain", "add", "far.test")
    receiver.add_mailbox("ann@far.test", "correct horse battery")
    host = ("far.test. 60 IN MX 10 mx.far.test.", "mx.far.test. 60 IN A 127.0.0.53")
    signed_dns.publish(*host)
    shown = receiver.manage("certificate", "check")
    record = next(line for line in shown.splitlines() if " IN TLSA " in line).removeprefix("TLSA").strip()
    signed_dns.publish(*host, record)
    assert "A TLSA record matches the key in use." in receiver.manage("certificate", "check")
    assert "beside the present record" in receiver.manage("certificate", "next-key") + receiver.manage(
        "certificate", "show"
    )
    sender = new_suite(MAILSUITE_RESOLVER=signed_dns.resolver)
    sender.manage("migrate", "--verbosity", "0")
    told = sender.manage("delivery", "test", "ann@far.test")
    assert "ok    DANE (TLSA) mx.far.test" in told and "the certificate matches the TLSA records" in " ".join(
        told.split()
    )
    assert "would be taken by mx.far.test" in told
    refused = sender.run("delivery", "test", "nobody@far.test")
    assert refused.returncode == 1 and "There is no such mailbox" in " ".join(refused.stdout.split())
    # Somebody else's key in DNS: senders stay away, and the host itself raises the alarm.
    signed_dns.publish(*host, f"_25._tcp.mx.far.test. 60 IN TLSA 3 1 1 {'ab' * 32}")
    assert sender.run("delivery", "test", "ann@far.test").returncode == 1
    alarm = receiver.run("certificate", "check")
    assert alarm.returncode == 1 and "No TLSA record matches" in alarm.stdout
    assert "mailsuite.W007" in receiver.run("check").stderr
