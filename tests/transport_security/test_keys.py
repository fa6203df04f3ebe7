"""The roll-over of this host's key: TLSA published ahead, seen, old answers run out, key changed (RFC 7671 §8.1)."""

import asyncio
import dataclasses
import io
from datetime import UTC, datetime, timedelta

import pytest
from certificates import make
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from dns_server import DnsServer

from mailsuite.errors import ChangeRefused
from mailsuite.mailauth.mtasts import Mode, Policy
from mailsuite.mailauth.tlsrpt import ResultType
from mailsuite.resolver.answers import Answer, Status, Tlsa, ZoneResolver
from mailsuite.supervisor.certificate import ensure_certificate
from mailsuite.transport_security import known, schedule, services, tlsa_look
from mailsuite.transport_security.checks import check_tlsa
from mailsuite.transport_security.fetching import FetchError
from mailsuite.transport_security.keys import KeyProblem, make_next_key, next_key_path, read_keys
from mailsuite.transport_security.models import DaneLook, KnownPolicy, MtaSts
from mailsuite.transport_security.validation import Validation, ValidationWatch, resolver_validates

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
GOOD = Validation(True)


@pytest.fixture
def host(database, settings, tmp_path):
    certificate, key = make("mx.example.org", "mta-sts.example.org").write(tmp_path)
    settings.MAILSUITE = dataclasses.replace(
        django_settings.MAILSUITE, hostname="mx.example.org", data=tmp_path, tls_cert=certificate, tls_key=key
    )
    return settings.MAILSUITE


def answer(*digests, secure=True, ttl=3600):
    records = tuple(Tlsa(3, 1, 1, bytes.fromhex(digest)) for digest in digests)
    return Answer(Status.OK if records else Status.NODATA, records, ttl, secure)


def look(host, *digests, at=NOW, secure=True, ttl=3600):
    return tlsa_look.note(host, tlsa_look.Seen(answer(*digests, secure=secure, ttl=ttl), GOOD), at)


def test_a_whole_roll_over(host, tmp_path):
    first = read_keys(host).current
    assert look(host, first).state == "good"
    assert "There is no next key" in tlsa_look.advise(read_keys(host), NOW).text
    request = x509.load_pem_x509_csr(make_next_key(host).read_bytes())
    keys = read_keys(host)
    assert request.is_signature_valid and keys.next != first
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mx.example.org", "mta-sts.example.org"]
    assert next_key_path(host).stat().st_mode & 0o777 == 0o600
    # Made once; a second call changes nothing.
    make_next_key(host)
    assert read_keys(host) == keys
    assert f"Publish TLSA 3 1 1 {keys.next}" in tlsa_look.advise(keys, NOW).text
    look(host, first, keys.next, at=NOW, ttl=7200)
    assert "old answers live until 2026-11-24 16:00" in tlsa_look.advise(keys, NOW).text
    # A look that misses the record begins anew.
    look(host, first, at=NOW + timedelta(hours=1))
    look(host, first, keys.next, at=NOW + timedelta(hours=2), ttl=7200)
    assert not tlsa_look.advise(keys, NOW + timedelta(hours=5)).is_safe
    assert tlsa_look.advise(keys, NOW + timedelta(hours=6)).is_safe
    # DNS that does not answer takes nothing back.
    tlsa_look.note(host, tlsa_look.Seen(Answer(Status.TEMPERROR), GOOD), NOW)
    assert tlsa_look.advise(keys, NOW + timedelta(hours=6)).is_safe
    # The certificate for the next key comes into use: both records match, then the old one may go.
    host.tls_key.write_bytes(next_key_path(host).read_bytes())
    private = load_pem_private_key(next_key_path(host).read_bytes(), None)
    make("mx.example.org", key=private).write(tmp_path)
    assert read_keys(host).current == keys.next and read_keys(host).next == ""
    assert look(host, first, keys.next).state == "good"
    assert look(host, keys.next).state == "good"
    make_next_key(host)
    assert read_keys(host).next not in ("", keys.next)


@pytest.mark.parametrize(
    ("digests", "secure", "state", "words"),
    [
        (["current"], True, "good", "matches"),
        (["other", "current"], True, "good", "matches"),
        (["current"], False, "insecure", "not signed"),
        (["other"], True, "mismatch", "hosts that go by DANE deliver nothing here"),
        (["other"], False, "mismatch", "hosts that go by DANE"),
        ([], True, "missing", "no TLSA records"),
    ],
)
def test_what_a_look_says(host, digests, secure, state, words):
    values = {"current": read_keys(host).current, "other": "ab" * 32}
    row = look(host, *(values[digest] for digest in digests), secure=secure)
    assert row.state == state and words in row.text
    found = check_tlsa(None)
    assert [one.id for one in found] == (["mailsuite.W007"] if state == "mismatch" else [])


@pytest.mark.parametrize("digests", [(), ("ab" * 32,)])
@pytest.mark.parametrize(
    ("secure", "validates", "signed"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_whether_the_zone_is_signed_is_known_without_records_too(host, digests, secure, validates, signed):
    """An answer that there are none is signed as well (RFC 4035 §3.1.3)."""
    validation = GOOD if validates else Validation(False, "x")
    assert tlsa_look.note(host, tlsa_look.Seen(answer(*digests, secure=secure), validation), NOW).is_signed is signed


def test_a_renewal_with_another_key_is_an_alarm(host, tmp_path):
    first = read_keys(host).current
    assert look(host, first).state == "good"
    make("mx.example.org").write(tmp_path)
    assert look(host, first).state == "mismatch"


def test_the_first_run_s_certificate_keeps_its_key(tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    assert ensure_certificate(certificate, key, "mx.example.org", NOW)
    before = certificate.read_bytes(), key.read_bytes()
    assert ensure_certificate(certificate, key, "mx.example.org", NOW + timedelta(days=790))
    assert certificate.read_bytes() != before[0] and key.read_bytes() == before[1]
    key.write_text("broken")
    assert ensure_certificate(certificate, key, "mx2.example.org", NOW)
    assert key.read_bytes() != before[1]


def test_a_missing_certificate_is_told(host, settings):
    settings.MAILSUITE = dataclasses.replace(host, tls_cert=host.data / "missing.pem")
    with pytest.raises(KeyProblem, match="missing.pem can't be read"):
        read_keys(settings.MAILSUITE)
    with pytest.raises(CommandError, match="can't be read"):
        call_command("certificate", "show")


@pytest.fixture
def seen(monkeypatch):
    """`seen(answer)` is what DNS says from now on."""

    def change(answer, validation=GOOD):
        async def see(resolver, hostname):
            return tlsa_look.Seen(answer, validation)

        monkeypatch.setattr(tlsa_look, "see", see)

    return change


def test_the_command(host, domain, seen):
    current, out = read_keys(host).current, io.StringIO()
    seen(answer(current), Validation(False, "the resolver does not answer"))
    call_command("certificate", "check", stdout=out)
    assert f"_25._tcp.mx.example.org. 3600 IN TLSA 3 1 1 {current}" in out.getvalue()
    assert "A TLSA record matches" in out.getvalue() and "DANE is off: the resolver" in out.getvalue()
    assert "mta-sts.example.org" in out.getvalue() and "does not name" not in out.getvalue()
    call_command("certificate", "next-key", stdout=out)
    assert f"TLSA 3 1 1 {read_keys(host).next}" in out.getvalue() and "--reuse-key" in out.getvalue()
    seen(answer("ab" * 32))
    with pytest.raises(CommandError, match="do not fit"):
        call_command("certificate", "check", stdout=out)


def test_a_host_without_a_public_name_is_told_to_have_one(host, domain, settings):
    settings.MAILSUITE = dataclasses.replace(host, hostname="localhost")
    out = io.StringIO()
    call_command("certificate", "check", stdout=out)
    assert "set MAILSUITE_HOSTNAME first" in out.getvalue()


def test_the_schedule_tells_changes(host, seen, settings):
    seen(answer(read_keys(host).current))
    assert (schedule.look_at_ourselves(NOW), schedule.look_at_ourselves(NOW)) == (1, 0)
    seen(answer("ab" * 32))
    assert schedule.look_at_ourselves(NOW) == 1
    settings.MAILSUITE = dataclasses.replace(host, hostname="localhost")
    assert schedule.look_at_ourselves(NOW) == 0 and DaneLook.objects.count() == 1


def test_who_waits_for_a_look_waits_no_longer_than_said(host, settings):
    DaneLook.objects.create(hostname=host.hostname, at=NOW, state="good")
    with DnsServer({(f"_25._tcp.{host.hostname}", "TLSA"): "silent"}) as dns:
        settings.MAILSUITE = dataclasses.replace(host, resolver=dns.address)
        with pytest.raises(TimeoutError):
            schedule.look_at_ourselves(NOW + timedelta(hours=1), 0.1)
    assert DaneLook.objects.get().at == NOW


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("root", "bogus", "is_good", "words"),
    [
        (Answer(Status.OK, ("a.root",), 9, True), Answer(Status.TEMPERROR), True, ""),
        (Answer(Status.OK, ("a.root",), 9, False), Answer(Status.TEMPERROR), False, "does not validate"),
        (Answer(Status.OK, ("a.root",), 9, True), Answer(Status.OK, ("192.0.2.1",)), False, "broken signatures pass"),
        (Answer(Status.TEMPERROR), Answer(Status.TEMPERROR), False, "does not answer"),
    ],
)
def test_whether_the_resolver_validates(root, bogus, is_good, words):
    class Resolver:
        async def query(self, name, rdtype):
            return {".": root, "dnssec-failed.org": bogus}[name]

    found = asyncio.run(resolver_validates(Resolver()))
    assert found.is_good is is_good and words in found.text


def test_a_resolver_that_was_silenced_does_not_turn_dane_off(monkeypatch):
    good, bad = (Answer(Status.OK, ("a.root",), 9, is_secure) for is_secure in (True, False))
    root = [good, Answer(Status.TEMPERROR), bad]
    asked = []

    class Resolver:
        async def query(self, name, rdtype):
            asked.append(name)
            return root[0] if name == "." else Answer(Status.TEMPERROR)

    async def ask():
        watch = ValidationWatch(Resolver())
        found = [await watch.is_good(), await watch.is_good()]
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: 1e9)
        root.pop(0)
        found += [await watch.is_good(), await watch.is_good()]
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: 2e9)
        root.pop(0)
        return [*found, await watch.is_good()]

    assert asyncio.run(ask()) == [True, True, True, True, False]
    assert asked.count(".") == 3


def test_modes_go_by_testing(domain, host):
    services.set_mta_sts(domain, "enforce")
    assert MtaSts.objects.get().mode == "enforce"
    services.set_mta_sts(domain, "none", 86400)
    with pytest.raises(ChangeRefused, match="testing first"):
        services.set_mta_sts(domain, "enforce")
    services.set_mta_sts(domain, "testing")
    services.set_mta_sts(domain, "enforce", 31557600)


@pytest.mark.parametrize(
    ("mode", "max_age", "why"),
    [
        ("strict", 604800, "can't be a mode"),
        ("testing", 3600, "a day"),
        ("testing", 31557601, "a year"),
    ],
)
def test_what_is_no_policy(domain, host, mode, max_age, why):
    with pytest.raises(ChangeRefused, match=why):
        services.set_mta_sts(domain, mode, max_age)


@pytest.mark.parametrize(
    ("names", "days", "own", "why"),
    [
        (["mx.example.org"], (-1, 30), False, "certificate of the first run"),
        (["else.example.org"], (-1, 30), True, "does not name mx.example.org"),
        (["mx.example.org"], (-9, -1), True, "has run out"),
    ],
)
def test_enforcing_wants_a_certificate_that_others_trust(domain, host, settings, tmp_path, names, days, own, why):
    certificate, _ = make(*names, days=days).write(tmp_path)
    settings.MAILSUITE = dataclasses.replace(host, tls_cert=certificate if own else None)
    with pytest.raises(ChangeRefused, match=why):
        services.set_mta_sts(domain, "enforce")
    assert not MtaSts.objects.exists()


def test_names_that_the_certificate_lacks(host, tmp_path):
    assert services.uncovered_names(["example.org", "example.net"]) == ["mta-sts.example.net"]
    make("*.example.net").write(tmp_path)
    assert services.uncovered_names(["example.net", "a.example.net"]) == ["mta-sts.a.example.net"]


def test_fetched_in_the_background(database):
    policy = Policy(Mode.ENFORCE, ("mx.far.test",), 604800)
    known.keep("far.test", "1", policy, NOW)
    resolver = ZoneResolver({("_mta-sts.far.test", "TXT"): [b"v=STSv1; id=2"]})

    async def good(domain):
        return policy

    async def bad(domain):
        raise FetchError(ResultType.STS_WEBPKI_INVALID, "a bad certificate")

    found = [asyncio.run(schedule.refetch(domain, resolver, good)) for domain in ("far.test", "gone.test")]
    assert schedule.keep_fetched(found, NOW) == 1
    assert known.find("far.test", NOW).policy_id == "2"
    assert schedule.keep_fetched([asyncio.run(schedule.refetch("far.test", resolver, bad))], NOW) == 0
    assert known.find("far.test", NOW).policy == policy
    assert KnownPolicy.objects.get(domain="far.test").failure == "a bad certificate"
