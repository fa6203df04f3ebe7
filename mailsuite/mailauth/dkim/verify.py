"""Signatures verified (RFC 6376 §6.1, RFC 8301): one outcome for each, whatever its sender made up.

Nothing but cancellation is raised. What DNS can't say now is temperror; what is wrong with signature or key is
permerror; what is proper but proves too little for us is policy; only a signature over other octets is fail.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailsuite.mailauth.dkim.body import BodyHashes
from mailsuite.mailauth.dkim.header import HeaderFields
from mailsuite.mailauth.dkim.keys import Key, KeyProblem, fetch_records, read_key
from mailsuite.mailauth.dkim.message import Signature
from mailsuite.resolver.answers import Resolver

CLOCK_SKEW = 300  # seconds that clocks may differ by
# A signer whose clock shows local time as UTC is ahead by as much; that a signature came early proves nothing against
# it (RFC 6376 §3.5: a receiver MAY ignore one from the future), unlike one that has expired.
AHEAD_SKEW = 14 * 3600


@dataclass(frozen=True, slots=True)
class DkimOutcome:
    """One signature's outcome. `result` is none, pass, fail, policy, neutral, temperror or permerror (RFC 8601
    §2.7.1), `reason` says why in words for people; `b_start` are the first characters of b=, which tell equal
    signatures apart; `is_testing` is the key's t=y, which changes no result; `signed_names` is h= in lower case."""

    result: str
    reason: str = ""
    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    key_bits: int = 0
    b_start: str = ""
    is_testing: bool = False
    signed_names: tuple[str, ...] = ()


def key_names(signatures: Sequence[Signature]) -> tuple[str, ...]:
    """Return the names whose TXT records `verify` will ask for, each once."""
    return tuple(dict.fromkeys(signature.key_name for signature in signatures if signature.is_open))


async def verify(
    signatures: Sequence[Signature], header: HeaderFields, hashes: BodyHashes, resolver: Resolver, now: float
) -> tuple[DkimOutcome, ...]:
    """Return an outcome for each of the signatures, in their order. `hashes` were made of them and fed the body; `now`
    are seconds of 1970."""
    if not any(signature.is_open for signature in signatures):
        return tuple(_outcome(signature, signature.result, signature.reason) for signature in signatures)
    return tuple([await verify_one(signature, header, hashes, resolver, now) for signature in signatures])


async def verify_one(
    signature: Signature, header: HeaderFields, hashes: BodyHashes, resolver: Resolver, now: float
) -> DkimOutcome:
    """Return the outcome of one signature."""
    try:
        if problem := _known_problem(signature, now):
            return _outcome(signature, *problem)
        records = await fetch_records(resolver, signature.key_name)
        return _judge(signature, records, header, hashes)
    except KeyProblem as problem:
        return _outcome(signature, problem.result, problem.reason)
    except Exception as error:
        # Octets chosen by a stranger went through a parser or a library; nobody else's mail must wait for that.
        return _outcome(signature, "permerror", f"it could not be checked ({type(error).__name__})")


def _known_problem(signature: Signature, now: float) -> tuple[str, str] | None:
    if not signature.is_open:
        return signature.result, signature.reason
    if signature.expires_at is not None and signature.expires_at + CLOCK_SKEW < now:
        return "permerror", "the signature has expired"
    if signature.signed_at is not None and signature.signed_at - AHEAD_SKEW > now:
        return "permerror", "the signature is from the future"
    return None


def _judge(signature: Signature, records: Sequence[bytes], header: HeaderFields, hashes: BodyHashes) -> DkimOutcome:
    """The first pass among the key records, else what the first of them gave (RFC 6376 §6.1.2)."""
    outcomes: list[DkimOutcome] = []
    for record in records:
        try:
            key = read_key(record, signature.key_algorithm)
        except KeyProblem as problem:
            outcomes.append(replace(_outcome(signature, problem.result, problem.reason), key_bits=problem.bits))
            continue
        result, reason = _judge_with(key, signature, header, hashes)
        found = replace(_outcome(signature, result, reason), key_bits=key.bits, is_testing=key.is_testing)
        if result == "pass":
            return found
        outcomes.append(found)
    return next((one for one in outcomes if one.result != "permerror"), outcomes[0])


def _judge_with(key: Key, signature: Signature, header: HeaderFields, hashes: BodyHashes) -> tuple[str, str]:
    if key.is_exact and signature.identity_domain != signature.domain:
        return "permerror", "the key is for its very domain, and i= names one below it"
    body_hash = hashes.digest(signature)
    if body_hash is None:
        return "permerror", "l= is larger than the body"
    if body_hash != signature.body_hash:
        return "fail", "the body has been changed"
    digest = header.signed_hash(signature.signed_names, signature.header_canon, signature.place, signature.unsigned)
    if not key.verifies(signature.signature, digest):
        return "fail", "the signature does not match the signed header fields or the key"
    if signature.body_length is not None and signature.body_length < hashes.octets(signature):
        return "policy", "only part of the body is signed (l=)"
    return "pass", ""


def _outcome(signature: Signature, result: str, reason: str) -> DkimOutcome:
    return DkimOutcome(
        result,
        reason,
        signature.domain,
        signature.selector,
        signature.identity,
        signature.algorithm,
        b_start=signature.b_start,
        signed_names=tuple(name.decode("ascii") for name in signature.signed_names),
    )
