"""The signatures of a message (RFC 6376 §3.5, §6.1.1): found, put in the order they deserve, and read.

Reading never raises. What a field says wrong is its outcome: `result` and `reason` are set, and nothing more is done
for it; everything that could be read beside is there for the report.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mailsuite.mail.address import AddressError, normalize_domain
from mailsuite.mailauth.dkim.header import HeaderFields
from mailsuite.mailauth.dkim.tags import (
    TagError,
    Tags,
    base64_value,
    colon_list,
    number_value,
    parse_tags,
    unquote,
    utf8_value,
)

MAX_SIGNATURES = 10
MAX_FIELDS_READ = 1_000  # of which those are chosen
MAX_FIELD_OCTETS = 16 * 1024
MAX_SIGNED_NAMES = 200
SHA256_OCTETS = 32
MAX_DIGITS = 76

ALGORITHMS = ("rsa-sha256", "ed25519-sha256")
CHAIN_STATUSES = ("none", "pass", "fail")  # RFC 8617 §4.4
_CANONS = ("simple", "relaxed")
_KEYS = b"._domainkey"
# RFC 5322 §2.2: printable, less the colon; and less the semicolon, which would end the list
_FIELD_NAME = re.compile(rb"[!-9<-~]+")


@dataclass(frozen=True, slots=True)
class Signature:
    """One DKIM-Signature, or another field with its grammar. `place` is the field's in HeaderFields; `unsigned` is the
    field with an empty b=. Domains are A-labels. `body_length` is l=, `signed_at` t=, `expires_at` x= (seconds of
    1970). `instance` is an ARC field's i=, `chain_status` an ARC-Seal's cv=. `result` is "" as long as the outcome is
    open."""

    place: int
    unsigned: bytes = b""
    domain: str = ""
    selector: str = ""
    identity: str = ""
    identity_domain: str = ""
    algorithm: str = ""
    header_canon: str = "simple"
    body_canon: str = "simple"
    signed_names: tuple[bytes, ...] = ()
    body_hash: bytes = b""
    signature: bytes = b""
    b_start: str = ""
    body_length: int | None = None
    signed_at: int | None = None
    expires_at: int | None = None
    instance: int = 0
    chain_status: str = ""
    result: str = ""
    reason: str = ""

    @property
    def is_open(self) -> bool:
        return not self.result

    @property
    def key_name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def key_algorithm(self) -> str:
        return self.algorithm.partition("-")[0]


class _Refused(Exception):
    def __init__(self, result: str, reason: str) -> None:
        super().__init__(reason)
        self.result = result


def find_signatures(header: HeaderFields, author_domain: str = "") -> tuple[Signature, ...]:
    """Return the message's first MAX_SIGNATURES signatures of MAX_FIELDS_READ, those that may align with the domain in
    From before others, else from the top down. Never raises."""
    if header.problem:
        return (Signature(0, result="permerror", reason=header.problem),) if _has_signature(header.header.block) else ()
    found = [read_signature(header.field(place), place) for place in header.named(b"dkim-signature")[:MAX_FIELDS_READ]]
    found.sort(key=lambda signature: _distance(signature.domain, author_domain.lower()))
    return tuple(found[:MAX_SIGNATURES])


def read_signature(field: bytes, place: int, *, is_arc: bool = False) -> Signature:
    """Return what a DKIM-Signature field says, or an ARC-Message-Signature (RFC 8617 §4.1.2), which has no v= and whose
    i= is a number."""
    return _read(field, place, _ARC_STEPS if is_arc else _STEPS)


def read_seal(field: bytes, place: int) -> Signature:
    """Return what an ARC-Seal field says (RFC 8617 §4.1.3)."""
    return _read(field, place, _SEAL_STEPS)


def _read(field: bytes, place: int, steps: Sequence["_Step"]) -> Signature:
    if len(field) > MAX_FIELD_OCTETS:
        reason = f"the field is larger than {MAX_FIELD_OCTETS // 1024} KB"
        return Signature(place, result="permerror", reason=reason)
    known: dict[str, Any] = {}
    try:
        tags = parse_tags(field.partition(b":")[2])
        known["unsigned"] = without_signature(field, tags)
        for step in steps:
            step(tags, known)
    except _Refused as refused:
        known |= {"result": refused.result, "reason": str(refused)}
    except (TagError, AddressError) as error:
        known |= {"result": "permerror", "reason": f"the signature is malformed: {error}"}
    return Signature(place, **known)


def without_signature(field: bytes, tags: Tags) -> bytes:
    """Return the field with the value of b= deleted, white space around it included (§3.7)."""
    if "b" not in tags:
        return field
    name, colon, value = field.partition(b":")
    return name + colon + value[: tags["b"].start] + value[tags["b"].end :]


def _read_signer(tags: Tags, known: dict[str, Any]) -> None:
    """Reads d= and s=."""
    known["domain"] = known["identity_domain"] = _domain(_required(tags, "d"), "d")
    # Not a domain by itself: as a number, which many take dates or key sizes for, it would look like an address.
    known["selector"] = _domain(_required(tags, "s") + _KEYS, "s").removesuffix(_KEYS.decode())


def _read_signed(tags: Tags, known: dict[str, Any]) -> None:
    """Reads a= and b=."""
    algorithm = utf8_value(_required(tags, "a"), "a")
    known["algorithm"] = algorithm[:40]
    value = _required(tags, "b")
    known["signature"] = base64_value(value, "b")
    known["b_start"] = value.translate(None, b" \t\r\n")[:8].decode("ascii")
    if algorithm == "rsa-sha1":
        raise _Refused("policy", "rsa-sha1 proves nothing any more (RFC 8301)")
    if algorithm not in ALGORITHMS:
        raise _Refused("neutral", "it is made with an unknown algorithm")


def _read_times(tags: Tags, known: dict[str, Any]) -> None:
    """Reads t= and x=, of which more than twelve digits are for ever (§3.5)."""
    signed_at = number_value(tags["t"].value, "t", MAX_DIGITS) if "t" in tags else None
    expires_at = number_value(tags["x"].value, "x", MAX_DIGITS) if "x" in tags else None
    known |= {"signed_at": signed_at, "expires_at": expires_at}
    if signed_at is not None and expires_at is not None and expires_at <= signed_at:
        raise TagError("x= is not after t=")


def _read_version(tags: Tags, known: dict[str, Any]) -> None:
    if _required(tags, "v") != b"1":
        raise _Refused("neutral", "it is of an unknown version")


def _read_canons(tags: Tags, known: dict[str, Any]) -> None:
    header, _, body = (tags["c"].value if "c" in tags else b"simple/simple").partition(b"/")
    canons = [utf8_value(canon, "c") for canon in (header, body or b"simple")]
    if not set(canons) <= set(_CANONS):
        raise TagError("c= names an unknown canonicalization")
    known["header_canon"], known["body_canon"] = canons


def _read_names(tags: Tags, known: dict[str, Any]) -> None:
    names = tuple(name.lower() for name in colon_list(_required(tags, "h")))
    if len(names) > MAX_SIGNED_NAMES:
        raise _Refused("permerror", f"h= has more than {MAX_SIGNED_NAMES} names")
    if b"from" not in names:
        raise _Refused("permerror", "From is not signed")
    # No field has what is no field's name: like the name of one that is not there, it chooses nothing (§5.4.2).
    known["signed_names"] = tuple(name for name in names if _FIELD_NAME.fullmatch(name))


def _read_body_hash(tags: Tags, known: dict[str, Any]) -> None:
    known["body_hash"] = base64_value(_required(tags, "bh"), "bh")
    if len(known["body_hash"]) != SHA256_OCTETS:
        raise TagError("bh= is no SHA-256")
    if "l" in tags:
        known["body_length"] = number_value(tags["l"].value, "l", MAX_DIGITS)


def _read_identity(tags: Tags, known: dict[str, Any]) -> None:
    domain = known["domain"]
    known["identity"] = f"@{domain}"
    if "i" not in tags:
        return
    local_part, at, name = unquote(tags["i"].value).rpartition("@")
    if not at:
        raise TagError("i= has no @")
    identity_domain = _domain(name.encode(), "i")
    known |= {"identity": f"{local_part}@{identity_domain}", "identity_domain": identity_domain}
    if identity_domain != domain and not identity_domain.endswith(f".{domain}"):
        raise _Refused("permerror", "the domain of i= is not that of d= or one below it")


def _read_methods(tags: Tags, known: dict[str, Any]) -> None:
    if "q" in tags and b"dns/txt" not in colon_list(tags["q"].value):
        raise _Refused("neutral", "its key is to be asked for in an unknown way")


def _read_instance(tags: Tags, known: dict[str, Any]) -> None:
    known["instance"] = number_value(_required(tags, "i"), "i", 2)


def _read_chain_status(tags: Tags, known: dict[str, Any]) -> None:
    status = utf8_value(_required(tags, "cv"), "cv").lower()
    if status not in CHAIN_STATUSES:
        raise TagError("cv= is not none, pass or fail")
    if "h" in tags:
        raise _Refused("permerror", "a seal has no h=")
    known["chain_status"] = status


_Step = Callable[[Tags, dict[str, Any]], None]
# Whose signature it is comes first, so that a refusal can name it.
_COMMON: tuple[_Step, ...] = (_read_canons, _read_names, _read_body_hash, _read_times, _read_methods)
_STEPS: tuple[_Step, ...] = (_read_signer, _read_version, _read_signed, _read_identity, *_COMMON)
# The instance comes first: a field that is wrong otherwise still counts in its set.
_ARC_STEPS: tuple[_Step, ...] = (_read_instance, _read_signer, _read_signed, *_COMMON)
_SEAL_STEPS: tuple[_Step, ...] = (_read_instance, _read_signer, _read_chain_status, _read_signed, _read_times)


def _required(tags: Tags, name: str) -> bytes:
    if name not in tags or not tags[name].value:
        raise TagError(f"it has no {name}=")
    return tags[name].value


def _domain(value: bytes, name: str) -> str:
    """Domain or selector as A-labels (RFC 8616 §4)."""
    try:
        return normalize_domain(utf8_value(value, name), allow_underscores=True)
    except AddressError:
        raise TagError(f"{name}= is no domain") from None


def _has_signature(block: bytes) -> bool:
    return re.search(rb"^dkim-signature[ \t]*:", block, re.IGNORECASE | re.MULTILINE) is not None


def _distance(domain: str, author_domain: str) -> int:
    """How far a signer is from the author: the same, one above the other, akin, or strangers."""
    if not domain or not author_domain:
        return 3
    if domain == author_domain:
        return 0
    if f".{domain}".endswith(f".{author_domain}") or f".{author_domain}".endswith(f".{domain}"):
        return 1
    return 2 if domain.split(".")[-2:] == author_domain.split(".")[-2:] else 3
