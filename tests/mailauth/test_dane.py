"""DANE: a row per rule of RFC 7672 §2.2 and §3.1, RFC 6698 §2.1 and RFC 7671 §5 and §9."""

import asyncio
import hashlib
import time

import pytest
from certificates import make
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mailsuite.mailauth import dane
from mailsuite.mailauth.dane import State
from mailsuite.resolver.answers import Answer, Mx, Status, Tlsa, ZoneResolver

NAMES = ("mx.far.test", "far.test")
ROOT = make(common_name="root", ca=True)
ISSUER = make(common_name="issuer", ca=True, issuer=ROOT)
LEAF = make("mx.far.test", issuer=ISSUER)
DIGEST = {
    0: lambda data: data,
    1: lambda data: hashlib.sha256(data).digest(),
    2: lambda data: hashlib.sha512(data).digest(),
}


def tlsa(pair, usage, selector, matching):
    return Tlsa(usage, selector, matching, DIGEST[matching](pair.spki if selector else pair.der))


@pytest.mark.parametrize(
    ("record", "good"),
    [
        *((tlsa(LEAF, usage, selector, matching), usage > 1)
          for usage in (0, 1, 2, 3) for selector in (0, 1) for matching in (0, 1, 2)),
        (Tlsa(4, 1, 1, b"x" * 32), False),
        (Tlsa(255, 1, 1, b"x" * 32), False),
        (Tlsa(3, 2, 1, b"x" * 32), False),
        (Tlsa(3, 1, 3, b"x" * 32), False),
        (Tlsa(3, 1, 1, b"x" * 31), False),
        (Tlsa(3, 1, 1, b""), False),
        (Tlsa(3, 1, 2, b"x" * 32), False),
        (Tlsa(3, 0, 0, b"no certificate"), False),
        (Tlsa(3, 1, 0, b"no key"), False),
        (Tlsa(2, 0, 0, LEAF.spki), False),
    ],
)  # fmt: skip
def test_which_records_are_usable(record, good):
    assert dane.usable([record]) == ((record,) if good else ())


def test_of_digests_for_the_same_the_strongest_counts():
    """RFC 7671 §9; full data always counts."""
    full, short, long = (tlsa(LEAF, 3, 1, matching) for matching in (0, 1, 2))
    other = tlsa(LEAF, 3, 0, 1)
    assert dane.usable([full, short, long, other]) == (full, long, other)
    assert dane.usable([full, short]) == (full, short)
    broken = Tlsa(3, 1, 2, b"too short")
    assert dane.usable([short, broken]) == (short,)


def judged(records, pair=LEAF, *, chain=None, names=NAMES, now=None):
    return dane.match(records, pair.ders if chain is None else chain, names, now or time.time())


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_usage_3_looks_at_the_host_s_own_certificate_alone(selector, matching):
    record = tlsa(LEAF, 3, selector, matching)
    assert judged([record]).record == record
    # Whatever its names, dates, issuer (RFC 7672 §3.1.1).
    old = make("other.test", days=(-9, -2))
    record = tlsa(old, 3, selector, matching)
    assert judged([record], old).record == record
    assert judged([record]).reason == "no TLSA record matches its certificate"
    # Not those above it.
    assert judged([tlsa(ISSUER, 3, selector, matching)]).record is None


def test_any_of_the_records_will_do():
    other = tlsa(make("mx.far.test"), 3, 1, 1)
    good = tlsa(LEAF, 3, 1, 1)
    assert judged([other, good]).record == judged([good, other]).record == good
    assert judged([tlsa(ROOT, 2, 1, 1), other]).record == tlsa(ROOT, 2, 1, 1)


@pytest.mark.parametrize("anchor", [ROOT, ISSUER], ids=["root", "issuer"])
@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_usage_2_wants_a_chain_to_the_anchor(anchor, selector, matching):
    record = tlsa(anchor, 2, selector, matching)
    assert judged([record]).record == record
    stranger = make("mx.far.test", issuer=make(common_name="issuer", ca=True))
    assert "no certificate of its chain" in judged([record], stranger).reason
    # The anchor among the certificates that were sent, but not above the host's.
    assert judged([record], chain=[stranger.der, *LEAF.ders[1:]]).record is None


@pytest.mark.parametrize(
    ("names", "fits"),
    [
        (["mx.far.test"], True),
        (["MX.Far.Test"], True),
        (["far.test"], True),  # the next-hop domain (RFC 7672 §3.2.3)
        (["*.far.test"], True),
        (["*.test"], True),  # for far.test
        (["other.test"], False),
        (["*.mx.far.test"], False),
        (["m*.far.test"], False),
        (["127.0.0.1"], False),
    ],
)
def test_usage_2_wants_one_of_the_names(names, fits):
    pair = make(*names, issuer=ISSUER)
    found = judged([tlsa(ROOT, 2, 0, 1)], pair)
    assert bool(found.record) is fits
    assert fits or "names none of mx.far.test, far.test" in found.reason


def test_the_common_name_counts_only_without_dns_names():
    record = tlsa(ISSUER, 2, 1, 1)
    assert judged([record], make(common_name="mx.far.test", issuer=ISSUER)).record == record
    assert judged([record], make("other.test", common_name="mx.far.test", issuer=ISSUER)).record is None


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: make("mx.far.test", issuer=ISSUER, days=(-9, -1)), "is not valid now"),
        (lambda: make("mx.far.test", issuer=ISSUER, days=(1, 9)), "is not valid now"),
        # In the middle: run out, no authority, one that may not issue authorities.
        (lambda: make("mx.far.test", issuer=make(common_name="m", ca=True, issuer=ROOT, days=(-9, -1))), "not valid"),
        (lambda: make("mx.far.test", issuer=make("middle.test", issuer=ROOT)), "no certificate of its chain"),
        (lambda: make("mx.far.test", issuer=make(common_name="deep", ca=True,
                      issuer=make(common_name="m", ca=True, issuer=ROOT, path_length=0))), "no certificate"),
    ],
)  # fmt: skip
def test_chains_that_are_none(build, why):
    assert why in judged([tlsa(ROOT, 2, 0, 1)], build()).reason


def test_an_anchor_given_whole_need_not_be_sent():
    pair = make("mx.far.test", issuer=ISSUER, sends_issuer=False)
    assert judged([tlsa(ISSUER, 2, 0, 0)], pair).record
    assert judged([tlsa(ISSUER, 2, 1, 0)], pair).record  # by its bare key (RFC 7671 §5.2.2)
    assert judged([tlsa(ISSUER, 2, 1, 1)], pair).record is None
    assert judged([tlsa(ROOT, 2, 1, 0)], pair).record is None


def test_a_self_signed_certificate_is_no_trust_anchor_for_itself():
    alone = make("mx.far.test", ca=True)
    assert judged([tlsa(alone, 2, 0, 1)], alone).record is None


@pytest.mark.parametrize("chain", [[], [b"junk"], [b"junk", LEAF.der], [LEAF.der, b"junk"]])
def test_broken_chains(chain):
    records = [tlsa(ROOT, 2, 0, 1), tlsa(ISSUER, 3, 1, 1)]
    assert judged(records, chain=chain).record is None


def test_a_chain_without_end_costs_little():
    chain = [LEAF.der] + [make(common_name="root", ca=True, key=ROOT.key).der] * 500
    assert judged([tlsa(make(common_name="x", ca=True), 2, 0, 1)], chain=chain).record is None
    assert len(dane.usable([tlsa(LEAF, 3, 1, 1)] * 500)) == dane.MAX_RECORDS


def test_keys_of_other_kinds_are_compared_too():
    key = ec.generate_private_key(ec.SECP384R1())
    pair = make("mx.far.test", key=key)
    assert pair.spki == key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert judged([tlsa(pair, 3, 1, 1)], pair).record


# Look-ups (RFC 7672 §2.2): zones that are signed but for what a row changes.

GOOD = tlsa(LEAF, 3, 1, 1)


def ok(*rdata, secure=True):
    return Answer(Status.OK, rdata, 300, secure)


def none(status=Status.NODATA, secure=True):
    return Answer(status, (), 300, secure)


FAILED = Answer(Status.TEMPERROR)
ZONE = {
    ("far.test", "MX"): ok(Mx(10, "mx.far.test")),
    ("mx.far.test", "A"): ok("192.0.2.1"),
    ("mx.far.test", "AAAA"): none(),
    ("mx.far.test", "CNAME"): none(),
    ("_25._tcp.mx.far.test", "TLSA"): ok(GOOD),
}
ALIAS = {
    ("mx.far.test", "CNAME"): ok("host.else.test"),
    ("host.else.test", "A"): ok("192.0.2.1"),
    ("host.else.test", "AAAA"): none(),
}


@pytest.mark.parametrize(
    ("changes", "state", "names", "reason"),
    [
        ({}, State.USABLE, ("mx.far.test", "far.test"), "TLSA 3 1 1"),
        # The MX records must be secure; so must the answer that there are none.
        ({("far.test", "MX"): ok(Mx(10, "mx.far.test"), secure=False)}, State.NONE, None, "far.test are not"),
        ({("far.test", "MX"): FAILED}, State.FAILED, None, "MX"),
        ({("far.test", "MX"): none(secure=False)}, State.NONE, None, "MX"),
        ({("far.test", "MX"): none()}, State.USABLE, None, ""),
        # The addresses.
        ({("mx.far.test", "A"): ok("192.0.2.1", secure=False)}, State.NONE, None, "addresses of mx.far.test are not"),
        ({("mx.far.test", "AAAA"): none(secure=False)}, State.NONE, None, "addresses"),
        ({("mx.far.test", "A"): FAILED}, State.FAILED, None, "addresses"),
        ({("mx.far.test", "AAAA"): FAILED}, State.FAILED, None, "addresses"),
        # TLSA.
        ({("_25._tcp.mx.far.test", "TLSA"): FAILED}, State.FAILED, None, "no sound answer about TLSA"),
        ({("_25._tcp.mx.far.test", "TLSA"): none()}, State.NONE, None, "no TLSA"),
        ({("_25._tcp.mx.far.test", "TLSA"): none(Status.NXDOMAIN)}, State.NONE, None, "no TLSA"),
        ({("_25._tcp.mx.far.test", "TLSA"): ok(GOOD, secure=False)}, State.NONE, None, "not signed"),
        ({("_25._tcp.mx.far.test", "TLSA"): ok(Tlsa(1, 1, 1, b"x" * 32))}, State.UNUSABLE, None, "none of the 1"),
        ({("_25._tcp.mx.far.test", "TLSA"): ok(Tlsa(1, 1, 1, b"x" * 32), GOOD)}, State.USABLE, None, ""),
        # Aliases (§2.2.2, §2.2.3): the end's records first, then the host's own.
        (ALIAS | {("_25._tcp.host.else.test", "TLSA"): ok(GOOD)}, State.USABLE,
         ("host.else.test", "mx.far.test", "far.test"), "host.else.test"),
        (ALIAS, State.USABLE, ("mx.far.test", "far.test"), "at mx.far.test"),
        (ALIAS | {("host.else.test", "A"): ok("192.0.2.1", secure=False),
                  ("mx.far.test", "A"): ok("192.0.2.1", secure=False)}, State.USABLE, None, "at mx.far.test"),
        (ALIAS | {("mx.far.test", "CNAME"): ok("host.else.test", secure=False),
                  ("mx.far.test", "A"): ok("192.0.2.1", secure=False)}, State.NONE, None, "addresses"),
        (ALIAS | {("_25._tcp.host.else.test", "TLSA"): FAILED}, State.FAILED, None, "host.else.test"),
        (ALIAS | {("host.else.test", "AAAA"): FAILED}, State.FAILED, None, "host.else.test"),
    ],
)  # fmt: skip
def test_what_dns_says(changes, state, names, reason):
    found = asyncio.run(dane.look_up(ZoneResolver(ZONE | changes), "far.test", "mx.far.test"))
    assert found.state is state and reason in found.reason
    assert names is None or found.names == names
    assert found.records == ((GOOD,) if state is State.USABLE else ())


def test_insecure_zones_are_not_asked_for_tlsa():
    """RFC 7672 §2.1.3: name servers of unsigned zones choke on it."""
    resolver = ZoneResolver(ZONE | {("mx.far.test", "A"): ok("192.0.2.1", secure=False)})
    asyncio.run(dane.look_up(resolver, "far.test", "mx.far.test"))
    assert not [rdtype for _, rdtype in resolver.asked if rdtype == "TLSA"]


def test_the_port_is_in_the_name():
    assert dane.record_name("mx.far.test") == "_25._tcp.mx.far.test"
    assert dane.record_name("mx.far.test", 2525) == "_2525._tcp.mx.far.test"
