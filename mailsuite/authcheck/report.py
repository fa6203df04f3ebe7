"""What was found out about one message's authenticity, as plain values: kept with its story, read by whoever judges it.

Results are RFC 8601's words. The report is JSON in `Story.data["authentication"]`; `decode` reads it back, and fields
that a later version adds have defaults, so that old stories stay readable.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from mailsuite.mailauth.dmarc import DmarcOutcome


@dataclass(frozen=True, slots=True)
class SpfCheck:
    """SPF for one identity (RFC 7208 §2). `identity` is mailfrom or helo; `domain` the one whose record was asked."""

    identity: str
    domain: str
    result: str
    reason: str = ""
    mechanism: str = ""
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class IprevCheck:
    """The client's reverse DNS (RFC 8601 §3). `confirmed` is a name that leads back to the address, or ""."""

    result: str
    reason: str = ""
    confirmed: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DkimCheck:
    """One signature (RFC 6376 §6). `b_start` are the first octets of its b=, which tell equal ones apart;
    `is_aligned` says that it passes and speaks for the author's domain (RFC 9989 §4.4.1)."""

    result: str
    reason: str = ""
    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    key_bits: int = 0
    b_start: str = ""
    is_testing: bool = False
    is_aligned: bool = False


@dataclass(frozen=True, slots=True)
class ArcSealer:
    instance: int
    domain: str
    selector: str


@dataclass(frozen=True, slots=True)
class ArcCheck:
    """The chain (RFC 8617 §5.2). `trusted_by` is the newest sealer when the chain passes and the site trusts it; then
    `claims` is what that sealer says it found, one `method=result` each. `cv` is what a seal of ours would say of the
    chain, "" where none may be added; `instance` is the newest set's."""

    result: str
    reason: str = ""
    sealers: tuple[ArcSealer, ...] = ()
    trusted_by: str = ""
    claims: tuple[str, ...] = ()
    cv: str = ""
    instance: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """One DNS answer as it was then. `status` is ok, nodata, nxdomain or temperror; values are text for people."""

    name: str
    rdtype: str
    status: str
    values: tuple[str, ...] = ()
    milliseconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AuthReport:
    """All checks of one message. `mail_from` is the reverse-path's address or "" for the null one; `from_address` the
    author's when there is exactly one. `unfinished` names the methods that the deadline cut off; `milliseconds` are by
    method; `removed_results` counts the Authentication-Results fields that claimed to be ours and were cut out,
    `removed_return_paths` the Return-Path fields, which final delivery alone may write.
    `from_problem` says why there is no author; `from_addresses` are all that From names, up to a limit, beyond which it
    `from_is_crowded`; `sender_takes_no_mail`: the reverse-path's domain has a null MX."""

    client_address: str
    helo: str
    mail_from: str
    from_address: str
    checked_at: datetime
    iprev: IprevCheck
    spf: SpfCheck
    spf_helo: SpfCheck
    dmarc: DmarcOutcome
    arc: ArcCheck
    dkim: tuple[DkimCheck, ...] = ()
    dns: tuple[Question, ...] = ()
    milliseconds: dict[str, float] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()
    removed_results: int = 0
    removed_return_paths: int = 0
    from_problem: str = ""
    sender_takes_no_mail: bool = False
    from_addresses: tuple[str, ...] = ()
    from_is_crowded: bool = False

    @property
    def author_domains(self) -> tuple[str, ...]:
        """The domains that the message says it is from: one, unless it names authors of several."""
        named = (address.rpartition("@")[2] for address in self.from_addresses)
        return tuple(dict.fromkeys(filter(None, (self.dmarc.from_domain, *named))))

    @property
    def spf_domain(self) -> str:
        """The domain that SPF speaks for when it passes: MAIL FROM's, or HELO's for the null reverse-path."""
        return self.spf.domain if self.spf.result == "pass" else ""

    @property
    def dkim_domains(self) -> tuple[str, ...]:
        """The domains of the signatures that pass, each once."""
        return tuple(dict.fromkeys(check.domain for check in self.dkim if check.result == "pass"))

    @property
    def is_author_authentic(self) -> bool:
        """Whether the author's domain stands behind the message: DMARC passes, or, where no policy asks for it, SPF or
        DKIM passes for that very domain. Without a record a domain is an organisation by itself (RFC 9989 §4.10.2), so
        that nothing above or below it speaks for it; a look-up that failed is temperror, and proves nothing."""
        if self.dmarc.result == "none":
            spoken = {domain.lower().rstrip(".") for domain in (self.spf_domain, *self.dkim_domains) if domain}
            return self.dmarc.from_domain in spoken
        return self.dmarc.result == "pass"


def decode(data: Any) -> AuthReport | None:
    """The report out of a story's `data["authentication"]`, as json.loads gives it; None when there is none."""
    try:
        return msgspec.convert(data, AuthReport) if data else None
    except msgspec.ValidationError:
        return None
