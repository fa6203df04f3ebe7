"""Delivery over real sockets: a sink that behaves as told, a zone that leads to it."""

import asyncio
import ssl
import subprocess
import threading
from ipaddress import ip_network

import pytest
import uvloop
from certificates import client_context, make
from smtp_sink import Behaviour, Sink
from tls_policies import Opportunistic

from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.resolver.answers import Mx, ZoneResolver
from smtpd_service.outbound import connection, courier, tls_policy, transport
from smtpd_service.outbound.courier import Courier, Letter
from smtpd_service.outbound.destinations import Destinations, NextHop
from smtpd_service.outbound.routing import RouteFacts, Security
from smtpd_service.outbound.transaction import Fate, Mail

LOOPBACK = [ip_network("127.0.0.0/8")]
BODY = b"Subject: dots\r\n\r\n.\r\n..two\r\nend\r\n"


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=sink -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.fixture
def sink():
    with Sink() as sink:
        yield sink


def letter(*to, body=BODY, finish=True, **more):
    async def chunks():
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    async def may_finish():
        return finish

    mail = Mail(Envelope("ann@us.test", **more), [EnvelopeRecipient(one) for one in to or ("bob@far.test",)], len(body))
    return Letter(mail, chunks, may_finish, lambda: None)


def zone(*addresses, preference=10):
    records = {("far.test", "MX"): [Mx(preference * n, f"mx{n}.far.test") for n in range(1, len(addresses) + 1)]}
    return records | {(f"mx{n}.far.test", "A"): [address] for n, address in enumerate(addresses, 1)}


def deliver(port, *letters, records=None, route=None, allowed=LOOPBACK, own=(), trusted=None):
    async def run():
        destinations = Destinations(ZoneResolver(records or zone("127.0.0.1")), own, allowed, port=port)
        one = Courier(
            NextHop("far.test", route),
            destinations=destinations,
            policy=Opportunistic(),
            helo="us.test",
            allowed=allowed if trusted is None else trusted,
        )
        found = [await one.deliver(each) for each in letters]
        await one.close()
        return found

    found = uvloop.run(run())
    return found[0] if len(letters) == 1 else found


def fates(deliveries):
    return [(delivery.outcome.fate, delivery.outcome.status) for delivery in deliveries]


def test_a_message_arrives_byte_for_byte(sink):
    [found] = deliver(sink.port, letter())
    assert (found.outcome.fate, found.outcome.text) == (Fate.DELIVERED, "250 2.0.0 taken")
    assert (found.endpoint.host, found.endpoint.address, found.tls) == ("mx1.far.test", "127.0.0.1", "")
    [message] = sink.messages
    assert (message.sender, message.recipients, message.data) == ("ann@us.test", ["bob@far.test"], BODY)
    assert "C: RCPT TO:<bob@far.test>" in found.dialog


def test_a_large_message_arrives_byte_for_byte(sink):
    body = b"Subject: large\r\n\r\n" + b".\r\nline of text\r\n" * 700_000
    [found] = deliver(sink.port, letter(body=body))
    assert found.outcome.fate is Fate.DELIVERED
    assert sink.messages[0].data == body


def test_tls_when_it_is_offered(sink, tls):
    sink.behaviour = Behaviour(tls=tls)
    [found] = deliver(sink.port, letter())
    assert found.outcome.fate is Fate.DELIVERED
    assert found.tls.startswith("TLSv1.3 ")
    assert sink.messages[0].tls


def test_broken_tls_leads_to_a_second_connection_in_clear(sink, tls):
    sink.behaviour = Behaviour(tls=tls, breaks_tls=True)
    [found] = deliver(sink.port, letter())
    assert found.outcome.fate is Fate.DELIVERED
    assert (found.tls, sink.connections) == ("", 2)
    assert "a new connection without TLS" in found.dialog


def test_tls_that_breaks_after_our_side_of_the_handshake_leads_there_too(sink, tls):
    """In TLS 1.3 a host refuses us only after we believe the handshake to be done: here it wants a certificate."""
    tls.verify_mode = ssl.CERT_REQUIRED
    try:
        sink.behaviour = Behaviour(tls=tls)
        [found] = deliver(sink.port, letter())
    finally:
        tls.verify_mode = ssl.CERT_NONE
    assert found.outcome.fate is Fate.DELIVERED
    assert (found.tls, sink.connections) == ("", 2)
    assert "a new connection without TLS" in found.dialog


@pytest.mark.parametrize("breaks, reason", [(True, "tls-failed"), (False, "tls-failed")])
def test_a_route_that_requires_tls_never_goes_in_clear(sink, tls, breaks, reason):
    sink.behaviour = Behaviour(tls=tls, breaks_tls=breaks)
    route = RouteFacts("*", "127.0.0.1", sink.port, Security.STARTTLS)
    [found] = deliver(0, letter(), route=route)
    assert (found.outcome.fate, found.outcome.reason) == (Fate.LATER, reason)
    assert not sink.messages
    assert not any(command.startswith("MAIL") for command in sink.commands)


@pytest.mark.parametrize("security", list(Security))
@pytest.mark.parametrize("name", ["127.0.0.1", "other.test"])
def test_a_route_s_password_goes_to_nobody_without_proof(sink, tmp_path, monkeypatch, security, name):
    """A certificate that nobody vouches for, and one of another name: whatever the route's scheme."""
    issuer, other = make(common_name="one", ca=True), make(common_name="another", ca=True)
    shown, known = make(name, issuer=issuer), other if name == "127.0.0.1" else issuer
    monkeypatch.setattr(tls_policy, "verified_context", lambda: client_context(known))
    sink.behaviour = Behaviour(extensions=("AUTH PLAIN LOGIN",), tls=shown.server_context(tmp_path))
    route = RouteFacts("*", "127.0.0.1", sink.port, security, "ann", "secret")
    [found] = deliver(0, letter(), route=route)
    assert (found.outcome.fate, found.outcome.reason) == (Fate.LATER, "tls-failed")
    if security is not Security.IMPLICIT:
        assert "name the host in the route as its certificate does" in found.outcome.text
        assert "certificate" in found.outcome.text.partition(". The route")[0].lower()
    assert not sink.messages and not any("AUTH" in command for command in sink.commands)


def test_a_route_s_password_is_not_sent_in_clear_or_told(sink, tmp_path, monkeypatch):
    route = RouteFacts("*", "127.0.0.1", sink.port, Security.OPPORTUNISTIC, "ann", "secret")
    sink.behaviour = Behaviour(extensions=("AUTH PLAIN",))
    [found] = deliver(0, letter(), route=route)
    assert found.outcome.reason == "auth-needs-tls" and "take user name and password out" in found.outcome.text
    authority = make(common_name="known", ca=True)
    monkeypatch.setattr(tls_policy, "verified_context", lambda: client_context(authority))
    host = make("127.0.0.1", issuer=authority)
    sink.behaviour = Behaviour(extensions=("AUTH PLAIN",), tls=host.server_context(tmp_path))
    [found] = deliver(0, letter(), route=route)
    assert found.outcome.fate is Fate.DELIVERED
    assert "AUTH PLAIN AGFubgBzZWNyZXQ=" in sink.commands
    assert "AGFubgBzZWNyZXQ" not in found.dialog


@pytest.mark.parametrize(
    "behaviour, expected",
    [
        (Behaviour(greeting="554 5.7.1 go away"), [(Fate.LATER, "4.7.1")] * 2),
        (Behaviour(greeting=None), [(Fate.LATER, "4.4.2")] * 2),
        (Behaviour(sender=lambda _: "550 5.7.1 no"), [(Fate.NEVER, "5.7.1")] * 2),
        (Behaviour(recipient=lambda _: None), [(Fate.LATER, "4.4.2")] * 2),
        (Behaviour(final=lambda _: "451 4.3.0 later"), [(Fate.LATER, "4.3.0")] * 2),
        (Behaviour(final=lambda _: "554 5.6.0 spam"), [(Fate.NEVER, "5.6.0")] * 2),
        (Behaviour(final=lambda _: None), [(Fate.UNKNOWN, "4.4.2")] * 2),
        (Behaviour(extensions=()), [(Fate.DELIVERED, "2.0.0")] * 2),
        (
            Behaviour(recipient=lambda to: "250 ok" if to.startswith("bob") else "550 5.1.1 who?"),
            [(Fate.DELIVERED, "2.0.0"), (Fate.NEVER, "5.1.1")],
        ),
        (Behaviour(raw=lambda sock: sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")), [(Fate.LATER, "4.4.2")] * 2),
        (Behaviour(raw=lambda sock: sock.sendall(b"220-a\r\n" * 10_000)), [(Fate.LATER, "4.5.0")] * 2),
        (Behaviour(raw=lambda sock: sock.sendall(b"220-a\r\n354 b\r\n")), [(Fate.LATER, "4.0.0")] * 2),
    ],
)
def test_what_a_host_may_do(sink, behaviour, expected):
    sink.behaviour = behaviour
    found = deliver(sink.port, letter("bob@far.test", "cy@far.test"))
    assert fates(found) == expected


def test_a_host_that_gets_out_of_step_is_asked_one_by_one_over_a_new_connection(sink):
    """A text behind each reply: harmless where one reply is awaited, not where three are."""
    sink.behaviour = Behaviour(sender=lambda _: "250 ok\r\nwell", recipient=lambda _: "250 ok\r\nhm")
    both = deliver(sink.port, letter("bob@far.test", "cy@far.test"), letter())
    assert [fates(found) for found in both] == [[(Fate.DELIVERED, "2.0.0")] * 2, [(Fate.DELIVERED, "2.0.0")]]
    assert (sink.connections, len(sink.messages)) == (2, 2)


def test_a_final_dot_that_is_answered_twice(sink):
    """At once, or while the next message is under way: what is said then is never taken for that one's."""
    for final in ("250 2.0.0 taken\r\n250 2.0.0 taken", "250 2.0.0 taken\r\n\r\n"):
        before = len(sink.messages)
        sink.behaviour = Behaviour(
            final=lambda _, final=final: final,
            recipient=lambda to: "550 5.1.1 no" if to.startswith("bad") else "250 ok",
        )
        found = deliver(sink.port, letter(), letter("bad@far.test", "good@far.test"))
        assert [fates(each) for each in found] == [
            [(Fate.DELIVERED, "2.0.0")],
            [(Fate.NEVER, "5.1.1"), (Fate.DELIVERED, "2.0.0")],
        ]
        assert len(sink.messages) == before + 2


def test_a_final_dot_that_is_answered_again_when_the_next_message_is_under_way(sink):
    """Its second reply stands in front of those to the next envelope, each of which is then taken for another's."""
    for extensions in (("PIPELINING",), ()):
        begun, replies = len(sink.messages), iter(("250 2.1.0 ok", "250 Ok abc\r\n250 2.1.0 ok"))
        sink.behaviour = Behaviour(
            extensions=extensions,
            sender=lambda _, replies=replies: next(replies, "250 2.1.0 ok"),
            recipient=lambda to: "550 5.1.1 no" if to.startswith("bad") else "250 2.1.5 ok",
        )
        found = deliver(sink.port, letter(), letter("bad@far.test", "good@far.test"))
        assert fates(found[1]) == [(Fate.NEVER, "5.1.1"), (Fate.DELIVERED, "2.0.0")]
        taken = [message.recipients for message in sink.messages[begun:]]
        assert taken == [["bob@far.test"], ["good@far.test"]]


def test_after_the_final_dot_no_other_host_is_tried(sink):
    sink.behaviour = Behaviour(final=lambda _: None)
    [found] = deliver(sink.port, letter(), records=zone("127.0.0.1", "127.0.0.1"))
    assert found.outcome.fate is Fate.UNKNOWN
    assert "it may have been delivered" in found.dialog
    assert sink.connections == 1


def test_the_next_host_is_tried_for_those_who_could_not_be_served(sink):
    seen = []

    def recipient(to):
        seen.append(to)
        return "450 4.2.1 busy" if to == "bob@far.test" and seen.count(to) == 1 else "250 ok"

    sink.behaviour = Behaviour(recipient=recipient)
    found = deliver(sink.port, letter("bob@far.test", "cy@far.test"), records=zone("127.0.0.1", "127.0.0.1"))
    assert fates(found) == [(Fate.DELIVERED, "2.0.0")] * 2
    assert [message.recipients for message in sink.messages] == [["cy@far.test"], ["bob@far.test"]]


def test_a_dead_host_is_passed_over(sink):
    [found] = deliver(sink.port, letter(), records=zone("127.0.0.66", "127.0.0.1"))
    assert found.outcome.fate is Fate.DELIVERED
    assert "No connection to mx1.far.test [127.0.0.66]" in found.dialog


def test_nobody_answers():
    with Sink() as gone:
        port = gone.port
    [found] = deliver(port, letter())
    assert (found.outcome.fate, found.outcome.reason) == (Fate.LATER, "no-connection")


def test_a_host_that_says_nothing_is_left_in_time(sink, monkeypatch):
    from smtpd_service.outbound.smtp_client import SmtpClient

    monkeypatch.setattr(SmtpClient, "timeout_seconds", 0.2)
    sink.behaviour = Behaviour(raw=lambda sock: sock.recv(1))
    [found] = deliver(sink.port, letter())
    assert (found.outcome.fate, found.outcome.reason) == (Fate.LATER, "connection-lost")
    assert "gave no reply in time" in found.outcome.text


def test_a_host_that_never_ends_its_reply_is_left_in_time(sink, monkeypatch):
    """A reply has its time as a whole: an octet now and then does not buy more."""
    from smtpd_service.outbound.smtp_client import SmtpClient

    monkeypatch.setattr(SmtpClient, "timeout_seconds", 0.3)
    left, lines = threading.Event(), []

    def dawdle(sock):
        while len(lines) < 150 and not left.wait(0.05):
            sock.sendall(b"220-wait\r\n")
            lines.append(1)

    sink.behaviour = Behaviour(raw=dawdle)
    [found] = deliver(sink.port, letter())
    left.set()
    assert (found.outcome.fate, found.outcome.reason) == (Fate.LATER, "connection-lost")
    assert len(lines) < 100


def test_a_host_that_answers_slowly_each_time_is_left_in_time(sink, monkeypatch):
    """Each reply has its time, and all of an envelope's together have theirs."""
    monkeypatch.setattr(transport, "REPLIES_SECONDS", 0.4)
    left, asked = threading.Event(), []

    def recipient(address):
        asked.append(address)
        left.wait(0.05)
        return "250 ok"

    sink.behaviour = Behaviour(recipient=recipient, extensions=())
    found = deliver(sink.port, letter(*(f"r{number}@far.test" for number in range(90))))
    left.set()
    assert {(one.outcome.fate, one.outcome.reason) for one in found} == {(Fate.LATER, "connection-lost")}
    assert len(asked) < 90 and not sink.messages


def test_a_host_that_takes_a_message_in_small_bites_is_left_in_time(sink, monkeypatch):
    monkeypatch.setattr(transport, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(transport, "SLOWEST_OCTETS_A_SECOND", 200_000_000)
    given_up = threading.Event()
    sink.behaviour = Behaviour(on_data=lambda: given_up.wait(30))
    [found] = deliver(sink.port, letter(body=b"x" * 20_000_000))
    given_up.set()
    assert (found.outcome.fate, found.outcome.reason) == (Fate.LATER, "connection-lost")


def test_a_host_that_takes_nothing_is_left_in_time(sink, monkeypatch):
    from smtpd_service.outbound.smtp_client import SmtpClient

    monkeypatch.setattr(SmtpClient, "timeout_seconds", 0.5)
    given_up = threading.Event()
    sink.behaviour = Behaviour(on_data=lambda: given_up.wait(30))
    [found] = deliver(sink.port, letter(body=b"x" * 20_000_000))
    given_up.set()
    assert (found.outcome.fate, found.outcome.reason) == (Fate.LATER, "connection-lost")


def test_without_enough_lease_there_is_no_final_dot(sink):
    [found] = deliver(sink.port, letter(finish=False))
    assert (found.outcome.fate, found.outcome.reason) == (Fate.LATER, "lease-too-short")
    sink.wait_for(lambda: sink.open == 0)
    assert sink.offered == 0


def test_several_messages_share_a_connection(sink):
    found = deliver(sink.port, letter(), letter("cy@far.test"), letter())
    assert [fates(each) for each in found] == [[(Fate.DELIVERED, "2.0.0")]] * 3
    assert (len(sink.messages), sink.connections) == (3, 1)
    assert sink.commands[-1] == "QUIT"


def test_a_connection_is_left_after_some_messages(sink, monkeypatch):
    monkeypatch.setattr(courier, "MESSAGES_PER_SESSION", 2)
    deliver(sink.port, letter(), letter(), letter())
    assert (len(sink.messages), sink.connections) == (3, 2)


def test_a_kept_connection_that_the_host_has_closed_is_made_anew(sink):
    def final(count):
        return "250 2.0.0 taken"

    def sender(address):
        return None if len(sink.messages) == 1 and sink.connections == 1 else "250 ok"

    sink.behaviour = Behaviour(final=final, sender=sender)
    found = deliver(sink.port, letter(), letter())
    assert [fates(each) for each in found] == [[(Fate.DELIVERED, "2.0.0")]] * 2
    assert sink.connections == 2


def test_who_is_put_off_over_a_kept_connection_is_not_asked_for_again_over_a_new_one(sink):
    """Nor does it keep the destination from others, or other hosts from being asked."""
    put_off = "later@far.test"
    sink.behaviour = Behaviour(recipient=lambda to: "451 4.7.1 come again" if to == put_off else "250 ok")
    found = deliver(sink.port, letter(), letter("bob@far.test", put_off), letter())
    assert [fates(each)[-1] for each in found] == [
        (Fate.DELIVERED, "2.0.0"),
        (Fate.LATER, "4.7.1"),
        (Fate.DELIVERED, "2.0.0"),
    ]
    assert sink.commands.count(f"RCPT TO:<{put_off}>") == 1
    with Sink(host="127.0.0.2", port=sink.port) as second:
        records = zone("127.0.0.1", "127.0.0.2")
        _, [found] = deliver(sink.port, letter(), letter(put_off), records=records)
        assert (found.outcome.fate, found.endpoint.host) == (Fate.DELIVERED, "mx2.far.test")
        assert "451 4.7.1 come again" in found.dialog
        assert second.connections == 1


def test_a_host_that_tires_of_a_connection_is_asked_over_a_new_one(sink):
    sink.behaviour = Behaviour(
        sender=lambda address: "452 4.5.3 enough" if sink.messages and sink.connections == 1 else "250 ok"
    )
    found = deliver(sink.port, letter(), letter())
    assert [fates(each) for each in found] == [[(Fate.DELIVERED, "2.0.0")]] * 2
    assert sink.connections == 2


@pytest.mark.parametrize("code", ["452 4.5.3", "552 5.5.3"])
def test_too_many_recipients_go_on_in_the_next_transaction(sink, code):
    taken = []

    def recipient(to):
        taken.append(to)
        return f"{code} too many" if len(taken) in (3, 4, 5) else "250 ok"

    sink.behaviour = Behaviour(recipient=recipient)
    to = [f"r{n}@far.test" for n in range(5)]
    found = deliver(sink.port, letter(*to))
    assert fates(found) == [(Fate.DELIVERED, "2.0.0")] * 5
    assert [message.recipients for message in sink.messages] == [to[:2], to[2:]]
    assert sink.connections == 1


def test_more_than_a_hundred_recipients_are_split(sink):
    to = [f"r{n}@far.test" for n in range(250)]
    assert fates(deliver(sink.port, letter(*to))) == [(Fate.DELIVERED, "2.0.0")] * 250
    assert [len(message.recipients) for message in sink.messages] == [100, 100, 50]


def test_strangers_dns_does_not_lead_into_our_network(sink):
    [found] = deliver(sink.port, letter(), allowed=[])
    assert (found.outcome.fate, found.outcome.reason) == (Fate.NEVER, "private-host")
    assert sink.connections == 0


@pytest.mark.parametrize("better", ["127.0.0.66", "127.0.0.2"])
def test_our_own_address_among_lesser_hosts_is_no_reason_to_bounce(sink, better):
    """RFC 5321 §5.1: hosts no better than ourselves are left out; the better ones, down or busy now, come back."""
    others = [ip_network(f"{address}/32") for address in ("127.0.0.66", "127.0.0.2")]
    with Sink(Behaviour(recipient=lambda _: "450 4.2.0 come back"), "127.0.0.2", sink.port):
        [found] = deliver(sink.port, letter(), records=zone(better, "127.0.0.1"), trusted=others)
    assert found.outcome.fate is Fate.LATER
    assert "this host itself" in found.dialog
    [found] = deliver(sink.port, letter(), trusted=others)
    assert (found.outcome.fate, found.outcome.reason) == (Fate.NEVER, "mail-loop")


def test_a_route_is_trusted_as_written(sink):
    route = RouteFacts("*", "127.0.0.1", sink.port, Security.OPPORTUNISTIC)
    [found] = deliver(0, letter(), route=route, allowed=[])
    assert found.outcome.fate is Fate.DELIVERED


@pytest.mark.parametrize(
    "records, own, reason, fate",
    [
        ({("far.test", "MX"): [Mx(0, "")]}, (), "null-mx", Fate.NEVER),
        ({}, (), "no-such-domain", Fate.NEVER),
        (zone("127.0.0.1"), {"mx1.far.test"}, "mail-loop", Fate.NEVER),
        ({("far.test", "MX"): [Mx(1, "mx.far.test")]}, (), "no-address", Fate.NEVER),
    ],
)
def test_what_the_dns_may_say(sink, records, own, reason, fate):
    [found] = deliver(sink.port, letter(), records=records or {("x", "A"): ["192.0.2.1"]}, own=own)
    assert (found.outcome.fate, found.outcome.reason) == (fate, reason)


def test_a_connection_that_stalls_is_given_up(monkeypatch):
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.1)

    async def never(*_args, **_how):
        await asyncio.Event().wait()

    async def run():
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "create_connection", never)
        await connection.connect("192.0.2.1", 25)

    with pytest.raises(TimeoutError):
        asyncio.run(run())
