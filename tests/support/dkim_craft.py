"""Signatures of any shape, right or wrong, properly signed: `craft` takes tags as they shall stand."""

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

from oracles import TestKey, resolver_of

from mailsuite.mail.header import header_end
from mailsuite.mail.parsed_header import Header
from mailsuite.mailauth.dkim import BodyHashes, DkimOutcome, Signature, find_signatures, verify
from mailsuite.mailauth.dkim.header import HeaderFields
from mailsuite.mailauth.dkim.sign import sign_digest

NOW = 1_700_000_000
HEADER = (
    b"From: Ann <ann@example.org>\r\nTo: bob@other.example\r\nSubject: a  folded\r\n\tsubject\r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\n"
)
BODY = b"Hello  there \r\n\r\nbye\r\n\r\n"


def craft(
    key: TestKey, header: bytes = HEADER, body: bytes = BODY, *, name: str = "DKIM-Signature", **tags: Any
) -> bytes:
    """Return a signature field, CRLF at its end. A tag's value is text, or None to leave it out; `b` and `bh` are
    computed unless they are given."""
    values = {
        "v": "1",
        "a": f"{key.algorithm}-sha256",
        "c": "relaxed/relaxed",
        "d": key.domain,
        "s": key.selector,
        "h": "from:to:subject:date",
    } | tags
    if "bh" not in tags:
        values["bh"] = _body_hash(values, body)
    b = values.pop("b", None)
    unsigned = f"{name}: {_joined(values)}; b=".encode()
    if b is None:
        names = [one.strip().lower().encode() for one in (values["h"] or "").split(":")]
        canon = (values["c"] or "simple").partition("/")[0].strip()
        digest = HeaderFields(Header.parse(header)).signed_hash(
            names, canon if canon == "relaxed" else "simple", -1, unsigned
        )
        b = base64.b64encode(sign_digest(key.signing_key, digest)).decode()
    return unsigned + b.encode() + b"\r\n"


def check(message: bytes, zone: Any, *, now: float = NOW, author: str = "example.org") -> tuple[DkimOutcome, ...]:
    """Return the outcomes of a message's signatures. `zone` maps names to records, or is a resolver."""
    end = header_end(message, 0, len(message))
    signatures = find_signatures(HeaderFields(Header.parse(message[:end])), author)
    return check_signatures(signatures, message[:end], [message[end:]], zone, now)[0]


def check_signatures(
    signatures: Sequence[Signature], block: bytes, chunks: Sequence[bytes], zone: Any, now: float = NOW
) -> tuple[tuple[DkimOutcome, ...], BodyHashes]:
    hashes = BodyHashes(signatures)
    for chunk in chunks:
        hashes.update(chunk)
    resolver = zone if hasattr(zone, "query") else resolver_of(zone)
    return asyncio.run(verify(signatures, HeaderFields(Header.parse(block)), hashes, resolver, now)), hashes


def _body_hash(values: dict[str, Any], body: bytes) -> str:
    canon = (values["c"] or "simple").partition("/")[2].strip()
    length = int(values["l"]) if (values.get("l") or "").isdigit() else None
    user = Signature(0, body_canon="relaxed" if canon == "relaxed" else "simple", body_length=length)
    hashes = BodyHashes([user])
    hashes.update(body)
    return base64.b64encode(hashes.digest(user) or b"?" * 32).decode()


def _joined(values: dict[str, Any]) -> str:
    return "; ".join(f"{name}={value}" for name, value in values.items() if value is not None)
