"""RFC 8617, rule by rule, and with others: chains of ours, of dkimpy and of mailauth, validated by all."""

import asyncio
import base64
import hashlib
import time

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from dkim_craft import BODY, HEADER, NOW, craft
from oracles import TestKey, dkimpy_dns, mailauth, resolver_of, zone_of

from mailsuite.mail.header import MAX_HEADER_OCTETS, header_end
from mailsuite.mail.parsed_header import Header
from mailsuite.mailauth.arc import ArcOutcome, Sealer, find_sets, validate
from mailsuite.mailauth.arc_seal import seal
from mailsuite.mailauth.dkim import BodyHashes, RelaxedBodyHash
from mailsuite.mailauth.dkim.header import HeaderFields, canonical_field
from mailsuite.mailauth.dkim.sign import SigningError, sign_digest
from mailsuite.resolver.answers import Answer, Status, ZoneResolver

PRIVATE = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
KEYS = [TestKey(f"hop{number}.example", "arc", PRIVATE[number % 2]) for number in range(30)]
ZONE = zone_of(*KEYS)
CLAIMS = b"mx.hop.example;\r\n\tspf=pass smtp.mailfrom=ann@example.org;\r\n\tdmarc=pass header.from=example.org"
MAIL = HEADER + BODY


def outcome(message: bytes, zone=ZONE, now: float = NOW) -> ArcOutcome:
    end = header_end(message, 0, len(message))
    sets = find_sets(HeaderFields(Header.parse(message[:end])))
    hashes = BodyHashes(sets.body_users)
    hashes.update(message[end:])
    resolver = zone if hasattr(zone, "query") else resolver_of(zone)
    return asyncio.run(validate(sets, HeaderFields(Header.parse(message[:end])), hashes, resolver, now))


def sealed(message: bytes, *, by: int = 0, cv: str | None = None, now: int = NOW) -> bytes:
    """The message as hop number `by` sends it on."""
    end = header_end(message, 0, len(message))
    hashed = RelaxedBodyHash()
    hashed.update(message[end:])
    found = outcome(message, now=now)
    status = found.cv if cv is None else cv
    key = KEYS[by].signing_key
    return seal(Header.parse(message[:end]), hashed.digest(), CLAIMS, status, found.instance + 1, key, now) + message


def chain(length: int, now: int = NOW) -> bytes:
    message = MAIL
    for number in range(length):
        message = sealed(message, by=number, now=now)
    return message


def test_no_chain_is_none():
    assert outcome(MAIL) == ArcOutcome("none")
    assert outcome(MAIL).cv == "none"


def test_a_chain_passes_and_tells_its_sealers():
    found = outcome(chain(3))
    assert (found.result, found.reason, found.cv, found.instance) == ("pass", "", "pass", 3)
    assert found.sealers == tuple(Sealer(number + 1, f"hop{number}.example", "arc") for number in range(3))
    assert found.claims == CLAIMS


def test_our_set_stands_in_order_with_cv_none_first():
    message = chain(2)
    names = [line.partition(b":")[0] for line in message.split(b"\r\n") if line.startswith(b"ARC-")]
    assert names == [b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"] * 2
    assert message.count(b"cv=pass") == message.count(b"cv=none") == 1
    assert b" h=" not in message.partition(b"ARC-Message-Signature")[0]


def test_older_signatures_may_be_broken_but_not_the_newest():
    """§5.2: who changes a message seals it anew."""
    changed = chain(1).replace(b"bye", b"good-bye")
    assert outcome(changed).result == "fail"
    again = sealed(changed, by=1, cv="pass")
    assert outcome(again).result == "pass"
    assert outcome(again.replace(b"good-bye", b"bye")).reason == "the signature of set 2: the body has been changed"


def crafted(instance: int, cv: str, before: bytes = b"", *, drop: str = "", name: str = "", **tags) -> bytes:
    """A set of any shape, over the sets before it, that is properly signed. Tags named ams_x and as_x go into the
    signature and the seal, `drop` leaves a field out."""
    key = KEYS[0]
    own = {side: {n.removeprefix(side): v for n, v in tags.items() if n.startswith(side)} for side in ("ams_", "as_")}
    results = tags.get("aar", f"ARC-Authentication-Results: i={instance}; mx.hop.example; none\r\n").encode()
    signature_tags = {"v": None, "i": str(instance)} | own["ams_"]
    signature = craft(key, before + HEADER, BODY, name="ARC-Message-Signature", **signature_tags)
    values = {"i": instance, "a": "rsa-sha256", "cv": cv, "d": key.domain, "s": key.selector, "t": NOW} | own["as_"]
    unsigned = ("ARC-Seal: " + "; ".join(f"{n}={v}" for n, v in values.items() if v is not None) + "; b=").encode()
    digest = hashlib.sha256()
    for field in (*tags.get("earlier", ()), results, signature):
        digest.update(canonical_field(field.removesuffix(b"\r\n"), "relaxed") + b"\r\n")
    digest.update(canonical_field(unsigned, "relaxed"))
    closing = unsigned + base64.b64encode(sign_digest(key.signing_key, digest.digest())) + b"\r\n"
    parts = {"as": closing, "ams": signature, "aar": results}
    return b"".join(part for which, part in parts.items() if which != drop)


ONE_SET = [
    ({}, "pass", ""),
    # §4.1: instances
    ({"ams_i": "2"}, "fail", "not complete"),
    ({"as_i": "2"}, "fail", "not complete"),
    ({"aar": "ARC-Authentication-Results: i=2; x; none\r\n"}, "fail", "not complete"),
    ({"aar": "ARC-Authentication-Results: i=1 ; x; none\r\n"}, "pass", ""),
    ({"aar": "ARC-Authentication-Results: x; i=1; none\r\n"}, "fail", "not complete"),
    ({"aar": "ARC-Authentication-Results: i=; x; none\r\n"}, "fail", "not complete"),
    ({"ams_i": "0"}, "fail", "not complete"),
    ({"ams_i": None}, "fail", "not complete"),
    ({"as_i": "x"}, "fail", "not complete"),
    ({"as_i": None}, "fail", "not complete"),
    ({"drop": "as"}, "fail", "not complete"),
    ({"drop": "ams"}, "fail", "not complete"),
    ({"drop": "aar"}, "fail", "not complete"),
    # §4.1.2: the signature
    ({"ams_h": "from:to:subject:date:dkim-signature"}, "pass", ""),
    ({"ams_h": "to:subject"}, "fail", "From is not signed"),
    ({"ams_h": "from:arc-seal"}, "fail", "covers seals"),
    ({"ams_c": "simple/simple"}, "pass", ""),
    ({"ams_c": None}, "pass", ""),
    ({"ams_a": "rsa-sha1"}, "fail", "rsa-sha1"),
    ({"ams_a": "rsa-sha512"}, "fail", "unknown algorithm"),
    ({"ams_bh": base64.b64encode(bytes(32)).decode()}, "fail", "the body has been changed"),
    ({"ams_b": "AAAA"}, "fail", "does not match"),
    ({"ams_l": "3"}, "fail", "only part of the body"),
    ({"ams_x": str(NOW - 400)}, "fail", "expired"),
    ({"ams_t": str(NOW + 51000)}, "fail", "from the future"),
    ({"ams_d": "nobody.example"}, "fail", "there is no key at arc._domainkey.nobody.example"),
    ({"ams_unknown": "ignored"}, "pass", ""),
    ({"ams_v": "1"}, "pass", ""),
    # §4.1.3: the seal
    ({"as_h": "from"}, "fail", "no h="),
    ({"as_a": "rsa-sha1"}, "fail", "rsa-sha1"),
    ({"as_a": None}, "fail", "no a="),
    ({"as_d": None}, "fail", "no d="),
    ({"as_s": None}, "fail", "no s="),
    ({"as_t": None}, "pass", ""),
    ({"as_t": "x"}, "fail", "t= is no number"),
    ({"as_unknown": "ignored"}, "pass", ""),
    ({"as_d": "nobody.example"}, "fail", "there is no key at arc._domainkey.nobody.example"),
    ({"cv": "none; cv=none"}, "fail", "not complete"),
    # §4.4: the chain's status
    ({"cv": "None"}, "pass", ""),
    ({"cv": "pass"}, "fail", "says cv=pass"),
    ({"cv": "fail"}, "fail", "found the chain broken"),
    ({"cv": "maybe"}, "fail", "cv= is not"),
    ({"cv": ""}, "fail", "no cv="),
]


@pytest.mark.parametrize(("changes", "result", "reason"), ONE_SET, ids=[str(case[0]) for case in ONE_SET])
def test_a_set_may_say(changes, result, reason):
    found = outcome(crafted(1, **({"cv": "none"} | changes)) + MAIL)
    assert (found.result, reason in found.reason) == (result, True), found.reason
    assert bool(found.reason) is (result != "pass")


@pytest.mark.parametrize(
    "forge",
    [
        lambda mail: mail.replace(b"spf=pass", b"spf=fail", 1),
        lambda mail: mail.replace(b"spf=pass", b"spf=none", 3),
        lambda mail: mail.replace(b"Ann", b"Eve", 1),
        lambda mail: mail.replace(b"bye", b"buy", 1),
        lambda mail: mail.replace(b"t=1700000000", b"t=1700000001", 1),
        lambda mail: mail.replace(b"t=1700000000", b"t=1700000001"),
        lambda mail: mail.replace(b"cv=none", b"cv=pass"),
        lambda mail: mail.replace(b"cv=pass", b"cv=none"),
        lambda mail: mail[mail.index(b"ARC-Message-Signature") :],
        lambda mail: mail.replace(b"ARC-Seal: i=2", b"X-Seal: i=2"),
        lambda mail: mail + b"more\r\n",
        lambda mail: b"From: eve@evil.test\r\n" + mail,
        lambda mail: mail[: mail.index(b"ARC-Seal: i=2")] + mail[mail.index(b"ARC-Seal: i=1") :],
        lambda mail: mail[: mail.index(b"ARC-Seal: i=2")] + mail,
        lambda mail: sealed(MAIL, by=5) + mail[: -len(MAIL)] + MAIL,
    ],
)
def test_nothing_in_a_chain_can_be_changed(forge):
    message = chain(3)
    forged = forge(message)
    assert forged != message
    assert outcome(forged).result == "fail"


def test_a_set_cannot_be_cut_off_and_the_rest_be_passed_on_unseen():
    """The sets under a cut are a chain still; who it leads to is in the sealers."""
    message = chain(3)
    shorter = message[message.index(b"ARC-Seal: i=2") :]
    found = outcome(shorter)
    assert (found.result, found.instance, len(found.sealers)) == ("pass", 2, 2)


def test_fields_may_stand_anywhere():
    message = chain(2)
    end = header_end(message, 0, len(message)) - 2
    first = message.index(b"ARC-Seal: i=2")
    second = message.index(b"ARC-Seal: i=1")
    moved = message[second:end] + message[first:second] + message[end:]
    assert outcome(moved).result == "pass"


def test_what_dns_cannot_say_is_temperror_and_nothing_may_be_sealed():
    message = chain(2)
    for missing in KEYS[:2]:
        zone = {(name, "TXT"): [record] for name, record in ZONE.items()}
        found = outcome(message, ZoneResolver(zone | {(missing.name, "TXT"): Answer(Status.TEMPERROR)}))
        assert (found.result, found.cv) == ("temperror", "")
        assert "DNS gives no answer" in found.reason


def test_fifty_sets_are_the_most():
    message = MAIL
    for number in range(50):
        message = sealed(message, by=number % 15, cv="pass" if number else "none")
    resolver = resolver_of(ZONE)
    found = outcome(message, resolver)
    assert (found.result, found.instance, found.cv) == ("pass", 50, "")
    assert len(resolver.asked) == 16  # each seal's key once, and the newest signature's
    with pytest.raises(SigningError):
        sealed(message, cv="pass")
    field = b"ARC-Seal: i=51; a=rsa-sha256; cv=pass; d=hop0.example; s=arc; b=AAAA\r\n"
    assert outcome(field + message).reason == "there are more than 50 sets"
    assert outcome(b"ARC-Seal: i=99; cv=pass\r\n" + chain(1)).result == "fail"


def test_a_crowd_of_keys_is_not_asked_for():
    message = MAIL
    for number in range(21):
        message = sealed(message, by=number, cv="pass" if number else "none")
    resolver = resolver_of(ZONE)
    found = outcome(message, resolver)
    assert (found.result, found.reason) == ("fail", "there are more than 20 different keys")
    assert resolver.asked == []


def test_work_is_bounded():
    """Only the newest signature's body is hashed, and the chain once for all seals."""
    message = chain(15)
    end = header_end(message, 0, len(message))
    sets = find_sets(HeaderFields(Header.parse(message[:end])))
    assert len(sets.body_users) == 1
    assert len(sets.key_names) == 15
    big = b"X: " + b"a" * MAX_HEADER_OCTETS + b"\r\n" + message
    resolver = resolver_of(ZONE)
    assert (outcome(big, resolver).result, resolver.asked) == ("fail", [])


@pytest.mark.parametrize("octets", [b"", b"\0", b"i", b"i=", b"i=1;" * 3000, b";" * 9, b"\xff", b"i=1" + b" " * 9000])
@pytest.mark.parametrize("name", [b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"])
def test_nonsense_is_a_failed_chain(name, octets):
    found = outcome(name + b": " + octets + b"\r\n" + MAIL)
    assert found.result == "fail"
    assert outcome(name + b": " + octets + b"\r\n" + chain(1)).result == "fail"


def test_a_broken_resolver_is_an_outcome():
    class Broken:
        async def query(self, name, rdtype):
            raise RuntimeError

    assert outcome(chain(1), Broken()).result == "fail"


# Sealing


def test_a_failed_chain_is_sealed_once_as_failed():
    broken = chain(2).replace(b"spf=pass", b"spf=fail", 1)
    assert outcome(broken).cv == "fail"
    message = sealed(broken, by=2)
    assert b"cv=fail" in message
    assert outcome(message).reason == "the sealer of set 3 found the chain broken"
    with pytest.raises(SigningError, match="nobody seals it again"):
        sealed(message, by=3)


@pytest.mark.parametrize(
    ("cv", "instance"), [("pass", 1), ("fail", 1), ("none", 2), ("pass", 3), ("", 2), ("none", 51), ("none", 0)]
)
def test_a_set_that_does_not_follow_is_not_sealed(cv, instance):
    message = MAIL if instance < 2 else chain(1)
    end = header_end(message, 0, len(message))
    with pytest.raises(SigningError):
        seal(Header.parse(message[:end]), b"x", CLAIMS, cv, instance, KEYS[0].signing_key, NOW)


def test_seals_are_rsa():
    key = TestKey("a.test", "e", ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(SigningError, match="RSA"):
        seal(Header.parse(HEADER), b"x", CLAIMS, "none", 1, key.signing_key, NOW)


def test_what_has_no_author_is_not_sealed():
    with pytest.raises(SigningError, match="no From"):
        seal(Header.parse(b"To: x\r\n\r\n"), b"x", CLAIMS, "none", 1, KEYS[0].signing_key, NOW)


def test_what_vouched_for_the_message_before_is_covered():
    message = sealed(craft(KEYS[1]) + MAIL)
    assert outcome(message).result == "pass"
    assert outcome(message.replace(b"DKIM-Signature: v=1", b"DKIM-Signature: v=2")).result == "fail"


# With others


def dkimpy_says(message: bytes) -> str:
    result, _, reason = dkim.arc_verify(message, dnsfunc=dkimpy_dns(ZONE))
    return result.decode()


def mailauth_says(*messages: bytes) -> list[str]:
    asked = [{"do": "verify", "message": message, "zone": ZONE, "now": time.time()} for message in messages]
    return [answer["arc"]["result"] for answer in mailauth(asked)]


def test_ours_is_validated_by_dkimpy():
    for length in (1, 2, 5):
        assert dkimpy_says(chain(length)) == "pass"
    assert dkimpy_says(chain(2).replace(b"spf=pass", b"spf=fail", 1)) == "fail"


def test_ours_is_validated_by_mailauth():
    messages = [chain(length, int(time.time())) for length in (1, 2, 5)]
    messages.append(messages[1].replace(b"spf=pass", b"spf=fail", 1))
    assert mailauth_says(*messages) == ["pass", "pass", "pass", "fail"]


def sealed_by_dkimpy(message: bytes, number: int, cv: bytes) -> bytes:
    key = KEYS[number]
    results = b"Authentication-Results: mx.hop.example; arc=%b; spf=pass smtp.mailfrom=ann@example.org\r\n" % cv
    made = dkim.arc_sign(
        results + message,
        key.selector.encode(),
        key.domain.encode(),
        key.for_dkimpy,
        b"mx.hop.example",
        include_headers=[b"from", b"to", b"subject", b"date"],
        timestamp=NOW,
    )
    assert made
    return b"".join(made) + message


def sealed_by_mailauth(message: bytes, number: int, cv: str) -> bytes:
    key = KEYS[number]
    options = {
        "signingDomain": key.domain,
        "selector": key.selector,
        "privateKey": key.pem,
        "authResults": "mx.hop.example; spf=pass smtp.mailfrom=ann@example.org",
        "cv": cv,
        "signTime": NOW * 1000,
    }
    (fields,) = mailauth([{"do": "seal", "message": message, "options": options}])
    return fields.encode() + message


def test_theirs_is_validated_by_us():
    assert outcome(sealed_by_dkimpy(MAIL, 0, b"none")).result == "pass"
    assert outcome(sealed_by_mailauth(MAIL, 0, "none")).result == "pass"


def test_a_chain_of_all_three_is_validated_by_all_three():
    message = sealed_by_dkimpy(MAIL, 0, b"none")
    message = sealed(message, by=1)
    message = sealed_by_mailauth(message, 2, "pass")
    message = sealed_by_dkimpy(message, 3, b"pass")
    message = sealed(message, by=4)
    assert [one.domain for one in outcome(message).sealers] == [f"hop{number}.example" for number in range(5)]
    assert (outcome(message).result, dkimpy_says(message), mailauth_says(message)) == ("pass", "pass", ["pass"])
