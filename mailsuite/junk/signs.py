"""Whom a message is from, as far as it is proved: what a mailbox's memory of senders is asked by, and is told.

Each rung is (name, key). What nothing authenticates has no rung by its From: whoever forges a friend's address gains
nothing by it, and junk in the friend's name does not cost the friend. Domains that strangers share (free mail, senders
for hire) and what such a domain signs stand for nobody in particular, so they make no rung either.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mailsuite.authcheck.report import AuthReport
from mailsuite.junk.shared_domains import is_shared
from mailsuite.mail.address import AddressError, address_key
from mailsuite.mail.client_network import Reach, client_ip, network_around
from mailsuite.mail.encoded_word import decode_text
from mailsuite.mail.header import unfold

REPLY, FROM, DOMAIN, ORGANIZATION, DKIM, SPF, NETWORK = "reply", "from", "domain", "organization", "dkim", "spf", "net"
KEY_CHARACTERS = 320
MAX_REFERENCES = 10
MAX_DKIM_DOMAINS = 3
MAX_ID_CHARACTERS = 998
_REFERENCE_OCTETS = 16 * 1024

Rung = tuple[str, str]


@dataclass(frozen=True, slots=True)
class SenderSigns:
    """Facts about one message's sender. `is_authentic`: the author's domain stands behind it; `is_forged`: DMARC fails.
    `dkim_domains` and `spf_domain` are those that pass; `replies_to` are Message-IDs out of In-Reply-To and
    References."""

    from_address: str = ""
    from_domain: str = ""
    organizational_domain: str = ""
    is_authentic: bool = False
    is_forged: bool = False
    dkim_domains: tuple[str, ...] = ()
    spf_domain: str = ""
    client_address: str = ""
    replies_to: tuple[str, ...] = ()


def signs_of(report: AuthReport, fields: Mapping[bytes, Sequence[bytes]]) -> SenderSigns:
    """Return the signs out of what was checked, and out of the message's fields (raw values by lower-case name)."""
    dmarc = report.dmarc
    return SenderSigns(
        from_address=report.from_address,
        from_domain=dmarc.from_domain,
        organizational_domain=dmarc.organizational_domain,
        is_authentic=report.is_author_authentic,
        is_forged=dmarc.result == "fail",
        dkim_domains=report.dkim_domains,
        spf_domain=report.spf_domain,
        client_address=report.client_address,
        replies_to=referenced_ids(fields),
    )


def referenced_ids(fields: Mapping[bytes, Sequence[bytes]]) -> tuple[str, ...]:
    """Return the Message-IDs that a message answers, the nearest first (RFC 5322 §3.6.4)."""
    found: list[str] = []
    for name in (b"in-reply-to", b"references"):
        for value in fields.get(name, ())[:1]:
            words = decode_text(unfold(value)[-_REFERENCE_OCTETS:], _REFERENCE_OCTETS).replace("><", "> <").split()
            found += [word for word in reversed(words) if word[0] == "<" and len(word) <= MAX_ID_CHARACTERS]
    return tuple(dict.fromkeys(found))[:MAX_REFERENCES]


@lru_cache(maxsize=100)
def sender_rungs(signs: SenderSigns) -> tuple[Rung, ...]:
    """Return what the sender is known by, the surest first; what the owner says of the message is noted for each."""
    rungs: list[Rung] = []
    if signs.is_authentic and signs.from_address:
        rungs.append((FROM, address_rung_key(signs.from_address)))
    if signs.is_authentic:
        rungs.append((DOMAIN, signs.from_domain))
        if signs.organizational_domain != signs.from_domain:
            rungs.append((ORGANIZATION, signs.organizational_domain))
    rungs += [(DKIM, domain) for domain in signs.dkim_domains[:MAX_DKIM_DOMAINS]]
    rungs.append((SPF, signs.spf_domain))
    rungs.append((NETWORK, network_of(signs.client_address)))
    named = (DOMAIN, ORGANIZATION, DKIM, SPF)
    return tuple(
        (name, key[:KEY_CHARACTERS])
        for name, key in dict.fromkeys(rungs)
        if key and not (name in named and is_shared(key))
    )


@lru_cache(maxsize=100)
def reply_rungs(signs: SenderSigns) -> tuple[Rung, ...]:
    """Return what shows that the message answers one of the mailbox's own; nothing for what is forged, since archives
    of mailing lists publish Message-IDs."""
    return () if signs.is_forged else tuple((REPLY, message_id_key(one)) for one in signs.replies_to)


def address_rung_key(address: str) -> str:
    try:
        return address_key(address)
    except AddressError:
        return ""


def message_id_key(message_id: str) -> str:
    """Return what a sent Message-ID is remembered by: short, whatever its length."""
    return hashlib.blake2b(message_id.encode(errors="replace"), digest_size=16).hexdigest()


@lru_cache(maxsize=1000)
def network_of(address: str) -> str:
    """Return the client's neighbourhood, "" for what tells nothing: this host's and link-local addresses."""
    ip = client_ip(address)
    if ip is None or ip.is_loopback or ip.is_link_local:
        return ""
    return str(network_around(address, Reach.NEIGHBOURHOOD))
