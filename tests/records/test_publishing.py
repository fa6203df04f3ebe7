"""The records to publish: exact forms, cut and quoted for a zone file, accepted by others who read them."""

import base64

import checkdmarc.bimi
import checkdmarc.dmarc
import checkdmarc.mta_sts
import checkdmarc.smtp_tls_reporting
import checkdmarc.spf
import dns.zone
import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_private_key

from mailsuite.mailauth import dmarc, mtasts
from mailsuite.mailauth.dns_record import Record, text_strings
from mailsuite.mailauth.spf.record import parse_record
from mailsuite.records import setup
from mailsuite.records.stages import STAGES, advance_dmarc, choose
from mailsuite.signing.keys import make_key_pairs
from mailsuite.signing.models import DkimKey

pytestmark = pytest.mark.usefixtures("same_connection")


def values(domain):
    return {(record.type, record.name): record.value for record in setup.records_for(domain)}


def test_exact_forms(domain, site):
    records = values(domain)
    assert records["MX", "example.org"] == "10 mx.host.test."
    assert records["TXT", "example.org"] == "v=spf1 mx ip4:198.41.0.4 -all"
    assert records["TXT", "_dmarc.example.org"] == "v=DMARC1; p=none; rua=mailto:dmarc-reports@example.org"
    assert records["A", "mx.host.test"] == "198.41.0.4"
    assert records["PTR", "4.0.41.198.in-addr.arpa"] == "mx.host.test."
    assert records["TXT", "mx.host.test"] == "v=spf1 a -all"
    assert records["TXT", "_smtp._tls.example.org"] == "v=TLSRPTv1; rua=mailto:tls-reports@example.org"
    assert records["CNAME", "mta-sts.example.org"] == "mx.host.test."
    assert records["SRV", "_imaps._tcp.example.org"] == "0 1 993 mx.host.test."
    assert records["CAA", "example.org"] == '0 issue "letsencrypt.org"'
    for key in DkimKey.objects.all():
        value = records["TXT", f"{key.selector}._domainkey.example.org"]
        assert value == f"v=DKIM1; k={key.algorithm}; p={key.public_key}"


def test_a_service_that_is_off_is_said_not_to_be_offered(domain, site):
    site.MAILSUITE.listeners["POP3"] = ()
    assert values(domain)["SRV", "_pop3._tcp.example.org"] == "0 0 0 ."


def test_a_domain_without_mail_says_so(domain):
    choose(domain.pk, mode="parked")
    assert values(domain) == {
        ("MX", "example.org"): "0 .",
        ("TXT", "example.org"): "v=spf1 -all",
        ("TXT", "*._domainkey.example.org"): "v=DKIM1; p=",
        ("TXT", "_dmarc.example.org"): "v=DMARC1; p=reject",
    }
    choose(domain.pk, mode="receives")
    records = values(domain)
    assert records["MX", "example.org"] == "10 mx.host.test." and records["TXT", "example.org"] == "v=spf1 -all"
    assert ("PTR", "4.0.41.198.in-addr.arpa") in records


def test_long_txt_is_cut_at_255_octets_and_joins_to_the_same(domain):
    record = next(record for record in setup.records_for(domain) if "k=rsa" in record.value)
    strings = text_strings(record.value)
    assert [len(one) <= 255 for one in strings] == [True, True] and "".join(strings) == record.value
    assert record.zone_value == " ".join(f'"{one}"' for one in strings)
    assert record.zone_line.startswith(f"{record.name}. 3600 IN TXT ")


def test_quotes_and_backslashes_are_escaped():
    assert Record("TXT", "a.test", 'say "\\"', "").zone_value == '"say \\"\\\\\\""'


def test_zone_file_is_one_that_a_name_server_reads(domain):
    text = "@ 3600 IN SOA ns hostmaster 1 2 3 4 5\n@ 3600 IN NS ns\n" + setup.zone_file(domain)
    zone = dns.zone.from_text(text, origin="example.org.", check_origin=False)
    assert b"".join(zone.find_rdataset("_dmarc", "TXT")[0].strings).startswith(b"v=DMARC1;")
    # What belongs to other zones stands there as a comment.
    assert "; elsewhere: 4.0.41.198.in-addr.arpa." in text


def test_key_pairs_fit_together():
    rsa, ed25519 = make_key_pairs()
    private = load_pem_private_key(rsa.private_key.encode(), None)
    assert load_der_public_key(base64.b64decode(rsa.public_key)) == private.public_key() and private.key_size == 2048
    private = load_pem_private_key(ed25519.private_key.encode(), None)
    assert base64.b64decode(ed25519.public_key) == private.public_key().public_bytes_raw()


@pytest.mark.parametrize("mode", ["mail", "receives", "parked"])
def test_others_and_we_read_every_stage_without_complaint(domain, mode, monkeypatch):
    """checkdmarc only parses here; whom it would ask is left out."""
    monkeypatch.setattr(checkdmarc.dmarc, "verify_dmarc_report_destination", lambda *args, **kwargs: None)
    monkeypatch.setattr(checkdmarc.dmarc, "get_mx_records", lambda *args, **kwargs: [{"hostname": "mx.host.test"}])
    choose(domain.pk, mode=mode)
    for position in range(len(STAGES)):
        record = values(domain)["TXT", "_dmarc.example.org"]
        assert dmarc.parse_record(record.encode()).is_valid
        tags = checkdmarc.dmarc.parse_dmarc_record(record, "example.org")["tags"]
        assert tags["p"]["value"] == dmarc.parse_record(record.encode()).p
        if position + 1 < len(STAGES):
            advance_dmarc(domain.pk)
    spf = values(domain)["TXT", "example.org"]
    assert parse_record(spf.encode()).mechanisms[-1].text == "-all"


def test_others_read_tls_records(domain):
    records = values(domain)
    sts = checkdmarc.mta_sts.parse_mta_sts_record(records["TXT", "_mta-sts.example.org"])
    assert sts["tags"]["id"] == mtasts.find_id([records["TXT", "_mta-sts.example.org"].encode()])
    report = checkdmarc.smtp_tls_reporting.parse_smtp_tls_reporting_record(records["TXT", "_smtp._tls.example.org"])
    assert "tls-reports@example.org" in str(report)


def test_others_read_spf(domain):
    # Without mx, for which checkdmarc would ask DNS.
    spf = values(domain)["TXT", "example.org"].replace(" mx", "")
    assert checkdmarc.spf.parse_spf_record(spf, "example.org")["parsed"]["all"] == "fail"
