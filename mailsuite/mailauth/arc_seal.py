"""An ARC set of ours (RFC 8617 §5.1), for a message that we send on: what we found, signed with the message and sealed
with all sets before it. Used of dkimpy is what mailsuite.mailauth.dkim.sign uses of it: its exceptions here."""

import hashlib

import dkim

from mailsuite.mail.parsed_header import Header
from mailsuite.mailauth.arc import MAX_INSTANCE, ArcSets, find_sets
from mailsuite.mailauth.dkim.header import HeaderFields, canonical_field
from mailsuite.mailauth.dkim.sign import ALGORITHMS, SigningError, SigningKey, signed_field, signed_names


def seal(
    message_header: Header, body_hash: bytes, claims: bytes, cv: str, instance: int, key: SigningKey, timestamp: int
) -> bytes:
    """Return the three fields of set `instance`, to be put in front of the header as it is then.

    `body_hash` is RelaxedBodyHash's, `claims` authentication_results.payload's, `cv` and `instance - 1` what our own
    validation gave (ArcOutcome.cv and .instance). Raises SigningError, where nothing may be sealed as well: after
    cv=fail, past MAX_INSTANCE, or with a number or status that doesn't follow.
    """
    header = HeaderFields(message_header)
    sets = find_sets(header)
    if problem := _problem(sets, cv, instance, key):
        raise SigningError(problem)
    try:
        results = b"ARC-Authentication-Results: i=%d; %b\r\n" % (instance, claims)
        signature = _message_signature(header, body_hash, instance, key, timestamp)
        return _seal(header, sets, (results, signature), cv, instance, key, timestamp) + signature + results
    except (dkim.DKIMException, ValueError, TypeError) as error:
        raise SigningError(str(error)) from error


def _problem(sets: ArcSets, cv: str, instance: int, key: SigningKey) -> str:
    if key.algorithm != "rsa":
        return "ARC seals are made with RSA keys"
    if instance != sets.instance + 1 or instance > MAX_INSTANCE:
        return f"set {instance} does not follow set {sets.instance}"
    if cv not in (("none",) if instance == 1 else ("pass", "fail")):
        return f"cv={cv} can't be said in set {instance}"
    if sets.sets and sets.sets[-1].seal.chain_status == "fail":
        return "the chain has failed before: nobody seals it again"
    return sets.problem if cv == "pass" else ""


def _message_signature(header: HeaderFields, body_hash: bytes, instance: int, key: SigningKey, timestamp: int) -> bytes:
    # RFC 8617 §4.1.2: the signatures that vouched for the message before us are covered too.
    names = signed_names(header.names) + [b"dkim-signature"] * len(header.named(b"dkim-signature"))
    if names.count(b"from") < 2:
        raise SigningError("the message has no From to sign")
    tags = [
        *_tags(instance, key, timestamp),
        (b"c", b"relaxed/relaxed"),
        (b"h", b" : ".join(names)),
        (b"bh", body_hash),
    ]
    return signed_field(
        b"ARC-Message-Signature", tags, key, lambda unsigned: header.signed_hash(names, "relaxed", -1, unsigned)
    )


def _seal(
    header: HeaderFields,
    sets: ArcSets,
    ours: tuple[bytes, bytes],
    cv: str,
    instance: int,
    key: SigningKey,
    timestamp: int,
) -> bytes:
    chain = hashlib.sha256()
    # §5.1.2: a seal that says fail covers its own set alone.
    for one in sets.sets if cv == "pass" else ():
        for place in (one.results_place, one.message_signature.place, one.seal.place):
            chain.update(header.canonical(place, "relaxed"))
    for field in ours:
        chain.update(canonical_field(field, "relaxed") + b"\r\n")
    tags = [*_tags(instance, key, timestamp), (b"cv", cv.encode())]

    def digest_of(unsigned: bytes) -> bytes:
        chain.update(canonical_field(unsigned, "relaxed"))
        return chain.digest()

    return signed_field(b"ARC-Seal", tags, key, digest_of)


def _tags(instance: int, key: SigningKey, timestamp: int) -> list[tuple[bytes, bytes]]:
    return [
        (b"i", b"%d" % instance),
        (b"a", ALGORITHMS[key.algorithm]),
        (b"d", key.domain.encode("ascii")),
        (b"s", key.selector.encode("ascii")),
        (b"t", b"%d" % timestamp),
    ]
