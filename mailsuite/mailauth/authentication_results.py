"""Authentication-Results fields (RFC 8601): ours written, others' read, and those that claim to be ours removed.

Whoever trusts the field trusts its authserv-id, so nothing that comes from outside may carry ours (§5). Values come
from strangers: what is written here is quoted where the grammar asks for it, and nothing can end a line or a field.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mailsuite.mail.address import AddressError, normalize_domain
from mailsuite.mail.header import unfold
from mailsuite.mail.parsed_header import Header

MAX_FIELD_OCTETS = 16_384
MAX_FIELDS = 100
ID_OCTETS = 512  # in which the authserv-id ends, comments included
MAX_VALUE = 255

# RFC 2045 §5.1
_TOKEN = re.compile(r"[^\x00-\x20\x7f-\U0010ffff()<>@,;:\\\"/\[\]?=]+")
# pvalue: a domain-name, or an address whose local-part needs no quotes (§2.2)
_PLAIN = re.compile(r"(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]*@)?[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_LEXEME = re.compile(r'\s+|"((?:[^"\\]|\\.)*+)"?|(\()|([;=])|([^\s"(;=]+)|(.)', re.DOTALL)
_COMMENT_MARK = re.compile(r"[()]|\\.", re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_METHOD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*)(?:/\d+)?")


@dataclass(frozen=True, slots=True)
class Result:
    """What one method said: `properties` are pairs such as ("smtp.mailfrom", "a@example.org"). Only what was read has
    its names in lower case."""

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()
    comment: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ParsedResults:
    """A field as read. `authserv_id` is "" where its writer left it out, as Microsoft does."""

    authserv_id: str
    results: tuple[Result, ...] = ()


def build(authserv_id: str, results: Iterable[Result], *, utf8: bool = False) -> bytes:
    """Return the field, each result on a line of its own, CRLF at the end. Only with `utf8`, which is for mail that
    came by SMTPUTF8, may it hold more than ASCII (RFC 8616 §5)."""
    return b"Authentication-Results: " + payload(authserv_id, results, utf8=utf8) + b"\r\n"


def payload(authserv_id: str, results: Iterable[Result], *, utf8: bool = False) -> bytes:
    """Return the field's value without its last CRLF, as ARC seals it too (RFC 8617 §4.1.1)."""
    lines = [_result(result, utf8=utf8) for result in results] or ["none"]
    return (f"{_value(authserv_id, utf8=utf8)};\r\n\t" + ";\r\n\t".join(lines)).encode()


def parse(value: bytes) -> ParsedResults | None:
    """Return what a field's value says, read leniently; None when nothing can be made of it."""
    segments = _segments(unfold(value[:MAX_FIELD_OCTETS]).decode("utf-8", "replace"))
    if not segments:
        return None
    first = segments[0]
    if "=" in first:
        return ParsedResults("", tuple(filter(None, map(_read_result, segments))))
    authserv_id = _id(first[0]) if first else ""
    return ParsedResults(authserv_id, tuple(filter(None, map(_read_result, segments[1:]))))


def claiming(header: Header, authserv_ids: Collection[str]) -> list[int]:
    """Return the places of the fields that claim one of the ids. Of the fields, MAX_FIELDS are read, which is more than
    any mail has by itself; those that come after them count among the claiming."""
    places = header.places(b"authentication-results")
    ours = {_id(one) for one in authserv_ids} if places else set()
    return [place for at, place in enumerate(places) if at >= MAX_FIELDS or _claims(header.field(place), ours)]


def _claims(field: bytes, ours: set[str]) -> bool:
    """Whether a lenient reader could take the field's id for one of ours: by any word before the first semicolon, or by
    all of them once comments are out. Where that is too far on, or encoded, nobody honest wrote it."""
    value = field.partition(b":")[2]
    segments = _segments(unfold(value[:ID_OCTETS]).decode("utf-8", "replace"))
    words = next(filter(None, segments), [])
    joined = "".join(words)
    is_cut = len(value) > ID_OCTETS and (not words or words is segments[-1])
    if is_cut or "=?" in joined:
        return True
    candidates = [word for at, word in enumerate(words) if at == 0 or words[at - 1] != "="]
    return not ours.isdisjoint(map(_id, [*candidates, joined]))


def _id(text: str) -> str:
    """An authserv-id as it is compared: without case, a domain as A-labels, a version written after a slash left out
    (§2.3, RFC 7001 §2.2)."""
    bare = text.partition("/")[0].strip().rstrip(".").lower()
    try:
        return bare if bare.isascii() else normalize_domain(bare, allow_underscores=True)
    except AddressError:
        return bare


def _result(result: Result, *, utf8: bool) -> str:
    parts = [f"{result.method}={result.result}"]
    if result.comment:
        parts.append(f"({_comment(result.comment, utf8=utf8)})")
    if result.reason:
        parts.append(f"reason={_quoted(result.reason, utf8=utf8)}")
    parts += [f"{name}={_value(value, utf8=utf8)}" for name, value in result.properties if value]
    return " ".join(parts)


def _value(value: str, *, utf8: bool) -> str:
    if len(value) <= MAX_VALUE and (_PLAIN.fullmatch(value) or _TOKEN.fullmatch(value)):
        return value
    return _quoted(value, utf8=utf8)


def _quoted(text: str, *, utf8: bool) -> str:
    clean = _clean(text, utf8=utf8).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{clean}"'


def _comment(text: str, *, utf8: bool) -> str:
    return re.sub(r"[()\\]", "", _clean(text, utf8=utf8))


def _clean(text: str, *, utf8: bool) -> str:
    text = _CONTROL.sub(" ", text)[:MAX_VALUE]
    return text if utf8 else text.encode("ascii", "replace").decode()


def _segments(text: str) -> list[list[str]]:
    """The words between semicolons, comments left out, quoted strings as what they mean, each = a word of its own."""
    segments: list[list[str]] = [[]]
    at = 0
    while at < len(text) and (match := _LEXEME.match(text, at)):
        at = match.end()
        quoted, comment, special, word, other = match.groups()
        if comment:
            at = _comment_end(text, at)
        elif special == ";":
            segments.append([])
        elif quoted is not None:
            segments[-1].append(_QUOTED_PAIR.sub(r"\1", quoted))
        elif found := special or word or other:
            segments[-1].append(found)
    return segments


def _comment_end(text: str, at: int) -> int:
    """The offset after the comment that was opened before `at`; comments nest (RFC 5322 §3.2.2)."""
    depth = 1
    for match in _COMMENT_MARK.finditer(text, at):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    return len(text)


def _read_result(words: list[str]) -> Result | None:
    """method=result, and the pairs that follow; what fits nowhere is passed over."""
    pairs = [(words[at - 1], words[at + 1]) for at in range(1, len(words) - 1) if words[at] == "="]
    if not pairs or not (method := _METHOD.fullmatch(pairs[0][0])):
        return None
    properties = tuple((name.lower(), value) for name, value in pairs[1:] if name.lower() != "reason")
    reason = next((value for name, value in pairs[1:] if name.lower() == "reason"), "")
    return Result(method[1].lower(), pairs[0][1].lower(), properties, reason=reason)
