"""SPF records (RFC 7208 §4.5, §4.6, §12): found among a name's TXT records, and parsed whole before any is evaluated.

record    = "v=spf1" *( 1*SP ( directive / modifier ) ) *SP
directive = [ "+" / "-" / "?" / "~" ] mechanism
modifier  = name "=" macro-string
name      = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." )
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_network

from mailsuite.mail.client_network import Network
from mailsuite.mailauth.spf.macros import MacroError, MacroString, parse_domain_spec, parse_macro_string

MAX_RECORD_OCTETS = 4096
RESULTS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}

_VERSION = re.compile(rb"v=spf1(?: |\Z)", re.IGNORECASE)
_TERM = re.compile(r"([-+?~]?)([a-z][a-z0-9._-]*)(.*)", re.ASCII | re.IGNORECASE)
_NUMBER = r"(?:0|[1-9]\d{0,2})"
_DUAL_CIDR = re.compile(rf"(.*?)(?:/({_NUMBER}))?(?://({_NUMBER}))?", re.ASCII)
_QNUM = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IP4 = re.compile(rf"({_QNUM}(?:\.{_QNUM}){{3}})(?:/({_NUMBER}))?", re.ASCII)
_IP6 = re.compile(rf"([0-9a-f:.]+)(?:/({_NUMBER}))?", re.ASCII | re.IGNORECASE)


class RecordError(ValueError):
    """What is wrong with a record, in words for whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One directive. `domain_spec` is None where the current domain is meant; `network` is of ip4 and ip6;
    `prefix4` and `prefix6` are the prefix lengths for a and mx; `text` is the term as it was written."""

    result: str
    name: str
    text: str
    domain_spec: MacroString | None = None
    network: Network | None = None
    prefix4: int = 32
    prefix6: int = 128


@dataclass(frozen=True, slots=True)
class Record:
    mechanisms: tuple[Mechanism, ...]
    redirect: MacroString | None = None
    explanation: MacroString | None = None


def spf_records(texts: Iterable[object]) -> tuple[bytes, ...]:
    """Return those of a name's TXT records that are SPF's: `v=spf1` and a space or nothing (RFC 7208 §4.5)."""
    return tuple(text for text in texts if isinstance(text, bytes) and _VERSION.match(text))


@lru_cache(maxsize=1024)
def parse_record(octets: bytes) -> Record:
    """Return the record. Raises RecordError for any mistake in it, wherever it stands (RFC 7208 §4.6).

    The records of the large providers come by all day.
    """
    if len(octets) > MAX_RECORD_OCTETS:
        raise RecordError(f"the record is longer than {MAX_RECORD_OCTETS} octets")
    if not octets.isascii():
        raise RecordError("the record holds octets that are not ASCII")
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, MacroString] = {}
    for term in octets.decode("ascii").split(" ")[1:]:
        if term:
            _take(term, mechanisms, modifiers)
    return Record(tuple(mechanisms), modifiers.get("redirect"), modifiers.get("exp"))


def _take(term: str, mechanisms: list[Mechanism], modifiers: dict[str, MacroString]) -> None:
    match = _TERM.fullmatch(term)
    if match is None:
        raise RecordError(f"{term!r} is no term")
    qualifier, name, rest = match[1], match[2].lower(), match[3]
    try:
        if not rest.startswith("="):
            mechanisms.append(_mechanism(term, RESULTS[qualifier or "+"], name, rest))
        elif qualifier:
            raise RecordError(f"{term!r}: a modifier has no qualifier")
        elif name not in ("redirect", "exp"):
            parse_macro_string(rest[1:])
        elif name in modifiers:
            raise RecordError(f"{name}= is there twice")
        else:
            modifiers[name] = parse_domain_spec(rest[1:])
    except MacroError as error:
        raise RecordError(f"{term!r}: {error}") from None


def _mechanism(term: str, result: str, name: str, rest: str) -> Mechanism:
    if name in ("ip4", "ip6"):
        return Mechanism(result, name, term, network=_network(term, name, rest))
    if name == "all" and not rest:
        return Mechanism(result, name, term)
    if name in ("include", "exists") and rest.startswith(":"):
        return Mechanism(result, name, term, parse_domain_spec(rest[1:]))
    if name == "ptr" and (not rest or rest.startswith(":")):
        return Mechanism(result, name, term, parse_domain_spec(rest[1:]) if rest else None)
    if name in ("a", "mx"):
        match = _DUAL_CIDR.fullmatch(rest)
        assert match is not None, "every part of the pattern may be empty"
        spec, prefix4, prefix6 = match[1], int(match[2] or 32), int(match[3] or 128)
        if (not spec or spec.startswith(":")) and prefix4 <= 32 and prefix6 <= 128:
            domain_spec = parse_domain_spec(spec[1:]) if spec else None
            return Mechanism(result, name, term, domain_spec, None, prefix4, prefix6)
    raise RecordError(f"{term!r} is no mechanism")


def _network(term: str, name: str, rest: str) -> Network:
    match = (_IP4 if name == "ip4" else _IP6).fullmatch(rest[1:]) if rest.startswith(":") else None
    try:
        if match is None:
            raise ValueError
        if name == "ip6":
            IPv6Address(match[1])
        return ip_network(f"{match[1]}/{match[2]}" if match[2] else match[1], strict=False)
    except ValueError:
        raise RecordError(f"{term!r} holds no IPv{name[-1]} network") from None
