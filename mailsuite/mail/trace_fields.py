"""The trace fields put in front of a message (RFC 5321 §4.4), as octets ending in CRLF.

Much of what they tell comes from strangers: nothing that could end a line, a comment or a field gets through.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from mailsuite.mail.address import Address, Path
from mailsuite.mail.dates import format_date

_HELO = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*)|\[[A-Za-z0-9.:-]+\]", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9._:=+/-]", re.ASCII)
_BREAKING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_MAX_WORD = 255


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """What a connection negotiated, such as `TLSv1.3` and `TLS_AES_256_GCM_SHA384`."""

    version: str
    cipher: str


def protocol_name(*, extended: bool, tls: bool, authenticated: bool, smtputf8: bool) -> str:
    """Return the word after `with` for a session (RFC 3848, RFC 6531 §4.3). Only EHLO is `extended`, and TLS and AUTH
    have no name without it."""
    base = "UTF8SMTP" if smtputf8 else "ESMTP" if extended or tls or authenticated else "SMTP"
    return base + ("S" if tls else "") + ("A" if authenticated else "")


def return_path(path: Path) -> bytes:
    """Return the Return-Path field of final delivery (RFC 5321 §4.4)."""
    return f"Return-Path: <{_line(str(path))}>\r\n".encode()


def delivered_to(address: Address) -> bytes:
    """Return the Delivered-To field that lets loops be seen (RFC 9228 §3)."""
    return f"Delivered-To: {_line(str(address))}\r\n".encode()


def received(
    *,
    helo: str,
    peer_name: str | None,
    peer_address: str | None,
    by: str,
    protocol: str,
    queue_id: str,
    received_at: datetime,
    recipient: str | None = None,
    tls: TlsInfo | None = None,
) -> bytes:
    """Return the Received field (RFC 5321 §4.4). `peer_name` is the name that DNS gives for the peer's address;
    `recipient` is told only where the message has a single one, since others must not learn of each other
    (RFC 5321 §7.6)."""
    known_helo = helo if _HELO.fullmatch(helo) and len(helo) <= _MAX_WORD else "unknown"
    lines = [f"Received: from {known_helo}{_tcp_info(peer_name, peer_address)}"]
    if tls is not None:
        lines.append(f"(using {_word(tls.version)} with cipher {_word(tls.cipher)})")
    lines.append(f"by {_word(by)} with {_word(protocol)} id {_word(queue_id)}")
    if recipient is not None:
        lines.append(f"for <{_line(recipient)}>")
    return ("\r\n\t".join(lines) + f"; {format_date(received_at)}\r\n").encode()


@lru_cache(maxsize=1024)
def _tcp_info(name: str | None, address: str | None) -> str:
    """TCP-info = address-literal / ( Domain FWS address-literal )"""
    if address is None:
        return ""
    ip = ip_address(address.partition("%")[0])
    literal = f"[IPv6:{ip}]" if isinstance(ip, IPv6Address) else f"[{ip}]"
    return f" ({_word(name)} {literal})" if name else f" ({literal})"


def _word(text: str) -> str:
    return _UNSAFE.sub("", text)[:_MAX_WORD] or "unknown"


def _line(text: str) -> str:
    return _BREAKING.sub("", text)
