"""Every mistake that people make with these records is called by its name: a row for each."""

import asyncio
import base64
import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from zone import quoted, zone_resolver

from mailsuite.mailauth.dkim.keys import KeyProblem, read_key
from mailsuite.mailauth.dns_record import Purpose, Record
from mailsuite.mailauth.mtasts import Mode, Policy
from mailsuite.records.authority import Server, Zone
from mailsuite.records.judging import dkim as dkim_page
from mailsuite.records.judging import judge_all
from mailsuite.records.page import title_of
from mailsuite.records.planning import Key, Setup, records_of
from mailsuite.records.reporting import next_step
from mailsuite.records.seen import View
from mailsuite.resolver.answers import Answer, Mx, Status

D, H, A4, A6 = "example.org", "mx.host.test", "198.41.0.4", "2001:500:2f::f"


def spki(bits):
    key = generate_private_key(public_exponent=65537, key_size=bits).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


P, OTHER = spki(2048), spki(2048)
E = base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
SMALL = (
    "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAMr7oBvaPlPh/6UxNhlzxYrf7SQhOTxyFYI8AyaBL7Hnd6mgwYvXJgVwgrFlQ4cUJ0nr"
    "KTu2fBRkZtFQvIbGsQkCAwEAAQ=="
)
TRANSPORT = tuple(
    Record("TXT", name, value, "", False, Purpose.TRANSPORT)
    for name, value in (
        (f"_mta-sts.{D}", "v=STSv1; id=abc123"),
        (f"_smtp._tls.{D}", f"v=TLSRPTv1; rua=mailto:tls-reports@{D}"),
    )
)
TRANSPORT = (Record("CNAME", f"mta-sts.{D}", f"{H}.", "", False, Purpose.TRANSPORT), *TRANSPORT)
TLSA = (Record("TLSA", f"_25._tcp.{H}", f"3 1 1 {'ab' * 32}", "", False, Purpose.TRANSPORT),)
SETUP = Setup(
    domain=D,
    host=H,
    addresses=(A4, A6),
    keys=(Key("r1", "rsa", P, "active"), Key("e1", "ed25519", E, "pending")),
    offered=frozenset({"SUBMISSIONS", "IMAPS"}),
    ca="letsencrypt.org",
    transport=TRANSPORT,
    tlsa=TLSA,
    policy=Policy(Mode.TESTING, (H, "named.test"), 604800),
    reporting=("sister.test",),
    hosted=frozenset({D, "sister.test", "reader-here.test"}),
)
DKIM, DMARC = f"r1._domainkey.{D}", f"_dmarc.{D}"
PTR4, PTR6 = "4.0.41.198.in-addr.arpa", next(r.name for r in records_of(SETUP) if r.name.endswith("ip6.arpa"))
GOOD_DMARC = f"rua=mailto:dmarc-reports@{D}"


def good_zone(setup=SETUP):
    zone = {(D, "NS"): ["ns1.host.test."], ("ns1.host.test", "A"): ["198.41.0.5"]}
    for record in (one for one in records_of(setup) if one.value):
        zone.setdefault((record.name, record.type), []).append(record.zone_value)
    return zone


SERVER = Server("ns1.host.test", "198.41.0.5", 7)


class Side:
    """A resolver over a zone, which knows the domain's name servers besides."""

    def __init__(self, records, servers=(SERVER,), status=Status.OK):
        self.resolver, self.servers, self.status = zone_resolver(records), servers, status

    async def query(self, name, rdtype):
        return await self.resolver.query(name, rdtype)

    async def zone(self, name):
        return Zone(D, self.servers) if self.status is Status.OK else Zone(status=self.status)


def judge(changes, setup=SETUP, public=None, bypass=None, **own):
    records = good_zone(setup) | changes
    records = {key: texts for key, texts in records.items() if texts}
    view = View(Side(records, **own), Side(records if public is None else public), bypass)
    found = asyncio.run(judge_all(setup, view))
    return {(one.record.type, one.record.name): one for one in found}


def txt(*texts):
    return [quoted(text) for text in texts]


def spf(text):
    return {(D, "TXT"): txt(text)}


def dmarc(*texts):
    return {(DMARC, "TXT"): txt(*texts)}


def dkim(*texts):
    return {(DKIM, "TXT"): txt(*texts)}


MANY = {(f"i{n}.test", "TXT"): txt("v=spf1 -all") for n in range(11)}
INCLUDES = " ".join(f"include:i{n}.test" for n in range(11))
SPF, MX, PTR = ("TXT", D), ("MX", D), ("PTR", PTR4)
MISTAKES = [
    # SPF
    (spf("v=spf1 mx -all") | {(D, "TXT"): txt("v=spf1 mx -all", "v=spf1 a -all")}, SPF, "differs", "2 SPF records"),
    ({(D, "TXT"): []}, SPF, "missing", "Publish TXT"),
    (MANY | spf(f"v=spf1 {INCLUDES} mx -all"), SPF, "differs", "10"),
    (spf("v=spf1 a:n1.test a:n2.test a:n3.test mx -all"), SPF, "differs", "can't evaluate"),
    (spf("v=spf1 mx ptr -all"), SPF, "warn", "ptr"),
    (spf("v=spf1 mx +all"), SPF, "differs", "everybody"),
    (spf("v=spf1 mx all"), SPF, "differs", "everybody"),
    (spf("v=spf1 mx ?all"), SPF, "warn", "?all"),
    (spf("v=spf1 mx"), SPF, "warn", "-all"),
    (spf("v=spf1 mx -all ip4:198.41.0.9"), SPF, "warn", "behind"),
    (spf(f"v=spf1 mx a:{A4} -all"), SPF, "differs", "names an address"),
    (spf("v=spf1 mx include:nothing.test -all"), SPF, "differs", "can't evaluate"),
    ({(D, "TXT"): [], (D, "SPF"): txt("v=spf1 mx -all")}, SPF, "missing", "old type SPF"),
    ({(D, "TXT"): ['"“v=spf1 mx -all”"']}, SPF, "differs", "curly"),
    (spf("v=spf1; mx -all"), SPF, "differs", "v=spf1 and a blank"),
    (spf("v=spf1 mx foo:bar -all"), SPF, "differs", "has a mistake"),
    (spf(f"v=spf1 ip4:{A4} -all"), SPF, "differs", f"add ip6:{A6}"),
    (spf(f"v=spf1 ip6:{A6} -all"), SPF, "differs", f"add ip4:{A4}"),
    (spf("v=spf1 mx include:slow.test -all") | {("slow.test", "TXT"): "servfail"}, SPF, "unknown", "did not answer"),
    # DKIM
    (dkim(), ("TXT", DKIM), "missing", "Publish TXT"),
    (dkim(f"v=DKIM1; k=rsa; p={OTHER}"), ("TXT", DKIM), "differs", "Another key"),
    (dkim(f"v=DKIM1; k=rsa; p={P[:230]}"), ("TXT", DKIM), "differs", "Only the first 230"),
    (dkim(f"v=DKIM1; k=rsa; p={P[:200]} {P[200:]}"), ("TXT", DKIM), "warn", "blanks"),
    (dkim(f"v=DKIM1 k=rsa p={P}"), ("TXT", DKIM), "differs", "semicolons"),
    (dkim(f"“v=DKIM1; k=rsa; p={P[:90]}”"), ("TXT", DKIM), "differs", "Quotation marks"),
    (dkim(f"v=DKIM1; k=rsa; p={SMALL}"), ("TXT", DKIM), "differs", "512 bits"),
    (dkim(f"v=DKIM1; k=rsa; p={P}=="), ("TXT", DKIM), "warn", "to the letter"),
    (dkim(f"v=DKIM1; s=email:tlsrpt; p={P}"), ("TXT", DKIM), "warn", "s=email"),
    (dkim(f"v=DKIM1; s=other:*; p={P}"), ("TXT", DKIM), "warn", "s=email"),
    (dkim("v=DKIM1; p="), ("TXT", DKIM), "differs", "calls the key back"),
    (dkim(f"v=DKIM1; k=rsa; t=y; p={P}"), ("TXT", DKIM), "warn", "t=y"),
    (dkim(f"v=DKIM1; k=ed25519; p={P}"), ("TXT", DKIM), "differs", "k= says ed25519"),
    (dkim(f"v=DKIM1; s=tlsrpt; p={P}"), ("TXT", DKIM), "differs", "from being used for mail"),
    (dkim(f"v=DKIM1; h=sha1; k=rsa; p={P}"), ("TXT", DKIM), "differs", "refuse the record: the key is not for SHA-256"),
    (dkim(f"s._domainkey.{D} v=DKIM1; k=rsa; p={P}"), ("TXT", DKIM), "differs", f"(s._domainkey.{D} v=DKIM1)"),
    (dkim(f"v=DKIM1; k=rsa; p={P}; p=AAAA"), ("TXT", DKIM), "differs", "p= stands in it twice"),
    (dkim(f"v=DKIM1; k=rsa; p={P}; TTL 3600"), ("TXT", DKIM), "differs", "(TTL 3600)"),
    (dkim(f"v=DKIM1;; k=rsa; p={P}"), ("TXT", DKIM), "differs", "(two semicolons)"),
    (dkim(f"v=DKIM1; k=rsa; p={OTHER}; TTL 3600"), ("TXT", DKIM), "differs", "its key is not ours"),
    (dkim(f"k=rsa; p={P}; v=DKIM1"), ("TXT", DKIM), "warn", "v=DKIM1 first"),
    (dkim(f"v=DKIM1; h=rsa-sha256; p={P}"), ("TXT", DKIM), "warn", "h=sha256"),
    ({(f"e1._domainkey.{D}", "TXT"): txt(f"v=DKIM1; p={E}")}, ("TXT", f"e1._domainkey.{D}"), "differs", "k= says rsa"),
    (dkim(f"v=DKIM1; p={P}", f"v=DKIM1; p={OTHER}"), ("TXT", DKIM), "differs", "2 records"),
    (dkim() | {(f"{DKIM}.{D}", "TXT"): txt(f"v=DKIM1; p={P}")}, ("TXT", DKIM), "missing", "came twice"),
    (dkim() | {(f"r1.{D}", "TXT"): txt(f"v=DKIM1; p={P}")}, ("TXT", DKIM), "missing", "left out"),
    (dkim() | {(f"mail._domainkey.{D}", "TXT"): txt(f"v=DKIM1; p={P}")}, ("TXT", DKIM), "missing", "selector mail"),
    # DMARC
    (dmarc(), ("TXT", DMARC), "missing", "Publish TXT"),
    (dmarc() | spf("v=spf1 mx -all") | {(D, "TXT"): txt("v=spf1 mx -all", f"v=DMARC1; p=none; {GOOD_DMARC}")},
     ("TXT", DMARC), "missing", "at the domain itself"),
    (dmarc("v=DMARC1; p=none; fo=all; rua=mailto:x@example.org"), ("TXT", DMARC), "warn", "0, 1, d and s"),
    (dmarc("v=DMARC1; p=none; psd=y; rua=mailto:x@example.org"), ("TXT", DMARC), "warn", "registries"),
    (dmarc("v=DMARC1;; p=none; rua=mailto:x@example.org"), ("TXT", DMARC), "warn", "two semicolons"),
    (dmarc("v=DMARC1; p=none; rua=mailto:x@example.org,"), ("TXT", DMARC), "warn", "parts nothing"),
    (dmarc() | {(f"{DMARC}.{D}", "TXT"): txt("v=DMARC1; p=none")}, ("TXT", DMARC), "missing", "twice"),
    (dmarc("v=DMARC1,p=none"), ("TXT", DMARC), "differs", "v=DMARC1;"),
    (dmarc("v=DMARC1; p=none", "v=DMARC1; p=reject"), ("TXT", DMARC), "differs", "2 DMARC records"),
    (dmarc(f"v=DMARC1; p=none; rua=dmarc-reports@{D}"), ("TXT", DMARC), "differs", "without mailto:"),
    (dmarc(f"v=DMARC1; {GOOD_DMARC}"), ("TXT", DMARC), "differs", "no p="),
    (dmarc(f"v=DMARC1; p=monitor; {GOOD_DMARC}"), ("TXT", DMARC), "differs", "p=monitor"),
    (dmarc(f"v=DMARC1; p=none; pct=50; {GOOD_DMARC}"), ("TXT", DMARC), "warn", "pct"),
    (dmarc(f"v=DMARC1; p=none; ri=3600; rf=afrf; {GOOD_DMARC}"), ("TXT", DMARC), "warn", "ri, rf"),
    (dmarc(f"v=DMARC1; p=none; {GOOD_DMARC}!10m"), ("TXT", DMARC), "warn", "size limit"),
    (dmarc("v=DMARC1; p=none"), ("TXT", DMARC), "warn", "Add rua"),
    (dmarc(f"v=DMARC1; p=none; {GOOD_DMARC},mailto:x@reader.test"), ("TXT", DMARC), "warn", "does not take reports"),
    (dmarc(f"v=DMARC1; p=none; rua=mailto:x@{D}"), ("TXT", DMARC), "warn", "read here"),
    (dmarc(f"v=DMARC1; p=reject; {GOOD_DMARC}") | dkim(), ("TXT", DMARC), "warn", "on SPF alone"),
    (dmarc(f"v=DMARC1; p=reject; {GOOD_DMARC}") | dkim("v=spf1 -all"), ("TXT", DMARC), "warn", "on SPF alone"),
    (dmarc(f" v=DMARC1; p=reject; {GOOD_DMARC}"), ("TXT", DMARC), "warn", "begin with v=DMARC1"),
    (dmarc(f"v = DMARC1; p=reject; {GOOD_DMARC}"), ("TXT", DMARC), "warn", "begin with v=DMARC1"),
    (dmarc(f"v=DMARC1; p=none; {GOOD_DMARC};mailto:x@elsewhere.test"), ("TXT", DMARC), "warn", "“mailto:x@elsewhere"),
    (dmarc(f"v=DMARC1; p=none; {GOOD_DMARC}; rau=x"), ("TXT", DMARC), "warn", "rau="),
    (dmarc(f"v=DMARC1; p=none; adkim=strict; {GOOD_DMARC}"), ("TXT", DMARC), "warn", "must be one of r, s"),
    (dmarc(f"v=DMARC1; p=none; sp=reject; sp=none; {GOOD_DMARC}"), ("TXT", DMARC), "warn", "sp= stands"),
    (dmarc(f"v=DMARC1; p=none; {GOOD_DMARC} mailto:x@{D}"), ("TXT", DMARC), "warn", "parted by commas"),
    (dmarc("“v=DMARC1; p=none”"), ("TXT", DMARC), "differs", "v=DMARC1;"),
    # reports that leave the domain, or come to it
    (dmarc(f"v=DMARC1; p=none; {GOOD_DMARC},mailto:x@reader.test"),
     ("TXT", f"{D}._report._dmarc.reader.test"), "missing", "Ask whoever runs reader.test"),
    (dmarc(f"v=DMARC1; p=none; {GOOD_DMARC},mailto:x@reader-here.test"),
     ("TXT", f"{D}._report._dmarc.reader-here.test"), "missing", "Publish TXT"),
    ({(f"sister.test._report._dmarc.{D}", "TXT"): []},
     ("TXT", f"sister.test._report._dmarc.{D}"), "missing", "Publish TXT"),
    ({(f"sister.test._report._dmarc.{D}", "TXT"): txt("v=spf1 -all")},
     ("TXT", f"sister.test._report._dmarc.{D}"), "missing", "Publish TXT"),
    # MX
    ({MX[::-1]: []}, MX, "missing", "Publish MX"),
    ({MX[::-1]: ["0 ."]}, MX, "differs", "null MX"),
    ({MX[::-1]: ["10 198.41.0.4."]}, MX, "differs", "names the address"),
    ({MX[::-1]: ["10 other.test."], ("other.test", "A"): [A4]}, MX, "differs", "not to this host"),
    ({(H, "CNAME"): ["real.test."]}, MX, "differs", "another name (CNAME)"),
    ({MX[::-1]: [f"10 {H}.", "20 gone.test."]}, MX, "differs", "has no address"),
    ({MX[::-1]: [f"10 {H}.", "20 back.test."], ("back.test", "A"): ["198.41.0.9"]}, MX, "warn", "MTA-STS"),
    ({MX[::-1]: [f"20 {H}.", "10 back.test."], ("back.test", "A"): ["198.41.0.9"]}, MX, "warn", "lowest number"),
    ({MX[::-1]: [f"10 {H}.", "20 back.test."], ("back.test", "A"): ["10.0.0.9"]}, MX, "differs", "private address"),
    ({MX[::-1]: Answer(Status.OK, (Mx(10, H),), 8 * 86_400)}, MX, "warn", "lower its TTL"),
    # the host
    ({(H, "A"): []}, ("A", H), "missing", "Publish A"),
    ({(H, "A"): ["10.0.0.4"]}, ("A", H), "differs", "private address"),
    ({(H, "A"): ["198.41.0.77"]}, ("A", H), "differs", "198.41.0.77"),
    ({PTR[::-1]: []}, PTR, "missing", "goes out by IPv6 wherever"),
    ({PTR[::-1]: ["198-41-0-4.dsl.test."]}, PTR, "differs", "generic name"),
    ({PTR[::-1]: ["other.test."]}, PTR, "differs", "the name other.test"),
    ({PTR[::-1]: [f"{H}.", "other.test."]}, PTR, "warn", "2 names"),
    ({(PTR6, "PTR"): []}, ("PTR", PTR6), "missing", "goes out by IPv4 wherever"),
    ({(H, "A"): ["198.41.0.77"]}, PTR, "differs", "does not lead back"),
    # TLS on the way
    ({(f"_mta-sts.{D}", "TXT"): txt("v=STSv1; id=old")}, ("TXT", f"_mta-sts.{D}"), "differs", "policy has changed"),
    ({(f"_mta-sts.{D}", "TXT"): txt("v=STSv1; id=")}, ("TXT", f"_mta-sts.{D}"), "differs", "mistake"),
    ({(f"mta-sts.{D}", "CNAME"): []}, ("TXT", f"_mta-sts.{D}"), "fails", "which is not there"),
    ({(f"_mta-sts.{D}", "TXT"): txt("v=STSv1; id=a", "v=STSv1; id=b")},
     ("TXT", f"_mta-sts.{D}"), "differs", "2 records"),
    ({(f"_smtp._tls.{D}", "TXT"): txt(f"v=TLSRPTv1; rua=tls-reports@{D}")},
     ("TXT", f"_smtp._tls.{D}"), "differs", "mailto:"),
    ({(f"_25._tcp.{H}", "TLSA"): [f"3 0 1 {'ab' * 32}"]}, ("TLSA", f"_25._tcp.{H}"), "differs", "are not 3 1 1"),
    ({(f"_25._tcp.{H}", "TLSA"): [f"3 1 1 {'cd' * 32}"]}, ("TLSA", f"_25._tcp.{H}"), "differs", "another key"),
    ({(D, "CAA"): ['0 issue "ca.test"']}, ("CAA", D), "differs", "forbids letsencrypt.org"),
    ({(D, "CAA"): ['0 issue ";"']}, ("CAA", D), "differs", "forbids letsencrypt.org"),
    ({("host.test", "CAA"): ['0 issue "ca.test"']}, ("CAA", D), "differs", "CAA at host.test forbids"),
    ({(f"autoconfig.{D}", "CAA"): ['0 issue "ca.test"']}, ("CAA", D), "differs", f"one for autoconfig.{D}"),
    # clients
    ({(f"_imaps._tcp.{D}", "SRV"): ["0 1 993 old.test."]}, ("SRV", f"_imaps._tcp.{D}"), "differs", "old.test"),
    ({(f"autoconfig.{D}", "CNAME"): ["old.test."]}, ("CNAME", f"autoconfig.{D}"), "differs", "old.test"),
    # the zone
    ({(f"no-such-name-mailsuite.{D}", "TXT"): txt("x")}, ("TXT", f"*.{D}"), "warn", "wildcard"),
    ({(f"no-such-name-mailsuite.{D}", "MX"): [f"10 {H}."]}, ("MX", f"*.{D}"), "warn", "wildcard"),
    ({(D, "CNAME"): ["shop.test."]}, ("CNAME", D), "differs", "Take the CNAME away"),
    ({(f"default._bimi.{D}", "TXT"): txt("v=BIMI1; l=http://x.test/logo.png")},
     ("TXT", f"default._bimi.{D}"), "warn", "https:"),
    ({(f"default._bimi.{D}", "TXT"): txt("v=BIMI1; l=https://x.test/logo.svg")},
     ("TXT", f"default._bimi.{D}"), "warn", "until DMARC"),
]  # fmt: skip


def test_what_is_published_as_shown_has_no_mistake():
    assert [one.sentence for one in judge({}).values() if one.verdict != "ok"] == []


@pytest.mark.parametrize(("changes", "where", "verdict", "words"), MISTAKES, ids=lambda value: str(value)[:40])
def test_mistakes_are_named(changes, where, verdict, words):
    found = judge(changes)[where]
    assert (found.verdict, words in found.sentence) == (verdict, True), found.sentence
    assert found.sentence.count("\n") == 0 and len(found.sentence) < 500


def test_tlsa_of_the_first_start_s_key_has_to_go_before_that_does():
    found = judge({}, setup=dataclasses.replace(SETUP, has_lasting_key=False))[("TLSA", f"_25._tcp.{H}")]
    assert (found.verdict, "before you have a real certificate" in found.sentence) == ("warn", True), found.sentence


@pytest.mark.parametrize("host", ["localhost", "box", "box.local", "ip-10-0-0-4.compute.internal", "a.home.arpa"])
def test_a_machine_without_a_public_name_is_told_that_first(host):
    setup = dataclasses.replace(SETUP, host=host)
    findings = judge({(host, "A"): "servfail"}, setup=setup)
    first = next(iter(findings.values()))
    assert (first.record.type, first.record.name, first.verdict) == ("A", host, "missing")
    assert next_step(list(findings.values())) == setup.host_problem == first.sentence
    assert "set MAILSUITE_HOSTNAME" in first.sentence
    # Nothing is offered that leads nowhere.
    assert not [record for record in records_of(setup) if f" {host}." in f" {record.value}"]
    assert {title_of(record) for record in records_of(setup)} >= {"SPF", "DMARC", "DKIM key r1"}


def test_a_domain_that_takes_no_mail_needs_no_host():
    setup = dataclasses.replace(SETUP, host="localhost", mode="parked")
    assert [record.value for record in records_of(setup)][:2] == ["0 .", "v=spf1 -all"]


HARMLESS = [
    ({(D, "TXT"): txt(f"v=spf1 mx ip4:{A4} include:i0.test ~all", "site-verification=1"), **MANY}, SPF),
    ({MX[::-1]: [f"50 {H.upper()}."]}, MX),
    (dkim(f"p={P}"), ("TXT", DKIM)),
    (dkim(f"v=DKIM1;k=rsa;p={P};"), ("TXT", DKIM)),
    (dmarc(f"v=DMARC1; p=reject; sp=none; {GOOD_DMARC}"), ("TXT", DMARC)),
    (
        dmarc(f"v=DMARC1; p=none; {GOOD_DMARC},mailto:x@reader.test")
        | {(f"{D}._report._dmarc.reader.test", "TXT"): txt("v=DMARC1")},
        ("TXT", DMARC),
    ),
    (dmarc(f"v=DMARC1; p=none; {GOOD_DMARC},mailto:x@mail.{D}"), ("TXT", DMARC)),
    ({MX[::-1]: [f"10 {H}.", "20 named.test."], ("named.test", "A"): ["198.41.0.9"]}, MX),
    ({("host.test", "CAA"): ['0 issue "letsencrypt.org"'], ("test", "CAA"): ['0 issue "ca.test"']}, ("CAA", D)),
    ({(f"autoconfig.{D}", "CNAME"): [], (f"autoconfig.{D}", "A"): [A4]}, ("CNAME", f"autoconfig.{D}")),
    ({(f"_imaps._tcp.{D}", "SRV"): [f"5 9 993 {H}."]}, ("SRV", f"_imaps._tcp.{D}")),
    ({(D, "CAA"): ['0 issue "letsencrypt.org; validationmethods=http-01"', '0 iodef "mailto:a@b.test"']}, ("CAA", D)),
]


@pytest.mark.parametrize(
    "form",
    [
        "v=DKIM1; k=rsa; p=KEY", "p=KEY", "k=rsa; p=KEY", "v=DKIM1;k=rsa;p=KEY;", " v = DKIM1 ; p = KEY ; ",
        "v=DKIM1; h=sha256; p=KEY", "v=DKIM1; h=sha1:sha256; p=KEY", "v=DKIM1; h=sha1; p=KEY", "v=DKIM1; h=; p=KEY",
        "v=DKIM1; h=rsa-sha256; p=KEY", "v=DKIM1; h=SHA256; p=KEY", "v=DKIM1; h=*; p=KEY", "v=DKIM1; k=RSA; p=KEY",
        "v=DKIM1; k=ed25519; p=KEY", "v=DKIM1; s=email; p=KEY", "v=DKIM1; s=*; p=KEY", "v=DKIM1; s=web; p=KEY",
        "v=DKIM1; s=EMAIL; p=KEY", "v=DKIM1; s=; p=KEY", "v=DKIM1; t=s; p=KEY", "v=DKIM1; t=y; p=KEY",
        "p=KEY; v=DKIM1", "v=dkim1; p=KEY", "V=DKIM1; P=KEY", "v=DKIM1, p=KEY", "v=DKIM1 p=KEY", "v=DKIM1; KEY",
        "v=DKIM1; p=KEY; p=AAAA", "v=DKIM1; p=AAAA; p=KEY", "v=DKIM1; k=rsa; k=rsa; p=KEY", "v=DKIM1; p=KEY; TTL 3600",
        "v=DKIM1; p=KEY; TTL=3600", "v=DKIM1; p=KEY;;", ";v=DKIM1; p=KEY", "s._domainkey v=DKIM1; p=KEY",
        '"v=DKIM1; p=KEY"', "v=DKIM1; p=KEY.", "v=DKIM1; p='KEY'", "v=DKIM1; p=KEY==", "v=DKIM1; n=x\x01; p=KEY",
        "v=DKIM1\\; p=KEY", "v=DKIM1; x-y=1; p=KEY", "v=DKIM1; p=KEY KEY", "v=DKIM1; p=", "v=DKIM1", "", "nonsense",
    ],
)  # fmt: skip
def test_the_page_calls_no_dkim_record_good_that_receivers_refuse(form):
    text = form.replace("KEY", P).encode()
    try:
        read_key(text, "rsa")
        is_usable = True
    except KeyProblem:
        is_usable = False
    found = dkim_page.read(text, Record("TXT", DKIM, f"v=DKIM1; k=rsa; p={P}", ""))
    assert (found.verdict in ("ok", "warn")) is is_usable, found.sentence


def test_a_key_called_back_is_good_only_when_it_is():
    back = Record("TXT", DKIM, "v=DKIM1; p=", "")
    assert dkim_page.read(b"v=DKIM1; p=", back).verdict == "ok"
    assert dkim_page.read(f"v=DKIM1; p={P}".encode(), back).verdict == "differs"


@pytest.mark.parametrize(("changes", "where"), HARMLESS, ids=lambda value: str(value)[:40])
def test_what_an_administrator_may_do_otherwise_is_no_mistake(changes, where):
    assert judge(changes)[where].verdict == "ok", judge(changes)[where].sentence


@pytest.mark.parametrize(
    ("servers", "status", "verdict", "words"),
    [
        ((Server("a", "198.41.0.5", 7), Server("b", "198.41.0.6", 6)), Status.OK, "warn", "different versions"),
        (
            (Server("a", "1", 7), Server("b", "2", problem="does not hold the zone")),
            Status.OK,
            "warn",
            "b does not hold",
        ),
        ((Server("a", "1", 7), Server("a", "::2", problem="does not answer")), Status.OK, "ok", ""),
        ((Server("a", "1", problem="does not answer at 1"),), Status.OK, "unknown", "asked others"),
        ((), Status.NXDOMAIN, "missing", "is it registered"),
        ((), Status.TEMPERROR, "unknown", "try again"),
    ],
)
def test_name_servers_are_judged(servers, status, verdict, words):
    found = next(one for (kind, _), one in judge({}, servers=servers, status=status).items() if kind == "NS")
    assert (found.verdict, words in found.sentence) == (verdict, True), found.sentence


class Everything:
    def __init__(self, answer):
        self.answer = answer

    async def query(self, name, rdtype):
        return self.answer


def test_dnssec_that_is_broken_is_told_from_a_resolver_that_is_silent():
    silent = {key: "servfail" for key in good_zone()}
    found = judge({}, public=silent, bypass=Everything(Answer(Status.NODATA)))
    assert found[MX].verdict == "differs" and "DNSSEC" in found[MX].sentence
    assert judge({}, public=silent, bypass=Everything(Answer(Status.TEMPERROR)))[MX].verdict == "ok"


def test_what_is_fresh_waits_for_others_to_forget():
    stale = good_zone() | {MX[::-1]: ["10 old.test."], ("old.test", "A"): ["198.41.0.7"]}
    found = judge({}, public=stale)[MX]
    assert found.verdict == "warn" and "5 minutes" in found.sentence
    assert (found.own.verdict, found.public.verdict) == ("ok", "differs")


def test_a_chosen_stage_asks_for_its_record():
    strict = Setup(D, H, (A4,), dmarc_stage="quarantine", keys=SETUP.keys)
    found = judge(dmarc(f"v=DMARC1; p=none; {GOOD_DMARC}"), setup=strict)[("TXT", DMARC)]
    assert found.verdict == "differs" and "less than the stage" in found.sentence
    assert judge(dmarc(f"v=DMARC1; p=reject; {GOOD_DMARC}"), setup=strict)[("TXT", DMARC)].verdict == "ok"
