"""The records to publish, and how what DNS says is judged beside them."""

import base64

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_private_key

from mailsuite.directory import services
from mailsuite.directory.models import Domain
from mailsuite.records import checking, publishing
from mailsuite.records.checking import Status
from mailsuite.records.models import DkimKey
from mailsuite.records.publishing import Record
from mailsuite.records.services import activate_key, make_domain_keys, make_key_pairs, retire_key
from mailsuite.secrets import field_cipher


@pytest.fixture
def domain(db):
    return Domain.objects.get(pk=services.add_domain("example.org", postmaster="me@remote.example"))


def test_exact_forms(domain):
    records = {(record.type, record.name): record.value for record in publishing.records_for(domain)}
    assert records["MX", "example.org"] == "10 localhost."
    assert records["TXT", "example.org"] == "v=spf1 mx -all"
    assert records["TXT", "_dmarc.example.org"] == "v=DMARC1; p=none; rua=mailto:postmaster@example.org"
    assert records["SRV", "_imaps._tcp.example.org"] == "0 1 993 localhost."
    for key in DkimKey.objects.all():
        value = records["TXT", f"{key.selector}._domainkey.example.org"]
        assert value == f"v=DKIM1; k={key.algorithm}; p={key.public_key}"


def test_long_txt_is_cut_at_255_octets_and_joins_to_the_same(domain):
    record = next(record for record in publishing.records_for(domain) if "k=rsa" in record.value)
    strings = publishing.text_strings(record.value)
    assert [len(one) <= 255 for one in strings] == [True, True] and "".join(strings) == record.value
    assert record.zone_value == " ".join(f'"{one}"' for one in strings)


def test_zone_file_is_one_that_a_name_server_reads(domain):
    import dns.zone

    text = "@ 3600 IN SOA ns hostmaster 1 2 3 4 5\n@ 3600 IN NS ns\n" + publishing.zone_file(domain)
    zone = dns.zone.from_text(text, origin="example.org.", check_origin=False)
    assert b"".join(zone.find_rdataset("_dmarc", "TXT")[0].strings).startswith(b"v=DMARC1;")


def test_key_pairs_fit_together():
    rsa, ed25519 = make_key_pairs()
    private = load_pem_private_key(rsa.private_key.encode(), None)
    assert load_der_public_key(base64.b64decode(rsa.public_key)) == private.public_key() and private.key_size == 2048
    private = load_pem_private_key(ed25519.private_key.encode(), None)
    assert base64.b64decode(ed25519.public_key) == private.public_key().public_bytes_raw()


def test_keys_are_switched(domain):
    first = DkimKey.objects.get(algorithm="rsa")
    make_domain_keys(domain.pk)
    second = DkimKey.objects.exclude(pk=first.pk).get(algorithm="rsa")
    assert second.selector == first.selector + "b"
    activate_key(second.pk)
    first.refresh_from_db()
    assert first.state == "retired" and first.retired_at
    retire_key(second.pk)
    assert not DkimKey.objects.filter(algorithm="rsa", state="active").exists()
    assert field_cipher().decrypt(first.private_key).startswith("-----BEGIN PRIVATE KEY-----")


SPF = Record("TXT", "example.org", "v=spf1 mx -all", "")
DMARC = Record("TXT", "_dmarc.example.org", "v=DMARC1; p=none; rua=mailto:postmaster@example.org", "")
DKIM = Record("TXT", "r1._domainkey.example.org", "v=DKIM1; k=rsa; p=AAAA", "")
MX = Record("MX", "example.org", "10 mail.example.org.", "")


@pytest.mark.parametrize(
    ("record", "seen", "status"),
    [
        (SPF, ["v=spf1 mx -all"], Status.OK),
        (SPF, ["v=spf1 mx include:other.example ~all"], Status.OK),
        (SPF, ["google-site-verification=x"], Status.MISSING),
        (SPF, [], Status.MISSING),
        (SPF, ["v=spf1 -all"], Status.DIFFERS),
        (SPF, ["v=spf1 mx +all"], Status.DIFFERS),
        (SPF, ["v=spf1 mx -all", "v=spf1 a -all"], Status.DIFFERS),
        (DMARC, ["v=DMARC1; p=reject"], Status.OK),
        (DMARC, ["v=DMARC1; p=none", "v=DMARC1; p=reject"], Status.DIFFERS),
        (DKIM, ["v=DKIM1; k=rsa; p=AAAA"], Status.OK),
        (DKIM, ["v=DKIM1;k=rsa;p=AA AA"], Status.OK),
        (DKIM, ["v=DKIM1; k=rsa; p=BBBB"], Status.DIFFERS),
        (DKIM, ["v=DKIM1; p="], Status.DIFFERS),
        (MX, ["20 MAIL.example.org.".lower()], Status.OK),
        (MX, ["10 other.example."], Status.DIFFERS),
    ],
)
def test_findings(record, seen, status):
    finding = checking._compare(record, tuple(text for text in seen if checking._is_of_kind(text, record)))
    assert finding.status is status
    assert bool(finding.advice) is (status is not Status.OK)
