"""ARC (RFC 8617): the chain of those who forwarded a message and said what they had found, validated; and ours added.

A chain proves who claims what, not that the claim is true: whom to believe is the site's to say. Its signatures are
DKIM's and are read and verified by the same code. Nothing but cancellation is raised by finding and validating.

    header = HeaderFields(Header.parse(header_block))
    sets = find_sets(header)
    hashes = BodyHashes([*signatures, *sets.body_users])
    outcome = await validate(sets, header, hashes, resolver, now)
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailsuite.mailauth.dkim.body import BodyHashes
from mailsuite.mailauth.dkim.header import HeaderFields, canonical_field
from mailsuite.mailauth.dkim.keys import Key, KeyProblem, fetch_records, read_key
from mailsuite.mailauth.dkim.message import MAX_FIELD_OCTETS, Signature, read_seal, read_signature
from mailsuite.mailauth.dkim.tags import WHITE_SPACE
from mailsuite.mailauth.dkim.verify import verify_one
from mailsuite.resolver.answers import Resolver

MAX_INSTANCE = 50
MAX_KEYS = 20
NAMES = (b"arc-authentication-results", b"arc-message-signature", b"arc-seal")

# arc-info = instance [CFWS] ";" authres-payload (§4.1.1); comments there are seen nowhere
_AAR = re.compile(rb"[ \t\r\n]*i[ \t\r\n]*=[ \t\r\n]*([0-9]{1,2})[ \t\r\n]*;(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ArcSet:
    """One set of three fields, by their places in HeaderFields. `claims` is what the ARC-Authentication-Results field
    says after `i=n;`, as received."""

    instance: int
    results_place: int
    message_signature: Signature
    seal: Signature
    claims: bytes


@dataclass(frozen=True, slots=True)
class ArcSets:
    """The sets from the first to the newest. `problem` says what makes them no chain. `instance` is the highest i= of
    any ARC field, 0 where there is none."""

    sets: tuple[ArcSet, ...] = ()
    problem: str = ""
    instance: int = 0

    @property
    def body_users(self) -> tuple[Signature, ...]:
        """The signatures that need the body's hash: the newest only (§5.2 step 4)."""
        return (self.sets[-1].message_signature,) if self.sets and not self.problem else ()

    @property
    def key_names(self) -> tuple[str, ...]:
        """The names whose TXT records `validate` will ask for, each once."""
        signatures = (*self.body_users, *(one.seal for one in self.sets if not self.problem))
        return tuple(dict.fromkeys(signature.key_name for signature in signatures))


@dataclass(frozen=True, slots=True)
class Sealer:
    instance: int
    domain: str
    selector: str


@dataclass(frozen=True, slots=True)
class ArcOutcome:
    """`result` is none, pass, fail, or temperror where DNS gave no answer. `sealers` are from the first to the newest
    and are proven only by pass. `claims` is the newest set's Authentication-Results payload, as received, and only
    there for pass. `instance` is the highest i= found."""

    result: str
    reason: str = ""
    sealers: tuple[Sealer, ...] = ()
    claims: bytes = b""
    instance: int = 0

    @property
    def cv(self) -> str:
        """What a seal of ours would say (§4.4): none, pass or fail; "" where we can't tell and must not seal."""
        if self.instance >= MAX_INSTANCE or self.result == "temperror":
            return ""
        return self.result


def find_sets(header: HeaderFields) -> ArcSets:
    """Return the message's ARC sets. Never raises."""
    places = [header.named(name) for name in NAMES]
    if header.problem or not any(places):
        return ArcSets(problem=header.problem if header.problem and b"\narc-" in header.header.block.lower() else "")
    if any(len(found) > MAX_INSTANCE for found in places):
        return ArcSets(problem=f"there are more than {MAX_INSTANCE} sets", instance=MAX_INSTANCE)
    results = [_read_results(header.field(place), place) for place in places[0]]
    signatures = [read_signature(header.field(place), place, is_arc=True) for place in places[1]]
    seals = [read_seal(header.field(place), place) for place in places[2]]
    instances = [[found[0] for found in results], *([one.instance for one in kind] for kind in (signatures, seals))]
    highest = max(number for kind in instances for number in kind)
    expected = list(range(1, highest + 1))
    if not 1 <= highest <= MAX_INSTANCE or any(sorted(kind) != expected for kind in instances):
        return ArcSets(problem="the sets are not complete and numbered from 1", instance=min(highest, MAX_INSTANCE))
    by_instance = ({one.instance: one for one in kind} for kind in (signatures, seals))
    signature_of, seal_of = by_instance
    sets = tuple(
        ArcSet(number, place, signature_of[number], seal_of[number], claims)
        for number, place, claims in sorted(results)
    )
    return ArcSets(sets, _problem(sets), highest)


async def validate(
    sets: ArcSets, header: HeaderFields, hashes: BodyHashes, resolver: Resolver, now: float
) -> ArcOutcome:
    """Return the chain's outcome (§5.2). `hashes` were made with the sets' body_users and fed the body."""
    sealers = tuple(Sealer(one.instance, one.seal.domain, one.seal.selector) for one in sets.sets)
    if sets.problem:
        return ArcOutcome("fail", sets.problem, sealers, instance=sets.instance)
    if not sets.sets:
        return ArcOutcome("none")
    try:
        result, reason = await _validate(sets, header, hashes, resolver, now)
    except KeyProblem as problem:
        result, reason = "temperror" if problem.result == "temperror" else "fail", problem.reason
    except Exception as error:
        # As for DKIM: a stranger chose these octets.
        result, reason = "fail", f"it could not be checked ({type(error).__name__})"
    claims = sets.sets[-1].claims if result == "pass" else b""
    return ArcOutcome(result, reason, sealers, claims, sets.instance)


async def _validate(
    sets: ArcSets, header: HeaderFields, hashes: BodyHashes, resolver: Resolver, now: float
) -> tuple[str, str]:
    newest = sets.sets[-1]
    outcome = await verify_one(newest.message_signature, header, hashes, resolver, now)
    if outcome.result != "pass":
        result = "temperror" if outcome.result == "temperror" else "fail"
        return result, f"the signature of set {newest.instance}: {outcome.reason}"
    names = {one.seal.key_name for one in sets.sets}
    records = {name: await fetch_records(resolver, name) for name in names}
    chain = hashlib.sha256()
    for one in sets.sets:
        for place in (one.results_place, one.message_signature.place):
            chain.update(header.canonical(place, "relaxed"))
        sealed = chain.copy()
        sealed.update(canonical_field(one.seal.unsigned, "relaxed"))
        if not _verifies(one.seal, sealed.digest(), records[one.seal.key_name]):
            return "fail", f"the seal of set {one.instance} does not match"
        chain.update(header.canonical(one.seal.place, "relaxed"))
    return "pass", ""


def _verifies(seal: Signature, digest: bytes, records: Sequence[bytes]) -> bool:
    keys: list[Key] = []
    problem: KeyProblem | None = None
    for record in records:
        try:
            keys.append(read_key(record, seal.key_algorithm))
        except KeyProblem as found:
            problem = problem or found
    if problem and not keys:
        raise problem
    return any(key.verifies(seal.signature, digest) for key in keys)


def _read_results(field: bytes, place: int) -> tuple[int, int, bytes]:
    """Instance (0 where there is none), place and payload of an ARC-Authentication-Results field."""
    found = _AAR.match(field.partition(b":")[2]) if len(field) <= MAX_FIELD_OCTETS else None
    return (int(found[1]), place, found[2].strip(WHITE_SPACE)) if found else (0, place, b"")


def _problem(sets: Sequence[ArcSet]) -> str:
    """What makes complete sets no chain, before any signature is looked at (§5.2 steps 2 and 3)."""
    newest = sets[-1]
    if newest.seal.chain_status == "fail":
        return f"the sealer of set {newest.instance} found the chain broken"
    for one in sets:
        if one.seal.result:
            return f"the seal of set {one.instance}: {one.seal.reason}"
        if one.seal.chain_status != ("none" if one.instance == 1 else "pass"):
            return f"the seal of set {one.instance} says cv={one.seal.chain_status}"
    if newest.message_signature.result:
        return f"the signature of set {newest.instance}: {newest.message_signature.reason}"
    if b"arc-seal" in newest.message_signature.signed_names:
        return f"the signature of set {newest.instance} covers seals"
    if len({newest.message_signature.key_name, *(one.seal.key_name for one in sets)}) > MAX_KEYS:
        return f"there are more than {MAX_KEYS} different keys"
    return ""
