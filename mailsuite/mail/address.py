"""Addresses and paths (RFC 5321 §4.1.2, RFC 6531 §3.3): text in, plain values out, and back.

A local-part is held as its meaning, without quotes, in the case it came in; a domain as lower-case A-labels, or as an
address literal with its brackets. `format_address` puts quotes back where the grammar needs them. Nothing that passes
here holds a control character, so that no value can break out of a command line or a header field.
"""

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from mailsuite.mail.folding import compatible

LOCAL_PART_OCTETS = 64  # RFC 5321 §4.5.3.1.1
DOMAIN_OCTETS = 253  # RFC 1035 §2.3.4: 255 octets on the wire
PATH_OCTETS = 256  # RFC 5321 §4.5.3.1.3, angle brackets included
LABEL_OCTETS = 63

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)
_LABEL_WITH_UNDERSCORE = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?", re.ASCII)
# Dot-string of RFC 5321 §4.1.2, with UTF8-non-ascii as RFC 6531 §3.3 adds it
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u00a0-\U0010ffff]"
_DOT_STRING = re.compile(rf"{_ATEXT}++(?:\.{_ATEXT}++)*+")
_QUOTED_STRING = re.compile(r'"((?:[ !#-\[\]-~\u00a0-\U0010ffff]|\\[ -~])*+)"')
_QUOTED_PAIR = re.compile(r"\\(.)")
_SOURCE_ROUTE = re.compile(r'@[^:<>"\s]+:')
# esmtp-param = esmtp-keyword ["=" esmtp-value]
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u00a0-\U0010ffff]+))?")
_DOTS = re.compile("[\u3002\uff0e\uff61]")  # as good as full stops (UTS 46 §4.5)
# The general categories that RFC 5892 §2.1 (LetterDigits) lets into a U-label
_U_LABEL_CATEGORIES = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"})


class AddressError(ValueError):
    """What is wrong with an address or a domain and what to do about it, in words fit for a reply or a form."""


@dataclass(frozen=True, slots=True)
class Address:
    """One address: `local_part` without quotes in the case it came in, `domain` as A-label or address literal."""

    local_part: str
    domain: str

    @property
    def key(self) -> str:
        """Return what the directory compares by: NFC and case-folded local-part, A-label domain."""
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", self.local_part).casefold())
        return format_address(folded, self.domain)

    @property
    def is_internationalized(self) -> bool:
        """Return whether the local-part needs SMTPUTF8 (RFC 6531); the domain never does, being A-labels."""
        return not self.local_part.isascii()

    def __str__(self) -> str:
        return format_address(self.local_part, self.domain)


@dataclass(frozen=True, slots=True)
class Path:
    """One reverse-path or forward-path (RFC 5321 §4.1.2). Without an address it is the null path `<>`. The address of
    a bare `<postmaster>` has an empty domain (RFC 5321 §4.5.1)."""

    address: Address | None

    @property
    def is_null(self) -> bool:
        """Return whether this is `<>`, to which nothing is ever bounced."""
        return self.address is None

    @property
    def is_bare_postmaster(self) -> bool:
        """Return whether this is `<postmaster>`, which every host accepts."""
        return self.address is not None and not self.address.domain

    def __str__(self) -> str:
        """Return the path without its angle brackets; empty for the null path."""
        return "" if self.address is None else str(self.address)


NULL_PATH = Path(None)


def normalize_domain(text: str, *, allow_underscores: bool = False) -> str:
    """Return the domain as lower-case A-labels. Raises AddressError.

    A U-label is mapped as UTS 46 says (lower case, letter by letter, and NFKC) and encoded as RFC 5891 §4.4 says, so
    that ß stays ß. Underscores are no part of a host name, but some senders' reverse-paths have them.
    """
    domain = _DOTS.sub(".", _refuse_controls(text))
    if not domain:
        raise AddressError("The domain is empty: write one such as example.org")
    if domain.endswith("."):
        raise AddressError("The domain ends with a dot: leave it out")
    pattern = _LABEL_WITH_UNDERSCORE if allow_underscores else _LABEL
    labels = [_normalize_label(label, pattern) for label in domain.split(".")]
    if labels[-1].isdigit():
        raise AddressError("The domain looks like an IP address: write a name, or the address in square brackets")
    result = ".".join(labels)
    if len(result) > DOMAIN_OCTETS:
        raise AddressError(f"The domain is longer than {DOMAIN_OCTETS} octets: shorten it")
    return result


def read_domain(text: str, *, allow_underscores: bool = False) -> str:
    """Return a domain or host that a person has typed as lower-case A-labels: blanks around it, an @ in front and the
    last dot of a name in DNS are left out. Raises AddressError. What people type is read by this alone."""
    domain = _DOTS.sub(".", text).strip().removeprefix("@")
    return normalize_domain(domain.removesuffix("."), allow_underscores=allow_underscores)


def with_a_labels(words: str) -> str:
    """Return words that are looked for with domains as rows have them, in those that have letters beyond ASCII."""
    return " ".join([word if word.isascii() else _with_a_labels(word) for word in words.split()])


def _with_a_labels(word: str) -> str:
    local_part, at, domain = word.rpartition("@")
    try:
        return local_part + at + read_domain(domain) if at or _DOTS.sub(".", word).count(".") else word
    except AddressError:
        return word


def parse_address(text: str) -> Address:
    """Return the address written as `local-part@domain`, without angle brackets. Raises AddressError."""
    address = _parse_mailbox(_refuse_controls(text), allow_underscores=False)
    if len(address.local_part.encode()) > LOCAL_PART_OCTETS:
        raise AddressError(f"The part before the @ is longer than {LOCAL_PART_OCTETS} octets: shorten it")
    return address


def address_key(address_text: str) -> str:
    """Return the key under which the directory finds the address. Raises AddressError."""
    return parse_address(address_text).key


def is_same_mailbox(one: str, other: str) -> bool:
    """Return whether both name one mailbox, as the directory compares addresses; what is no address compares without
    case. It is the one rule for who may act as whom by SASL (RFC 4616 §2): everybody as themselves, nobody else."""
    try:
        return address_key(one.strip()) == address_key(other.strip())
    except AddressError:
        return one.strip().casefold() == other.strip().casefold()


def split_subaddress(local_part: str, separator: str = "+") -> tuple[str, str | None]:
    """Return the local-part before the first separator and what follows it, or None where there is no detail
    (RFC 5233 §1). A separator in front belongs to the name."""
    at = local_part.find(separator, 1) if separator else -1
    return (local_part, None) if at < 0 else (local_part[:at], local_part[at + len(separator) :])


def format_address(local_part: str, domain: str) -> str:
    """Return `local-part@domain` with quotes where the grammar needs them; without @ when the domain is empty."""
    if not _DOT_STRING.fullmatch(local_part):
        escaped = local_part.replace("\\", "\\\\").replace('"', '\\"')
        local_part = f'"{escaped}"'
    return f"{local_part}@{domain}" if domain else local_part


def parse_path(text: str) -> Path:
    """Return the path written as `<local-part@domain>`, `<postmaster>` or `<>`; a source route is dropped
    (RFC 5321 §4.1.1.3). Raises AddressError."""
    path, rest = _take_path(_refuse_controls(text))
    if rest:
        raise AddressError("There is more text after the address: end it at the >")
    return path


def parse_path_and_parameters(argument: str) -> tuple[Path, dict[str, str | None]]:
    """Return the path and the ESMTP parameters of what follows `MAIL FROM:` or `RCPT TO:`; keywords come in upper
    case, values as received. One space in front is let pass, as many clients send it. Raises AddressError."""
    path, rest = _take_path(_refuse_controls(argument.removeprefix(" ")))
    parameters: dict[str, str | None] = {}
    if rest and not rest.startswith(" "):
        raise AddressError("There is text right after the >: put a space before the parameters")
    for word in rest.split():
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise AddressError("A parameter is malformed: write KEYWORD or KEYWORD=value")
        keyword = match[1].upper()
        if keyword in parameters:
            raise AddressError(f"The parameter {keyword} is there twice: send it once")
        parameters[keyword] = match[2]
    return path, parameters


def _take_path(text: str) -> tuple[Path, str]:
    """Return the path at the start and what follows its closing bracket, which a quoted local-part may contain too."""
    if not text.startswith("<"):
        raise AddressError("The address is not in angle brackets: write <local-part@domain>")
    start = 1
    if route := _SOURCE_ROUTE.match(text, start):
        start = route.end()
    quoted = _QUOTED_STRING.match(text, start)
    end = text.find(">", quoted.end() if quoted else start)
    if end < 0:
        raise AddressError("The address has no closing >: write <local-part@domain>")
    inner, rest = text[start:end], text[end + 1 :]
    if not inner and start == 1:
        return NULL_PATH, rest
    if inner.lower() == "postmaster":
        return Path(Address(inner, "")), rest
    # The limit of 64 octets for a local-part is not enforced here: senders who write the recipient into the
    # reverse-path exceed it, and RFC 5321 §4.5.3.1 asks for implementations without limits.
    address = _parse_mailbox(inner, allow_underscores=True) if end < PATH_OCTETS else None
    if address is None or len(str(address).encode()) + 2 > PATH_OCTETS:
        raise AddressError(f"The path is longer than {PATH_OCTETS} octets: shorten it")
    return Path(address), rest


def _parse_mailbox(text: str, *, allow_underscores: bool) -> Address:
    """Return the address of Mailbox = Local-part "@" ( Domain / address-literal )."""
    if quoted := _QUOTED_STRING.match(text):
        local_part, end = _QUOTED_PAIR.sub(r"\1", quoted[1]), quoted.end()
    elif atoms := _DOT_STRING.match(text):
        local_part, end = atoms[0], atoms.end()
    elif text.startswith("@") or not text:
        raise AddressError("There is nothing before the @: write local-part@domain")
    else:
        raise AddressError("The part before the @ has characters that need quotes, or a dot at its end")
    if text[end : end + 1] != "@":
        if "@" not in text:
            raise AddressError("The address has no @: write local-part@domain")
        raise AddressError("The part before the @ has characters that need quotes, or a misplaced dot")
    domain = text[end + 1 :]
    if domain.startswith("["):
        return Address(local_part, _normalize_literal(domain))
    return Address(local_part, normalize_domain(domain, allow_underscores=allow_underscores))


def _normalize_literal(text: str) -> str:
    """Return `[IPv4]` or `[IPv6:address]` in canonical form (RFC 5321 §4.1.3)."""
    inner = text[1:-1]
    try:
        if text.endswith("]"):
            if inner[:5].lower() == "ipv6:" and "%" not in inner:
                return f"[IPv6:{IPv6Address(inner[5:]).compressed}]"
            return f"[{IPv4Address(inner)}]"
    except ValueError:
        pass
    raise AddressError("The address literal is malformed: write [192.0.2.1] or [IPv6:2001:db8::1]")


def _normalize_label(label: str, pattern: re.Pattern[str]) -> str:
    if not label.isascii():
        label = _to_a_label(label)
    label = label.lower()
    if not label:
        raise AddressError("The domain has an empty part: look for two dots in a row or one in front")
    if len(label) > LABEL_OCTETS:
        raise AddressError(f"A part of the domain is longer than {LABEL_OCTETS} octets: shorten it")
    if not pattern.fullmatch(label):
        raise AddressError("The domain may hold letters, digits and inner hyphens only: correct it")
    return label


def _to_a_label(label: str) -> str:
    label = compatible(_lower_letters(compatible(label)))
    if len(label) > LABEL_OCTETS:
        raise AddressError(f"A part of the domain is longer than {LABEL_OCTETS} octets: shorten it")
    if label.isascii():
        return label
    if any(not (c.isascii() or unicodedata.category(c) in _U_LABEL_CATEGORIES) for c in label):
        raise AddressError("The domain has a character that no domain may hold: correct it")
    if label.startswith("-") or label.endswith("-") or unicodedata.category(label[0]).startswith("M"):
        raise AddressError("A part of the domain begins or ends with a character that may not stand there: correct it")
    return "xn--" + label.encode("punycode").decode("ascii")


def _lower_letters(text: str) -> str:
    """Return the text with each letter mapped to lower case by itself, as UTS 46 §5 does: Python makes a Σ at a word's
    end a ς, which is another letter in a domain."""
    return text.lower() if "\u03a3" not in text else text.replace("\u03a3", "\u03c3").lower()


def _refuse_controls(text: str) -> str:
    if _CONTROL.search(text):
        raise AddressError("There is a control character or broken UTF-8 in the address: remove it")
    return text
