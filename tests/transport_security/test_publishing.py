"""The records by which our domains ask for TLS; what E's page shows is what others can parse."""

import dataclasses
import hashlib
from datetime import UTC, datetime

import pytest
from certificates import make
from checkdmarc.mta_sts import parse_mta_sts_record
from checkdmarc.smtp_tls_reporting import parse_smtp_tls_reporting_record
from django.conf import settings as django_settings

from mailsuite.directory.models import Domain
from mailsuite.errors import ChangeRefused
from mailsuite.mailauth.mtasts import Mode, policy_id
from mailsuite.provisioning import services
from mailsuite.transport_security import publishing
from mailsuite.transport_security.keys import make_next_key, read_keys
from mailsuite.transport_security.models import DaneLook, MtaSts
from mailsuite.transport_security.services import set_mta_sts


@pytest.fixture
def host(settings, tmp_path):
    """A host with a certificate of its own; its configuration."""
    certificate, key = make("mx.example.org").write(tmp_path)
    settings.MAILSUITE = dataclasses.replace(
        django_settings.MAILSUITE, hostname="mx.example.org", data=tmp_path, tls_cert=certificate, tls_key=key
    )
    return settings.MAILSUITE


def test_mta_sts(domain, host):
    where, what = publishing.mta_sts_records(domain)
    assert (where.type, where.name, where.value) == ("CNAME", "mta-sts.example.org", "mx.example.org.")
    assert (what.type, what.name) == ("TXT", "_mta-sts.example.org")
    tags = parse_mta_sts_record(what.value)["tags"]
    assert tags["id"] == policy_id(publishing.own_policy(domain)) and "mode testing" in what.why


def test_the_id_follows_mode_and_host(domain, host, settings):
    def value():
        return publishing.mta_sts_records(domain)[1].value

    seen = {value()}
    MtaSts.objects.create(domain=domain, mode=MtaSts.Mode.ENFORCE)
    seen.add(value())
    MtaSts.objects.update(max_age=86400)
    seen.add(value())
    settings.MAILSUITE = dataclasses.replace(host, hostname="mx2.example.org")
    seen.add(value())
    assert len(seen) == 4


def test_another_name_of_a_domain_has_that_domain_s_mode_or_its_own(domain, host):
    services.add_domain("example.net", alias_of="example.org", key_pairs=[])
    alias = Domain.objects.get(name="example.net")
    assert publishing.own_policy(alias).mode is Mode.TESTING
    MtaSts.objects.create(domain=domain, mode=MtaSts.Mode.ENFORCE)
    assert publishing.own_policy(alias).mode is Mode.ENFORCE
    MtaSts.objects.create(domain=alias, mode=MtaSts.Mode.NONE)
    assert publishing.own_policy(alias).mode is Mode.NONE
    [report] = publishing.tlsrpt_records(alias)
    assert report.value == "v=TLSRPTv1; rua=mailto:tls-reports@example.org"


def test_tlsrpt(domain, host):
    [record] = publishing.tlsrpt_records(domain)
    assert (record.type, record.name) == ("TXT", "_smtp._tls.example.org")
    tags = parse_smtp_tls_reporting_record(record.value)["tags"]
    assert tags["rua"]["value"] == ["mailto:tls-reports@example.org"]


@pytest.fixture
def looked(database, host):
    """`looked(state, is_signed)` is what DNS said last."""

    def look(state, is_signed):
        found = {"at": datetime.now(UTC), "state": state, "is_signed": is_signed}
        DaneLook.objects.update_or_create(hostname=host.hostname, defaults=found)

    return look


def test_tlsa_is_offered_for_a_signed_zone_and_a_lasting_certificate(host, looked, settings):
    assert publishing.tlsa_records() == [] and "not looked at yet" in publishing.why_no_tlsa()
    looked("missing", False)
    assert publishing.tlsa_records() == [] and "No DNSSEC signature" in publishing.why_no_tlsa()
    looked("missing", True)
    assert len(publishing.tlsa_records()) == 1 and publishing.why_no_tlsa() == ""
    # The first start's own certificate goes, and its key with it: whoever goes by TLSA would deliver nothing then.
    (host.data / "tls").mkdir()
    make("mx.example.org").write(host.data / "tls")
    settings.MAILSUITE = dataclasses.replace(host, tls_cert=None, tls_key=None)
    assert publishing.tlsa_records() == [] and "get a real one first" in publishing.why_no_tlsa()
    # What is published already has to be right, whatever the zone.
    for state in ("mismatch", "insecure", "good"):
        looked(state, False)
        assert publishing.why_no_tlsa() == ""


def test_a_host_without_a_public_name_is_told_that(host, database, settings):
    settings.MAILSUITE = dataclasses.replace(host, hostname="localhost")
    assert publishing.tlsa_records() == [] and "MAILSUITE_HOSTNAME" in publishing.why_no_tlsa()


def test_tlsa_of_the_key_in_use_and_the_next(host, looked):
    looked("good", True)
    [record] = publishing.tlsa_records()
    assert (record.type, record.name) == ("TLSA", "_25._tcp.mx.example.org")
    assert record.value == f"3 1 1 {read_keys(host).current}"
    make_next_key(host)
    values = [record.value for record in publishing.tlsa_records()]
    assert values == [f"3 1 1 {read_keys(host).current}", f"3 1 1 {read_keys(host).next}"]


def test_without_a_certificate_there_is_no_tlsa(host, looked, settings, tmp_path):
    looked("good", True)
    settings.MAILSUITE = dataclasses.replace(host, tls_cert=tmp_path / "missing.pem")
    assert publishing.tlsa_records() == []


def test_the_digest_is_that_of_the_certificate_s_key(host, tmp_path):
    pair = make("mx.example.org")
    pair.write(tmp_path)
    assert read_keys(host).current == hashlib.sha256(pair.spki).hexdigest()


def test_a_policy_names_further_mail_hosts(domain, host):
    set_mta_sts(domain, "testing", other_hosts=" Backup.Example.NET. , *.relay.test,backup.example.net\n*.BÜCHER.test")
    assert publishing.own_policy(domain).mx == (
        "mx.example.org",
        "backup.example.net",
        "*.relay.test",
        "*.xn--bcher-kva.test",
    )
    assert MtaSts.objects.get().other_hosts == "backup.example.net,*.relay.test,*.xn--bcher-kva.test"
    for wrong in ("a b", "192.0.2.1:25", "a.test;", "*.*.test", "☃.test", ",".join(f"{n:060}.test" for n in range(9))):
        with pytest.raises(ChangeRefused):
            set_mta_sts(domain, "testing", other_hosts=wrong)
