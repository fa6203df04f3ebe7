"""What records lead to, met on loopback under real TLS: our ports, our MTA-STS policy, the files of mail programs."""

import asyncio
import dataclasses
import socket
import threading
from ipaddress import ip_network

import pytest
from certificates import client_context, make
from django.test import Client
from django.utils import timezone

from mailsuite.mailauth.dns_record import Purpose, Record
from mailsuite.mailauth.mtasts import Mode, Policy, render_policy
from mailsuite.provisioning import services
from mailsuite.records import checking
from mailsuite.records.checking import check_domain, check_due
from mailsuite.records.live import Memory, Reach, look_live
from mailsuite.records.live import look as live_look
from mailsuite.records.models import DnsCheck, Observation
from mailsuite.records.planning import Setup
from mailsuite.records.reporting import exit_status, next_step
from mailsuite.records.seen import Finding, Side, Verdict
from mailsuite.resolver.answers import Answer, Status, ZoneResolver
from mailsuite.transport_security.keys import read_keys

D, H = "example.org", "mx.host.test"
NAMES = (H, f"mta-sts.{D}", f"autoconfig.{D}", f"autodiscover.{D}")
AUTHORITY = make(common_name="authority", ca=True)
LOOPBACK = (ip_network("127.0.0.0/8"),)
POLICY = Policy(Mode.TESTING, (H,), 604800)
SRV = {
    "SUBMISSIONS": ("_submissions._tcp", 465),
    "SUBMISSION": ("_submission._tcp", 587),
    "IMAPS": ("_imaps._tcp", 993),
    "IMAP": ("_imap._tcp", 143),
    "POP3S": ("_pop3s._tcp", 995),
    "POP3": ("_pop3._tcp", 110),
}
SMTP_HELLO = [b"220-mx.host.test waits\r\n220 ESMTP\r\n", b"250-mx.host.test\r\n250 STARTTLS\r\n"]
DIALOGS = {
    "SUBMISSIONS": ("tls", SMTP_HELLO[:1]),
    "SUBMISSION": (None, [*SMTP_HELLO, b"220 go on\r\n"]),
    "IMAPS": ("tls", [b"* OK [CAPABILITY IMAP4rev2] ready\r\n"]),
    "IMAP": (None, [b"* OK ready\r\n", b"a OK go on\r\n"]),
    "POP3S": ("tls", [b"+OK ready\r\n"]),
    "POP3": (None, [b"+OK ready\r\n", b"+OK go on\r\n"]),
}


BYE = {b"QUIT": b"221 bye\r\n", b"b LOGOUT": b"* BYE\r\n"}


class Server:
    """Says the texts one after the other, a line of the client's between two; `first` "tls" begins with TLS, else TLS
    begins after the last. Then it answers each request or line with what `answers` has for a part of it."""

    def __init__(self, context, first="tls", says=(), answers=None):
        self.context, self.first, self.says, self.answers = context, first, says, answers or BYE
        self.requests, self.connections = [], 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock):
        sock.settimeout(20)
        try:
            if self.first == "tls":
                sock = self.context.wrap_socket(sock, server_side=True)
            for text in self.says:
                sock.sendall(text)
                if text is not self.says[-1]:
                    sock.recv(4096)
            if self.first is None:
                sock.recv(0)
                sock = self.context.wrap_socket(sock, server_side=True)
            self._answer(sock)
            while sock.recv(4096):
                continue
        except OSError:
            pass
        finally:
            sock.close()

    def _answer(self, sock):
        request = b""
        while more := sock.recv(4096):
            request += more
            for part, octets in self.answers.items():
                if part in request:
                    self.requests.append(request)
                    sock.sendall(octets)
                    return


@pytest.fixture
def serve(tmp_path):
    """`serve("IMAPS")` is a server that speaks as ours does, with a certificate for all of the names."""
    servers = []

    def start(*names, issuer=AUTHORITY, first="tls", says=(), answers=None, pair=None, **how):
        pair = pair or make(*(names or NAMES), issuer=issuer, **how)
        context = pair.server_context(tmp_path, f"server{len(servers)}")
        servers.append(Server(context, first, says, answers))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def http(body, status="200 OK", content_type="text/xml"):
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def autoconfig(*hostnames, domain=D):
    servers = "".join(f"<incomingServer type='imap'><hostname>{one}</hostname></incomingServer>" for one in hostnames)
    return f"<clientConfig><emailProvider id='{domain}'>{servers}</emailProvider></clientConfig>".encode()


SETUP = Setup(D, H, ("127.0.0.1",), offered=frozenset(SRV), policy=POLICY)
ZONE = {(name, "A"): ["127.0.0.1"] for name in NAMES}


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def record(kind, name, value):
    return Record(kind, name, value, "", False, Purpose.CLIENTS)


def srv(listener):
    label, port = SRV[listener]
    return record("SRV", f"{label}.{D}", f"0 1 {port} {H}.")


def met(one, ports, *, setup=SETUP, verdict=Verdict.OK, zone=ZONE, allowed=LOOPBACK, memory=None, mx=(f"10 {H}.",)):
    """What becomes of a finding for the record; port P is at `ports[P]`."""
    side = Side("ok", (one.value,), 300, verdict)
    mail_hosts = Finding(record("MX", D, ""), Verdict.OK, "", Side("ok", mx, 300, Verdict.OK))
    reach = Reach(ZoneResolver(zone), allowed, client_context(AUTHORITY), ports, memory or Memory())
    findings = [Finding(one, verdict, "as before", side, side), mail_hosts]
    return asyncio.run(look_live(setup, findings, reach))[0]


@pytest.mark.parametrize("listener", SRV)
def test_services_that_answer_are_well(serve, listener):
    first, says = DIALOGS[listener]
    server = serve(first=first, says=says)
    found = met(srv(listener), {SRV[listener][1]: server.port})
    assert (found.verdict, found.live.verdict) == (Verdict.OK, Verdict.OK), found.live
    assert "with a good certificate" in found.live.values[0]
    # It takes leave, rather than to break off.
    assert server.requests


@pytest.mark.parametrize(
    ("listener", "how", "words"),
    [
        ("IMAPS", {"says": [b"220 mail\r\n"]}, "is no IMAP server"),
        ("SUBMISSIONS", {"says": [b"554 go away\r\n"]}, "is no SMTP server"),
        ("POP3S", {"first": None, "says": [b"+OK no TLS\r\n"]}, "speaks no TLS"),
        ("IMAP", {"first": None, "says": [b"* OK ready\r\n", b"a NO not today\r\n"]}, "offers no STARTTLS"),
        ("SUBMISSION", {"first": None, "says": [*SMTP_HELLO, b"502 what?\r\n"]}, "offers no STARTTLS"),
        ("IMAPS", {"names": ["else.test"]}, f"of {H} does not name it"),
        ("IMAP", {"first": None, "says": DIALOGS["IMAP"][1], "names": [f"autoconfig.{D}"]}, f"of {H} does not name"),
        ("IMAPS", {"days": (-9, -1)}, "has run out"),
        ("IMAPS", {"issuer": None}, "signed itself"),
        ("IMAPS", {"issuer": make(common_name="between", ca=True, issuer=AUTHORITY), "chain": ()}, "whole chain"),
    ],
)  # fmt: skip
def test_services_that_do_not_serve_are_told_why(serve, listener, how, words):
    names, chain = how.pop("names", NAMES), how.pop("chain", None)
    how = {"first": "tls", "says": DIALOGS["IMAPS"][1]} | how
    if chain is not None:
        how["pair"] = make(*names, issuer=how.pop("issuer"), sends_issuer=False)
    found = met(srv(listener), {SRV[listener][1]: serve(*names, **how).port})
    assert (found.verdict, found.live.verdict) == (Verdict.FAILS, Verdict.FAILS)
    assert words in found.sentence and found.is_wrong and exit_status([found]) == 0


def test_a_closed_port_is_told():
    found = met(srv("IMAPS"), {993: closed_port()})
    assert found.verdict is Verdict.FAILS
    assert found.sentence == f"Nothing answers at {H} port 993: open it in the firewall, or set MAILSUITE_LISTEN_IMAPS."


@pytest.mark.parametrize(
    "zone",
    [
        {},
        {(H, "A"): Answer(Status.TEMPERROR)},
        {(H, "A"): ["10.0.0.1"]},
        {(H, "A"): ["169.254.169.254"]},
        {(H, "AAAA"): ["::1"]},
    ],
)
def test_where_nothing_may_be_asked_nothing_is_wrong(zone):
    found = met(srv("IMAPS"), {993: closed_port()}, zone=zone)
    assert (found.verdict, found.sentence, found.live.verdict) == (Verdict.OK, "as before", Verdict.UNKNOWN)


def test_loopback_is_asked_only_where_that_is_allowed(serve):
    server = serve(says=DIALOGS["IMAPS"][1])
    assert met(srv("IMAPS"), {993: server.port}, allowed=()).live.verdict is Verdict.UNKNOWN
    assert server.connections == 0


def test_silence_is_not_held_against_anybody_and_waited_for_once(serve, monkeypatch):
    monkeypatch.setattr("mailsuite.records.live.services.ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(live_look, "SECONDS", 5.0)
    mute, memory = serve(first="mute", says=()), Memory()
    ports = {143: mute.port}
    for _ in range(3):
        found = met(srv("IMAP"), ports, memory=memory)
        assert (found.verdict, found.live.status, found.live.verdict) == (Verdict.OK, "temperror", Verdict.UNKNOWN)
    assert mute.connections == 1


def test_one_look_has_one_deadline(serve, monkeypatch):
    monkeypatch.setattr(live_look, "SECONDS", 0.3)
    mute = serve(first="mute", says=())
    found = met(srv("IMAP"), {143: mute.port})
    assert (found.verdict, found.live.values) == (Verdict.OK, ("no answer in time",))


def test_a_bug_stops_no_look(monkeypatch, caplog):
    async def broken(*_):
        raise RuntimeError("oops")

    monkeypatch.setattr(live_look, "meet_service", broken)
    assert met(srv("IMAPS"), {}).live.verdict is Verdict.UNKNOWN
    assert "oops" in caplog.text


@pytest.mark.parametrize("verdict", [Verdict.MISSING, Verdict.DIFFERS, Verdict.UNKNOWN])
def test_nothing_is_asked_where_dns_does_not_say_so(serve, verdict):
    server = serve(says=DIALOGS["IMAPS"][1])
    for one in (srv("IMAPS"), record("CNAME", f"mta-sts.{D}", f"{H}."), record("CNAME", f"autoconfig.{D}", f"{H}.")):
        found = met(one, {993: server.port, 443: server.port}, verdict=verdict)
        assert (found.verdict, found.live) == (verdict, None)
    assert met(record("SRV", f"_imaps._tcp.{D}", "0 0 0 ."), {993: server.port}).live is None
    assert server.connections == 0


STS = record("CNAME", f"mta-sts.{D}", f"{H}.")


def policy(**changes):
    return render_policy(dataclasses.replace(POLICY, **changes))


@pytest.mark.parametrize(
    ("answer", "verdict", "words"),
    [
        (http(policy(), content_type="text/plain"), "ok", "as before"),
        (http(policy(mode=Mode.ENFORCE), content_type="text/plain"), "fails", "another policy"),
        (http(policy(mx=("old.test",)), content_type="text/plain"), "fails", "another policy"),
        (http(policy(max_age=1), content_type="text/plain"), "fails", "max_age 604800"),
        (http(policy(), content_type="text/html"), "fails", "Content-Type is text/html"),
        (http(b"", "301 Moved", "text/plain"), "fails", "sends elsewhere"),
        (http(b"", "404 Not Found", "text/plain"), "fails", "answers 404"),
        (http(b"version: STSv1\n", content_type="text/plain"), "fails", "can't be used"),
        (b"nonsense\r\n\r\n", "fails", "no proper answer"),
    ],
)
def test_the_policy_is_fetched_and_compared(serve, answer, verdict, words):
    server = serve(answers={b"GET /.well-known/mta-sts.txt": answer})
    found = met(STS, {443: server.port})
    assert (found.verdict, words in found.sentence) == (verdict, True), found.sentence
    assert f"Host: mta-sts.{D}".encode() in server.requests[0]


def test_a_mail_host_that_the_policy_shuts_out_is_told(serve):
    server = serve(answers={b"GET": http(policy(), content_type="text/plain")})
    found = met(STS, {443: server.port}, mx=(f"10 {H}.", "20 backup.test."))
    assert found.verdict is Verdict.WARN and "does not name backup.test" in found.sentence


@pytest.mark.parametrize("names", [[H], [f"autoconfig.{D}"]])
def test_a_certificate_without_the_policy_s_name_is_told(serve, names):
    found = met(STS, {443: serve(*names).port})
    assert found.verdict is Verdict.FAILS and f"certbot: -d mta-sts.{D}" in found.sentence


def test_no_policy_behind_a_closed_port_or_without_a_way():
    assert "port 443" in met(STS, {443: closed_port()}).sentence
    assert met(STS, {443: closed_port()}, zone={}).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("label", "answer", "verdict", "words"),
    [
        ("autoconfig", http(autoconfig(H, H)), "ok", "as before"),
        ("autoconfig", http(autoconfig(H, "127.0.0.1")), "warn", "to 127.0.0.1, not to"),
        ("autoconfig", http(b"<html><p>hello</p></html>"), "fails", "no settings"),
        ("autoconfig", http(b"<clientConfig>"), "fails", "no settings"),
        ("autoconfig", http(b"<!DOCTYPE x [<!ENTITY a 'b'>]><x><hostname>&a;</hostname></x>"), "fails", "no settings"),
        ("autoconfig", http(b"x" * 70_000), "fails", "no proper answer"),
        ("autoconfig", http(b"", "404 Not Found"), "fails", "answers 404"),
        ("autoconfig", b"HTTP/1.1 ok\r\n\r\n", "fails", "no proper answer"),
        ("autodiscover", http(b"<a><Server>mx.host.test</Server></a>"), "ok", "as before"),
        ("autodiscover", http(b"<a><ErrorCode>601</ErrorCode></a>"), "fails", "no settings"),
        ("autodiscover", http(b"<a><Server>old.test</Server></a>"), "warn", "to old.test, not to"),
    ],
)
def test_files_of_mail_programs(serve, label, answer, verdict, words):
    server = serve(answers={b"\r\n\r\n": answer} if label == "autoconfig" else {b"</Autodiscover>": answer})
    found = met(record("CNAME", f"{label}.{D}", f"{H}."), {443: server.port})
    assert (found.verdict, words in found.sentence) == (verdict, True), found.sentence
    wanted = {
        "autoconfig": f"GET /mail/config-v1.1.xml?emailaddress=postmaster%40{D} HTTP/1.1\r\nHost: autoconfig.{D}\r\n",
        "autodiscover": f"POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: autodiscover.{D}\r\n",
    }
    assert server.requests[0].startswith(wanted[label].encode())


@pytest.mark.parametrize(("label", "verdict"), [("autoconfig", "warn"), ("autodiscover", "fails")])
def test_thunderbird_does_without_the_certificate_and_outlook_does_not(serve, label, verdict):
    found = met(record("CNAME", f"{label}.{D}", f"{H}."), {443: serve(H).port})
    assert found.verdict == verdict and f"of {label}.{D} does not name it" in found.sentence


@pytest.mark.parametrize(("own", "verdict"), [(True, "ok"), (False, "fails")])
def test_the_key_at_port_25_is_the_one_that_tlsa_names(serve, tmp_path, settings, own, verdict):
    pair = make(H, issuer=None)
    certificate, key = pair.write(tmp_path)
    settings.MAILSUITE = dataclasses.replace(settings.MAILSUITE, tls_cert=certificate, tls_key=key)
    one = record("TLSA", f"_25._tcp.{H}", f"3 1 1 {read_keys(settings.MAILSUITE).current}")
    server = serve(first=None, says=DIALOGS["SUBMISSION"][1], pair=pair if own else make(H))
    found = met(one, {25: server.port}, setup=dataclasses.replace(SETUP, tlsa=(one,)))
    assert found.verdict == verdict, found
    assert own or "another key at port 25" in found.sentence


def test_what_fails_comes_before_what_merely_could_be_better():
    failing = Finding(srv("IMAPS"), Verdict.FAILS, "mend it")
    assert next_step([Finding(srv("IMAP"), Verdict.WARN, "polish"), failing]) == "mend it"


@pytest.mark.usefixtures("same_connection")
class TestTogether:
    """The look of a domain as the worker and the page have it, with the real answers of our own web service."""

    @pytest.fixture
    def open_site(self, site, server, publish, domain, serve, monkeypatch):
        """Everything is published and answers, at addresses that are allowed; returns the web server's stand-in."""
        addresses = {"public_addresses": ("127.0.0.1",), "check_services": True}
        site.MAILSUITE = dataclasses.replace(site.MAILSUITE, **addresses)
        site.MAILSUITE = dataclasses.replace(
            site.MAILSUITE,
            listeners=site.MAILSUITE.listeners | {name: (("0.0.0.0", port),) for name, (_, port) in SRV.items()},
        )
        publish()
        web = Client()
        config = web.get(f"/mail/config-v1.1.xml?emailaddress=x%40{D}", headers={"host": f"autoconfig.{D}"})
        sts = web.get("/.well-known/mta-sts.txt", headers={"host": f"mta-sts.{D}"})
        body = f"<Autodiscover><Request><EMailAddress>x@{D}</EMailAddress></Request></Autodiscover>"
        discover = web.post("/autodiscover/autodiscover.xml", body, "text/xml", headers={"host": f"autodiscover.{D}"})
        answers = {
            b"config-v1.1.xml": http(config.content),
            b"mta-sts.txt": http(sts.content, content_type=sts["Content-Type"]),
            b"</Autodiscover>": http(discover.content),
        }
        ports = {443: serve(answers=answers)}
        for name, (first, says) in DIALOGS.items():
            ports[SRV[name][1]] = serve(first=first, says=says)
        monkeypatch.setattr(checking, "TRUST", client_context(AUTHORITY))
        monkeypatch.setattr(checking, "PORTS", {port: one.port for port, one in ports.items()} | {25: closed_port()})
        return ports

    def test_what_answers_is_well_and_noted_once(self, open_site, domain):
        report = check_domain(domain)
        lives = {one.record.name.split(".")[0]: one.live.verdict for one in report.findings if one.live}
        tlsa = {"_25": Verdict.FAILS} if "_25" in lives else {}
        assert lives == dict.fromkeys([*(label.split(".")[0] for label, _ in SRV.values()), "mta-sts", "autoconfig",
                                       "autodiscover"], Verdict.OK) | tlsa  # fmt: skip
        assert exit_status(report.findings) == 0
        count = Observation.objects.filter(source="live").count()
        assert count >= 9
        check_domain(domain)
        assert Observation.objects.filter(source="live").count() == count

    def test_a_service_that_ends_is_drift(self, open_site, domain):
        check_domain(domain)
        open_site[993].stop()
        try:
            check_domain(domain)
        finally:
            open_site[993].stop = lambda: None
        check = DnsCheck.objects.get()
        assert check.worse_since and "Nothing answers at mx.host.test port 993" in check.worse_text
        latest = Observation.objects.filter(source="live", name=f"_imaps._tcp.{D}").latest("pk")
        assert (latest.verdict, latest.values) == ("fails", '["port 993 is closed"]')

    def test_domains_of_one_run_share_what_was_met(self, open_site, domain, server):
        services.add_domain("example.net", postmaster="me@remote.example", key_pairs=[])
        server.serve("example.net")
        for name in list(server.records):
            if name[0].startswith("_") and name[0].endswith(f"._tcp.{D}"):
                server.records[name[0].replace(D, "example.net"), name[1]] = server.records[name]
        assert check_due(timezone.now()) == 2
        assert open_site[993].connections == 1
