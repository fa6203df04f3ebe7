"""The live delivery test against a sink on a real socket, in all the ways that hosts fail."""

import asyncio
import hashlib
import socket
import threading
from ipaddress import ip_network

import pytest
from certificates import client_context, make
from smtp_sink import Behaviour, Sink

from mailsuite.mailauth.mtasts import Mode, Policy
from mailsuite.mailauth.tlsrpt import ResultType
from mailsuite.resolver.answers import Answer, Mx, Status, Tlsa, ZoneResolver
from mailsuite.transport_security.fetching import FetchError
from mailsuite.transport_security.known import NOTHING
from mailsuite.transport_security.policies import StsPolicies
from smtpd_service.outbound.published_policy import PublishedPolicy
from smtpd_service.outbound.routing import RouteFacts, Security
from smtpd_service.probe.delivery import Tools, probe_delivery
from smtpd_service.probe.stage import Tone

LOOPBACK = (ip_network("127.0.0.0/8"),)


class NoMemory:
    async def find(self, domain):
        return NOTHING

    async def keep(self, domain, policy_id, policy):
        pass

    async def note_failure(self, domain, failure):
        pass


async def yes():
    return True


@pytest.fixture
def sink():
    with Sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def authority():
    return make(common_name="A test's authority", ca=True)


@pytest.fixture
def certified(authority, tmp_path):
    """`certified("mx.far.test")` is what a server with a certificate for these names has."""
    return lambda *names, **how: make(*names, issuer=authority, **how).server_context(tmp_path)


def run(sink, authority, target="bob@far.test", *, zone=None, sts=None, dane=False, allowed=LOOPBACK, **changes):
    """The stages of a test; `zone` changes the records of far.test, whose one mail host is the sink."""
    records = {
        ("far.test", "MX"): [Mx(10, "mx.far.test")],
        ("mx.far.test", "A"): ["127.0.0.1"],
        **({("_mta-sts.far.test", "TXT"): [b"v=STSv1; id=1"]} if sts else {}),
        **(zone or {}),
    }
    if dane:
        records = {key: Answer(Status.OK, tuple(value), 300, secure=True) for key, value in records.items()}
        records[("mx.far.test", "AAAA")] = Answer(Status.NODATA, (), 300, secure=True)
    resolver = ZoneResolver(records)

    async def fetch(domain):
        if isinstance(sts, FetchError):
            raise sts
        return sts

    async def gather():
        tools = Tools(
            resolver=resolver,
            policy=PublishedPolicy(
                resolver,
                StsPolicies(resolver, NoMemory(), fetch),
                validates=yes if dane else None,
                port=sink.port,
                context=client_context(authority),
            ),
            helo="mx.suite.test",
            reverse_path="postmaster@suite.test",
            own_names={"mx.suite.test"},
            allowed=allowed,
            why_no_dane="" if dane else "it is off in this test",
            port=sink.port,
            context=client_context(authority),
            **changes,
        )
        return [stage async for stage in probe_delivery(target, tools)]

    return asyncio.run(gather())


def told(stages):
    return [(stage.name, stage.tone) for stage in stages]


def find(stages, name):
    return next(stage for stage in stages if stage.name == name)


def test_all_is_well(sink, authority, certified):
    sink.behaviour = Behaviour(tls=certified("mx.far.test"))
    stages = run(sink, authority)
    assert told(stages) == [
        ("mx", Tone.GOOD), ("sts", Tone.NOTE), ("dane", Tone.NOTE), ("policy", Tone.NOTE), ("connect", Tone.GOOD),
        ("greeting", Tone.GOOD), ("ehlo", Tone.GOOD), ("starttls", Tone.GOOD), ("tls", Tone.GOOD),
        ("mail", Tone.GOOD), ("rcpt", Tone.GOOD), ("quit", Tone.NOTE), ("result", Tone.GOOD),
    ]  # fmt: skip
    assert find(stages, "result").text == "Mail to bob@far.test would be taken by mx.far.test."
    assert "S: 220 sink ESMTP" in find(stages, "greeting").details
    assert "names: mx.far.test" in find(stages, "tls").details
    assert "certificates sent: 2" in find(stages, "tls").details
    assert find(stages, "rcpt").details == ("C: RCPT TO:<bob@far.test>", "S: 250 2.1.5 ok")
    assert sink.commands == [
        "EHLO mx.suite.test", "STARTTLS", "EHLO mx.suite.test",
        "MAIL FROM:<postmaster@suite.test> SIZE=2048", "RCPT TO:<bob@far.test>", "RSET", "QUIT",
    ]  # fmt: skip
    assert sink.messages == [] and sink.connections == 1


def test_a_domain_alone_is_asked_for_its_postmaster(sink, authority):
    stages = run(sink, authority, "far.test")
    assert "RCPT TO:<postmaster@far.test>" in sink.commands
    assert find(stages, "starttls").tone is Tone.WARNING and "does not offer TLS" in find(stages, "starttls").text
    assert stages[-1].tone is Tone.GOOD and "in clear" in stages[-1].details[0]


@pytest.mark.parametrize(
    ("target", "zone", "tone", "words"),
    [
        ("no domain", {}, Tone.BAD, "neither an address nor a domain"),
        ("bob@", {}, Tone.BAD, "neither an address nor a domain"),
        ("bob@nowhere.test", {}, Tone.BAD, "does not exist"),
        ("bob@far.test", {("far.test", "MX"): [Mx(0, "")]}, Tone.BAD, "takes no mail"),
        ("bob@far.test", {("far.test", "MX"): Answer(Status.TEMPERROR)}, Tone.WARNING, "gave no answer"),
        ("bob@far.test", {("mx.far.test", "A"): ["10.1.2.3"]}, Tone.BAD, "10.1.2.3, where no mail is sent"),
        ("bob@far.test", {("mx.far.test", "A"): Answer(Status.NODATA)}, Tone.BAD, "has an address"),
        ("bob@far.test", {("far.test", "MX"): [Mx(0, "mx.suite.test")]}, Tone.BAD, "back to this host"),
    ],
)
def test_no_host_to_send_to(sink, authority, target, zone, tone, words):
    stages = run(sink, authority, target, zone=zone)
    assert [stage.name for stage in stages] in (["mx", "result"], ["address", "result"])
    assert words in stages[0].text and stages[0].tone is tone
    assert stages[-1].tone is Tone.BAD and sink.connections == 0


def test_loopback_is_not_dialled_unless_allowed(sink, authority):
    assert "where no mail is sent" in run(sink, authority, allowed=())[0].text
    assert "where no mail is sent" in run(sink, authority, "bob@[127.0.0.1]", allowed=())[0].text
    assert sink.connections == 0


def test_nobody_listens(sink, authority):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = Sink(port=probe.getsockname()[1])
    stages = run(closed, authority)
    assert find(stages, "connect").tone is Tone.BAD and "Nothing listens there" in find(stages, "connect").text
    assert stages[-1].tone is Tone.WARNING and "wait in the queue" in stages[-1].text


def refusing(**changes):
    return Behaviour(**changes)


@pytest.mark.parametrize(
    ("behaviour", "stage", "tone", "words", "result"),
    [
        (refusing(greeting="554 5.7.1 go away"), "greeting", Tone.WARNING, "go away", Tone.WARNING),
        (refusing(greeting="421 4.3.2 too busy"), "greeting", Tone.WARNING, "no for now", Tone.WARNING),
        (refusing(greeting=None), "greeting", Tone.WARNING, "closed the connection", Tone.WARNING),
        (refusing(raw=lambda sock: sock.sendall(b"hello\r\n")), "greeting", Tone.WARNING, "S: hello", Tone.WARNING),
        (refusing(sender=lambda a: "550 5.7.1 not you"), "mail", Tone.BAD, "refuses for good", Tone.BAD),
        (refusing(sender=lambda a: "451 4.7.24 later"), "mail", Tone.WARNING, "SPF could not be checked", Tone.WARNING),
        (refusing(recipient=lambda a: "550 5.1.1 who?"), "rcpt", Tone.BAD, "no such mailbox", Tone.BAD),
        (refusing(recipient=lambda a: "550 who?"), "rcpt", Tone.BAD, "refuses for good", Tone.BAD),
        (refusing(recipient=lambda a: "450 4.2.0 greylisted"), "rcpt", Tone.WARNING, "greylisting", Tone.WARNING),
        (refusing(recipient=lambda a: "552 5.2.2 full"), "rcpt", Tone.BAD, "mailbox is full", Tone.BAD),
        (refusing(recipient=lambda a: "550 5.7.25 no PTR"), "rcpt", Tone.BAD, "PTR record", Tone.BAD),
        (refusing(recipient=lambda a: None), "quit", None, None, Tone.WARNING),
        (refusing(extensions=("SIZE 1000",)), "mail", Tone.BAD, "up to 1000 octets", Tone.BAD),
    ],
)  # fmt: skip
def test_refusals(sink, authority, behaviour, stage, tone, words, result):
    sink.behaviour = behaviour
    stages = run(sink, authority)
    if words:
        found = find(stages, stage)
        assert found.tone is tone and words in " ".join((found.text, *found.details))
    assert stages[-1].name == "result" and stages[-1].tone is result
    assert sink.messages == []


def test_a_bad_certificate_matters_only_to_who_checks(sink, authority, tmp_path):
    sink.behaviour = Behaviour(tls=make("other.test").server_context(tmp_path))
    stages = run(sink, authority)
    first, second = [stage for stage in stages if stage.name == "tls"]
    assert first.tone is Tone.WARNING and "Who checks certificates would not deliver" in first.text
    assert second.tone is Tone.NOTE and "names: other.test" in second.details
    assert stages[-1].tone is Tone.GOOD and sink.connections == 2
    assert [stage.name for stage in stages].count("greeting") == 1


def test_broken_tls_leads_to_clear_text_only_without_a_rule(sink, authority, certified):
    sink.behaviour = Behaviour(tls=certified("mx.far.test"), breaks_tls=True)
    stages = run(sink, authority)
    assert find(stages, "tls").tone is Tone.WARNING and "go out in clear" in find(stages, "tls").text
    assert find(stages, "rcpt").tone is Tone.GOOD
    before = len(sink.commands)
    stages = run(sink, authority, sts=Policy(Mode.ENFORCE, ("mx.far.test",), 100))
    assert find(stages, "tls").tone is Tone.BAD and stages[-1].tone is Tone.BAD
    assert not any(command.startswith("MAIL") for command in sink.commands[before:])


STS = [
    # mode, mx, names of the certificate, offers TLS: tone of the end, is MAIL said?
    (Mode.ENFORCE, "mx.far.test", "mx.far.test", True, Tone.GOOD, True),
    (Mode.ENFORCE, "*.far.test", "*.far.test", True, Tone.GOOD, True),
    (Mode.ENFORCE, "mx.far.test", "other.test", True, Tone.BAD, False),
    (Mode.ENFORCE, "mx.far.test", "mx.far.test", False, Tone.WARNING, False),
    (Mode.ENFORCE, "other.far.test", "mx.far.test", True, Tone.BAD, False),
    (Mode.TESTING, "other.far.test", "other.test", True, Tone.GOOD, True),
    (Mode.TESTING, "mx.far.test", "mx.far.test", False, Tone.NOTE, True),
    (Mode.NONE, "mx.far.test", "other.test", True, Tone.GOOD, True),
]


@pytest.mark.parametrize(("mode", "mx", "names", "offers", "tone", "says_mail"), STS)
def test_mta_sts(sink, authority, certified, mode, mx, names, offers, tone, says_mail):
    sink.behaviour = Behaviour(tls=certified(names) if offers else None)
    stages = run(sink, authority, sts=Policy(mode, (mx,), 604800))
    assert f"mode: {mode.value}" in find(stages, "sts").details
    assert (stages[-1].tone in (Tone.GOOD, Tone.NOTE)) is (tone in (Tone.GOOD, Tone.NOTE))
    assert any(command.startswith("MAIL") for command in sink.commands) is says_mail


def test_a_policy_that_can_t_be_fetched_is_told(sink, authority):
    error = FetchError(ResultType.STS_WEBPKI_INVALID, "the certificate of mta-sts.far.test is not good")
    stages = run(sink, authority, sts=error)
    assert find(stages, "sts").tone is Tone.WARNING and "is not good" in find(stages, "sts").text


def tlsa(pair, *, usage=3):
    return Tlsa(usage, 1, 1, hashlib.sha256(pair.spki).digest())


def test_dane(sink, authority, tmp_path):
    pair, other = make("whatever.test", days=(-9, -1)), make("mx.far.test")
    sink.behaviour = Behaviour(tls=pair.server_context(tmp_path))
    name = (f"_{sink.port}._tcp.mx.far.test", "TLSA")
    stages = run(sink, authority, dane=True, zone={name: [tlsa(other), tlsa(pair)]})
    assert find(stages, "dane").tone is Tone.GOOD and find(stages, "tls").tone is Tone.GOOD
    assert stages[-1].tone is Tone.GOOD
    before = len(sink.commands)
    stages = run(sink, authority, dane=True, zone={name: [tlsa(other)]}, sts=Policy(Mode.TESTING, ("x.y",), 9))
    assert find(stages, "tls").tone is Tone.BAD and "no TLSA record matches" in find(stages, "tls").text
    assert stages[-1].tone is Tone.BAD and "sts" not in [stage.name for stage in stages]
    assert sink.commands[before:] == ["EHLO mx.suite.test", "STARTTLS"]
    stages = run(sink, authority, dane=True, zone={name: [Tlsa(0, 0, 1, b"x" * 32)]})
    assert find(stages, "dane").tone is Tone.WARNING and stages[-1].tone is Tone.GOOD
    sink.behaviour = Behaviour()
    stages = run(sink, authority, dane=True, zone={name: [tlsa(pair)]})
    assert "STARTTLS, which is required" in find(stages, "ehlo").text and stages[-1].tone is Tone.WARNING


def test_dane_with_bogus_answers_is_not_passed_by(sink, authority):
    async def gather():
        name = f"_{sink.port}._tcp.mx.far.test"
        secure = {
            ("far.test", "MX"): Answer(Status.OK, (Mx(10, "mx.far.test"),), 300, secure=True),
            ("mx.far.test", "A"): Answer(Status.OK, ("127.0.0.1",), 300, secure=True),
            ("mx.far.test", "AAAA"): Answer(Status.NODATA, (), 300, secure=True),
            (name, "TLSA"): Answer(Status.TEMPERROR),
        }
        resolver = ZoneResolver(secure)
        policy = PublishedPolicy(resolver, StsPolicies(resolver, NoMemory(), None), validates=yes, port=sink.port)
        tools = Tools(resolver, policy, "mx.suite.test", "", set(), LOOPBACK, port=sink.port)
        return [stage async for stage in probe_delivery("bob@far.test", tools)]

    stages = asyncio.run(gather())
    assert told(stages)[1:] == [("dane", Tone.BAD), ("policy", Tone.BAD), ("result", Tone.BAD)]
    assert sink.connections == 0


def test_the_next_host_is_asked_too(sink, authority):
    zone = {
        ("far.test", "MX"): [Mx(10, "dead.far.test"), Mx(20, "mx.far.test")],
        ("dead.far.test", "A"): ["127.0.0.77"],
    }
    stages = run(sink, authority, zone=zone)
    assert [stage.tone for stage in stages if stage.name == "connect"] == [Tone.BAD, Tone.GOOD]
    assert stages[-1].tone is Tone.WARNING and "Not every mail host" in stages[-1].text


def test_no_more_hosts_than_four(sink, authority):
    zone = {("far.test", "MX"): [Mx(n, f"h{n}.far.test") for n in range(8)]}
    zone |= {(f"h{n}.far.test", "A"): ["127.0.0.1"] for n in range(8)}
    stages = run(sink, authority, zone=zone)
    assert sink.connections == 4 and "4 more mail hosts were not asked" in stages[-2].text


def test_a_host_that_says_nothing_costs_a_bounded_time(sink, authority):
    sink.behaviour = Behaviour(raw=lambda sock: sock.recv(1))
    stages = run(sink, authority, total_seconds=0.5)
    assert "gave no reply in time" in find(stages, "greeting").text and stages[-1].tone is Tone.WARNING


def test_a_route_is_told_and_followed(sink, authority):
    route = RouteFacts("*", "127.0.0.1", sink.port, Security.OPPORTUNISTIC)
    stages = run(sink, authority, "bob@elsewhere.test", routes=[route], allowed=())
    assert stages[0].name == "route" and "A route of this host" in stages[0].text
    assert stages[-1].tone is Tone.GOOD


def test_stages_come_as_they_happen(sink, authority):
    """The greeting is held back until the connection was told."""
    seen = []
    held = threading.Event()

    def greet(sock):
        assert held.wait(20)
        sock.sendall(b"554 closed\r\n")

    sink.behaviour = Behaviour(raw=greet)
    resolver = ZoneResolver({("far.test", "MX"): [Mx(10, "mx.far.test")], ("mx.far.test", "A"): ["127.0.0.1"]})

    async def gather():
        policy = PublishedPolicy(resolver, StsPolicies(resolver, NoMemory(), None), validates=None)
        tools = Tools(resolver, policy, "mx.suite.test", "", set(), LOOPBACK, port=sink.port)
        async for stage in probe_delivery("bob@far.test", tools):
            seen.append(stage.name)
            if stage.name == "connect":
                held.set()

    asyncio.run(gather())
    assert seen[-3:] == ["connect", "greeting", "result"]


def test_leaving_amid_a_test_closes_the_connection(sink, authority):
    resolver = ZoneResolver({("far.test", "MX"): [Mx(10, "mx.far.test")], ("mx.far.test", "A"): ["127.0.0.1"]})

    async def leave():
        policy = PublishedPolicy(resolver, StsPolicies(resolver, NoMemory(), None), validates=None)
        tools = Tools(resolver, policy, "mx.suite.test", "", set(), LOOPBACK, port=sink.port)
        stages = probe_delivery("bob@far.test", tools)
        async for stage in stages:
            if stage.name == "ehlo":
                break
        await stages.aclose()

    asyncio.run(leave())
    sink.wait_for(lambda: sink.open == 0)
