"""MTA-STS (RFC 8461): how a domain says which hosts take its mail, and that they have good certificates.

A TXT record at `_mta-sts.DOMAIN` says that there is a policy and, by its id, whether it has changed; the policy is a
file at `https://mta-sts.DOMAIN/.well-known/mta-sts.txt`. Fetching and remembering it are others' work.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

# RFC 8461 §3.2: a year and a bit; who asks for more gets this.
MAX_MAX_AGE = 31_557_600
# RFC 8461 §3.3 suggests both.
MAX_POLICY_OCTETS = 64 * 1024
FETCH_SECONDS = 60.0
PATH = "/.well-known/mta-sts.txt"
# A policy may name any number of hosts within its octets; nobody has more than these.
MAX_MX = 500

# sts-id = 1*32(ALPHA / DIGIT)                                    RFC 8461 §3.1
_ID = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII)
# sts-ext-name = (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", re.ASCII)
# sts-ext-value = 1*(%x21-3A / %x3C / %x3E-7E), so neither "=" nor ";" nor blanks
_VALUE = re.compile(r"[!-:<>-~]+")
# [ "*." ] Domain                                                 RFC 8461 §3.2
_MX = re.compile(
    r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII
)
# max-age = 1*10(DIGIT)
_MAX_AGE = re.compile(r"[0-9]{1,10}", re.ASCII)


class PolicyError(Exception):
    """A record or policy that is none; str() says why, as the end of a sentence that begins with it."""


class Mode(Enum):
    """What senders do where a host does not fit: refuse, report alone, or as if there were no policy (§5)."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Policy:
    """`mx` are patterns in lower case, A-labels; `max_age` is in seconds."""

    mode: Mode
    mx: tuple[str, ...]
    max_age: int

    def allows(self, host: str) -> bool:
        """Whether a mail host's name fits one of the patterns (§4.1)."""
        return any(matches(pattern, host) for pattern in self.mx)


def record_name(domain: str) -> str:
    return f"_mta-sts.{domain}"


def policy_host(domain: str) -> str:
    return f"mta-sts.{domain}"


def policy_url(domain: str) -> str:
    return f"https://{policy_host(domain)}{PATH}"


def find_id(texts: Sequence[bytes]) -> str | None:
    """The id in the TXT records of `_mta-sts.DOMAIN`, each with its strings joined (§3.1).

    None when no record begins with `v=STSv1;`. Raises PolicyError when there are several or the one is malformed: to
    senders the domain then has no policy.
    """
    records = [text for text in texts if text.startswith(b"v=STSv1;")]
    if not records:
        return None
    if len(records) > 1:
        raise PolicyError(f"there are {len(records)} records that begin with v=STSv1; where there must be one")
    fields = _record_fields(records[0])
    if "id" not in fields:
        raise PolicyError("it has no id")
    if not _ID.fullmatch(fields["id"]):
        raise PolicyError(f"its id is {fields['id'][:40]!r}, where 1 to 32 letters and digits must stand")
    return fields["id"]


def parse_policy(octets: bytes) -> Policy:
    """Read a policy file (§3.2). Of fields that come twice, all but mx, the first counts; unknown ones are passed over.
    Raises PolicyError."""
    if len(octets) > MAX_POLICY_OCTETS:
        raise PolicyError(f"it is larger than {MAX_POLICY_OCTETS // 1024} KB")
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise PolicyError("it is no UTF-8 text") from None
    fields: dict[str, str] = {}
    mx: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        name, value = _policy_field(line.removesuffix("\r"), number)
        if name == "mx":
            mx.append(_pattern(value, number))
        elif name:
            fields.setdefault(name, value)
    if len(mx) > MAX_MX:
        raise PolicyError(f"it names {len(mx)} hosts, more than anybody has")
    return _policy(fields, tuple(dict.fromkeys(mx)))


def check_response(status: int, content_type: str) -> None:
    """What the policy's server must answer (§3.3). Raises PolicyError."""
    if 300 <= status < 400:
        raise PolicyError(f"its server answers {status} and sends elsewhere, which senders must not follow")
    if status != 200:
        raise PolicyError(f"its server answers {status}, where it must answer 200")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "text/plain":
        raise PolicyError(f"its Content-Type is {media_type[:60] or 'missing'}, where it must be text/plain")


def matches(pattern: str, host: str) -> bool:
    """Whether a host's name is the pattern, or has one label in the place of its `*` (§4.1, RFC 6125 §6.4.3)."""
    pattern, host = pattern.rstrip(".").lower(), host.rstrip(".").lower()
    if pattern.startswith("*."):
        label, dot, rest = host.partition(".")
        return bool(label and dot) and rest == pattern[2:]
    return bool(host) and host == pattern


def is_pattern(text: str) -> bool:
    """Whether it may stand as an mx of a policy, in lower case and without a last dot."""
    return len(text) <= 255 and bool(_MX.fullmatch(text))


def render_policy(policy: Policy) -> bytes:
    """Write a policy file, with the line ends that §3.2 prefers."""
    lines = ["version: STSv1", f"mode: {policy.mode.value}", *(f"mx: {one}" for one in policy.mx)]
    return "".join(f"{line}\r\n" for line in (*lines, f"max_age: {policy.max_age}")).encode()


def policy_id(policy: Policy) -> str:
    """The id of a policy of ours: a digest, so that it changes with the content and never without it."""
    return hashlib.sha256(render_policy(policy)).hexdigest()[:32]


def render_record(identifier: str) -> str:
    return f"v=STSv1; id={identifier}"


def _record_fields(record: bytes) -> dict[str, str]:
    try:
        text = record.decode("ascii")
    except UnicodeDecodeError:
        raise PolicyError("it has characters outside ASCII") from None
    parts = [part.strip(" \t") for part in text.split(";")]
    if not parts[-1]:
        parts.pop()
    fields: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or not _NAME.fullmatch(name) or not (_VALUE.fullmatch(value) or name == "id"):
            raise PolicyError(f"{part[:40]!r} in it is no name=value")
        fields.setdefault(name, value)
    return fields


def _policy_field(line: str, number: int) -> tuple[str, str]:
    """Name and value of a line; "" for a blank one."""
    if not line.strip(" \t"):
        return "", ""
    name, colon, value = line.partition(":")
    if not colon or not _NAME.fullmatch(name):
        raise PolicyError(f"its line {number}, {line[:40]!r}, is no name: value")
    value = value.strip(" \t")
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise PolicyError(f"its line {number} has control characters")
    return name, value


def _pattern(value: str, number: int) -> str:
    pattern = value.lower().removesuffix(".")
    if not is_pattern(pattern):
        raise PolicyError(f"its line {number} names {value[:60]!r} as mx, which is neither a host nor *. and a domain")
    return pattern


def _policy(fields: dict[str, str], mx: tuple[str, ...]) -> Policy:
    for name in ("version", "mode", "max_age"):
        if name not in fields:
            raise PolicyError(f"it has no {name}")
    if fields["version"] != "STSv1":
        raise PolicyError(f"its version is {fields['version'][:20]!r}, where STSv1 must stand")
    try:
        mode = Mode(fields["mode"])
    except ValueError:
        raise PolicyError(f"its mode is {fields['mode'][:20]!r}, which is none of enforce, testing, none") from None
    if not _MAX_AGE.fullmatch(fields["max_age"]):
        raise PolicyError(f"its max_age is {fields['max_age'][:20]!r}, which is no number of seconds")
    if not mx and mode is not Mode.NONE:
        raise PolicyError(f"its mode is {mode.value}, but it names no mx")
    return Policy(mode, mx, min(int(fields["max_age"]), MAX_MAX_AGE))
