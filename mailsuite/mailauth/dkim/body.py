"""Body hashes (RFC 6376 §3.4.3, §3.4.4, §3.7): the body fed once in chunks, each canonical form made once.

However many signatures there are, and whatever lengths their l= name, a body goes through each canonicalization at
most once, and through SHA-256 once for each. Chunks may be cut anywhere; time is linear in the octets, memory constant.
A bare CR or LF is text like any other.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Protocol

_WHITE_SPACE = b" \t\r\n"
_SPACES = re.compile(rb"[ \t]{2,}|\t")
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_LINE_ENDS_AT_ONCE = 8192


class BodyUser(Protocol):
    """What a signature wants of the body: `body_canon` is simple or relaxed, `body_length` the value of l= or None;
    `is_open` says that its outcome is not known before."""

    @property
    def body_canon(self) -> str: ...
    @property
    def body_length(self) -> int | None: ...
    @property
    def is_open(self) -> bool: ...


class BodyHashes:
    """The hashes that some signatures need: make it of them, `update` it with the body, then ask.

    `hashed_octets` counts what went through SHA-256, over all canonicalizations.
    """

    def __init__(self, users: Iterable[BodyUser]) -> None:
        wanted: dict[str, set[int]] = {}
        for user in users:
            if user.is_open:
                lengths = wanted.setdefault(user.body_canon, set())
                lengths |= set() if user.body_length is None else {user.body_length}
        self._prefixes = {canon: _Prefixes(lengths) for canon, lengths in wanted.items()}
        self._bodies: list[_Body] = [_CANONICAL[canon](prefixes) for canon, prefixes in self._prefixes.items()]
        self._is_finished = False

    def update(self, chunk: bytes) -> None:
        """Take the next octets of the body."""
        for body in self._bodies:
            body.update(chunk)

    def digest(self, user: BodyUser) -> bytes | None:
        """Return the SHA-256 of the body as this signature wants it; None when its l= is larger than the body."""
        self._finish()
        return self._prefixes[user.body_canon].digest(user.body_length)

    def octets(self, user: BodyUser) -> int:
        """Return the length of the whole body under the signature's canonicalization."""
        self._finish()
        return self._prefixes[user.body_canon].octets

    @property
    def hashed_octets(self) -> int:
        return sum(prefixes.octets for prefixes in self._prefixes.values())

    def _finish(self) -> None:
        if not self._is_finished:
            self._is_finished = True
            for body in self._bodies:
                body.finish()


class RelaxedBodyHash:
    """The SHA-256 of a whole body under relaxed canonicalization, fed in chunks: what signing needs."""

    def __init__(self) -> None:
        self._prefixes = _Prefixes(())
        self._body = _RelaxedBody(self._prefixes)

    def update(self, chunk: bytes) -> None:
        """Take the next octets of the body."""
        self._body.update(chunk)

    def digest(self) -> bytes:
        """Return the hash in base64; nothing more may be fed."""
        self._body.finish()
        return base64.b64encode(self._prefixes.digest(None) or b"")


class _Prefixes:
    """The SHA-256 of octets and that of their first n for some n, in one pass."""

    def __init__(self, lengths: Iterable[int]) -> None:
        self._hash = hashlib.sha256()
        self._digests: dict[int, bytes] = {}
        self._stops = sorted(lengths, reverse=True)
        self.octets = 0

    def update(self, octets: bytes) -> None:
        start = 0
        while self._stops and self._stops[-1] <= self.octets + len(octets) - start:
            stop = self._stops.pop()
            end = start + stop - self.octets
            self._add(octets[start:end])
            self._digests[stop] = self._hash.copy().digest()
            start = end
        self._add(octets[start:] if start else octets)

    def digest(self, length: int | None) -> bytes | None:
        self.update(b"")  # l=0 of an empty body
        return self._hash.copy().digest() if length is None else self._digests.get(length)

    def _add(self, octets: bytes) -> None:
        self._hash.update(octets)
        self.octets += len(octets)


class _Body(Protocol):
    def update(self, chunk: bytes) -> None: ...
    def finish(self) -> None: ...


class _SimpleBody:
    """Empty lines at the end count as one line end, which is there even if the body has none (§3.4.3)."""

    def __init__(self, sink: _Prefixes) -> None:
        self._sink = sink
        self._held = b""
        self._line_ends = 0

    def update(self, chunk: bytes) -> None:
        octets = self._held + chunk
        self._held = b"\r" if octets.endswith(b"\r") else b""
        octets = octets[: len(octets) - len(self._held)]
        core = octets[: _line_ends_start(octets)]
        if core:
            _feed_line_ends(self._sink, self._line_ends)
            self._sink.update(core)
            self._line_ends = 0
        self._line_ends += (len(octets) - len(core)) // 2

    def finish(self) -> None:
        if self._held:
            _feed_line_ends(self._sink, self._line_ends)
            self._sink.update(self._held)
        self._sink.update(b"\r\n")


class _RelaxedBody:
    """White space becomes one space, and nothing at the end of a line; empty lines at the end of the body count for
    nothing (§3.4.4). White space is held back as a count until text follows it."""

    def __init__(self, sink: _Prefixes) -> None:
        self._sink = sink
        self._held = b""
        self._line_ends = 0
        self._has_space = False
        self._has_text = False

    def update(self, chunk: bytes) -> None:
        octets = self._held + chunk
        self._held = b"\r" if octets.endswith(b"\r") else b""
        self._take(octets[: len(octets) - len(self._held)])

    def finish(self) -> None:
        if self._held:
            self._text(self._held)
        if self._has_space:
            self._release()
            self._sink.update(b"\r\n")
        elif self._has_text:
            self._sink.update(b"\r\n")

    def _take(self, octets: bytes) -> None:
        start, end = _text_bounds(octets)
        self._hold(octets[:start])
        if start < end:
            self._text(octets[start:end])
            self._hold(octets[end:])

    def _text(self, text: bytes) -> None:
        self._release()
        if b"  " in text or b"\t" in text:
            text = _SPACES.sub(b" ", text)
        self._sink.update(text.replace(b" \r\n", b"\r\n"))
        self._has_text = True

    def _hold(self, white_space: bytes) -> None:
        line_ends = white_space.count(b"\r\n")
        if line_ends:
            self._line_ends += line_ends
            self._has_space = not white_space.endswith(b"\n")
        elif white_space:
            self._has_space = True

    def _release(self) -> None:
        _feed_line_ends(self._sink, self._line_ends)
        if self._has_space:
            self._sink.update(b" ")
        self._line_ends, self._has_space = 0, False


_CANONICAL: dict[str, Callable[[_Prefixes], _Body]] = {"simple": _SimpleBody, "relaxed": _RelaxedBody}


def _feed_line_ends(sink: _Prefixes, count: int) -> None:
    full, rest = divmod(count, _LINE_ENDS_AT_ONCE)
    for _ in range(full):
        sink.update(b"\r\n" * _LINE_ENDS_AT_ONCE)
    sink.update(b"\r\n" * rest)


def _line_ends_start(octets: bytes) -> int:
    """Where the CRLFs at the end begin."""
    end = len(octets.rstrip(b"\r\n"))
    bare = _last_bare(octets[end:])
    return end + bare


def _text_bounds(octets: bytes) -> tuple[int, int]:
    """Where the text between the white space at both ends begins and ends; a bare CR or LF is text."""
    start = len(octets) - len(octets.lstrip(_WHITE_SPACE))
    if found := _BARE.search(octets, 0, start):
        start = found.start()
    end = len(octets.rstrip(_WHITE_SPACE))
    return start, max(start, end + _last_bare(octets[end:]))


def _last_bare(white_space: bytes) -> int:
    """The offset after the last bare CR or LF, 0 where there is none."""
    if white_space.count(b"\r") == white_space.count(b"\n") == white_space.count(b"\r\n"):
        return 0
    return max(found.end() for found in _BARE.finditer(white_space))
