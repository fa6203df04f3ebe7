"""Who gets what is sent to an address: the rule alone, over whatever `Source` knows the directory.

An address is looked for in this order: as it is written (mailbox or alias), without its detail (`ann+lists` as `ann`),
by pattern (the one with the most literal characters first), by the domain's catch-all. `postmaster` of a hosted domain,
or without any domain, is never unknown while there is a mailbox (RFC 5321 §4.5.1). Aliases lead to aliases up to
MAX_DEPTH, and to MAX_TARGETS addresses in all; what leads nowhere, back to itself or beyond that is left out and said
so in the chain. In however many ways aliases lead to one another, each is followed once for each depth. Reports have
addresses of their own in every hosted domain, which the report reader reads beside whoever has a mailbox or alias of
that name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeVar

from mailsuite.mail.address import Address, AddressError, parse_address, split_subaddress

K = TypeVar("K")
V = TypeVar("V")
MAX_DEPTH = 10
MAX_TARGETS = 1000
# Aliases and dead ends on the way: a domain's administrator must not be able to keep smtpd at one recipient for ever.
MAX_STEPS = 2 * MAX_TARGETS
ROLES = ("postmaster", "abuse")
# Local-parts of the report reader, and what they are for. No pattern or catch-all gets their mail.
REPORT_READER = {"dmarc-reports": "dmarc", "tls-reports": "tls"}


class Kind(Enum):
    """`DISABLED` is a domain that is ours but takes no mail for now; `UNHOSTED` one that is not ours."""

    UNKNOWN = "unknown"
    UNHOSTED = "unhosted"
    DISABLED = "disabled"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class MailboxEntry:
    mailbox_id: int
    domain_id: int
    user_id: int
    address: str
    quota_octets: int
    state: str


@dataclass(frozen=True, slots=True)
class AliasEntry:
    alias_id: int
    domain_id: int
    address: str
    kind: str
    is_active: bool
    members_may_send: bool
    targets: tuple[str, ...]


Entry = MailboxEntry | AliasEntry


@dataclass(frozen=True, slots=True)
class DomainEntry:
    """`canonical` is the domain's own name, or that of the domain whose alias it is. `patterns` and `catch_all` are
    address keys of aliases."""

    domain_id: int
    name: str
    canonical: str
    is_disabled: bool
    patterns: tuple[str, ...] = ()
    catch_all: str = ""


class Source(Protocol):
    """What the rule asks of the directory. Removed mailboxes and domains are not in it."""

    def domain(self, name: str) -> DomainEntry | None: ...

    def entries(self, keys: Sequence[str]) -> dict[str, Entry]: ...

    def role_mailbox(self, domain_id: int | None) -> MailboxEntry | None:
        """Who reads the postmaster's mail when no alias says so: an administrator's mailbox, else the oldest."""

    def is_own_host(self, domain: str) -> bool:
        """Whether mail for the domain would come back to this host, though it is not hosted."""


@dataclass(frozen=True, slots=True)
class LocalTarget:
    """A mailbox that gets a copy. `detail` is what followed the + in its address: a hint for the folder."""

    mailbox_id: int
    domain_id: int
    address: str
    quota_octets: int
    state: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class ReportTarget:
    """The report reader of a hosted domain gets a copy; `kind` is dmarc or tls."""

    kind: str
    domain_id: int
    address: str


@dataclass(frozen=True, slots=True)
class Expansion:
    """One step of the way, for the trace: `address` led to `targets` because of `by` (alias, catch-all, …)."""

    address: str
    by: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resolution:
    """`domain_id` is the hosted domain that was addressed; `reason` one word for what is not resolved."""

    kind: Kind
    local: tuple[LocalTarget, ...] = ()
    remote: tuple[str, ...] = ()
    chain: tuple[Expansion, ...] = ()
    domain_id: int | None = None
    reason: str = ""
    reports: tuple[ReportTarget, ...] = ()


@dataclass(slots=True)
class _Expanding:
    local: dict[int, LocalTarget] = field(default_factory=dict)
    remote: dict[str, str] = field(default_factory=dict)
    reports: dict[tuple[str, int], ReportTarget] = field(default_factory=dict)
    chain: list[Expansion] = field(default_factory=list)
    # By an alias' address, how many were before it when it was followed.
    depths: dict[str, int] = field(default_factory=dict)
    looped: bool = False
    is_full: bool = False

    def note(self, address: str, by: str, *targets: str) -> None:
        self.chain.append(Expansion(address, by, targets))
        if len(self.chain) >= MAX_STEPS:
            self.fill(address)

    def take(self, found: dict[K, V], key: K, value: V, address: str) -> None:
        """Keeps one of the targets, unless it is there already or there are too many."""
        if len(self.local) + len(self.remote) < MAX_TARGETS:
            found.setdefault(key, value)
        elif key not in found:
            self.fill(address)

    def fill(self, address: str) -> None:
        """Nothing more is followed."""
        if not self.is_full:
            self.is_full = True
            self.note(address, "too-many")


def resolve(address: Address, source: Source) -> Resolution:
    """Who gets mail for `address`; one without a domain is the bare postmaster."""
    if not address.domain or _is_own_role(address, source):
        found = source.role_mailbox(None)
        if found is None:
            return Resolution(Kind.UNKNOWN, reason="unknown-user")
        chain = (Expansion(str(address), "postmaster", (found.address,)),)
        return Resolution(Kind.RESOLVED, (_target(found, None),), (), chain, found.domain_id)
    domain = source.domain(address.domain)
    if domain is None:
        return Resolution(Kind.UNHOSTED, reason="not-hosted")
    if domain.is_disabled:
        return Resolution(Kind.DISABLED, domain_id=domain.domain_id, reason="domain-disabled")
    out = _Expanding()
    _expand(address, domain, source, out, path=(), detail=None)
    if not (out.local or out.remote or out.reports):
        reason = "alias-loop" if out.looped else "alias-empty" if out.chain else "unknown-user"
        return Resolution(Kind.UNKNOWN, chain=tuple(out.chain), domain_id=domain.domain_id, reason=reason)
    local, remote = tuple(out.local.values()), tuple(out.remote.values())
    reports = tuple(out.reports.values())
    return Resolution(Kind.RESOLVED, local, remote, tuple(out.chain), domain.domain_id, reports=reports)


def receiver(address: Address, domain: DomainEntry, source: Source) -> tuple[Entry | None, str | None]:
    """The mailbox or alias that takes mail for an address of `domain`, and the detail that was taken off to find it.
    An alias that was switched off is found too, so that a catch-all doesn't take its place."""
    whole = Address(address.local_part, domain.canonical)
    base, detail = split_subaddress(address.local_part)
    without = Address(base, domain.canonical)
    found = source.entries([whole.key] if detail is None else [whole.key, without.key])
    if entry := found.get(whole.key):
        return entry, None
    if entry := found.get(without.key):
        return entry, detail
    if _report_kind(address):
        return None, None
    for one in (whole, without) if detail is not None else (whole,):
        for pattern in domain.patterns:
            if pattern_matches(pattern, one.key):
                return source.entries([pattern]).get(pattern), detail if one is without else None
    if domain.catch_all:
        return source.entries([domain.catch_all]).get(domain.catch_all), None
    if without.key.rpartition("@")[0] in ROLES:
        return source.role_mailbox(domain.domain_id), detail
    return None, None


def pattern_matches(pattern: str, key: str) -> bool:
    """Whether an address key fits a pattern's: `*` stands for any run of characters, none included."""
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), key, re.DOTALL) is not None


def by_weight(patterns: Sequence[str]) -> tuple[str, ...]:
    """Patterns in the order in which they are tried: most literal characters first, then by name."""
    return tuple(sorted(patterns, key=lambda pattern: (-len(pattern.replace("*", "")), pattern)))


def _expand(
    address: Address, domain: DomainEntry, source: Source, out: _Expanding, *, path: tuple[str, ...], detail: str | None
) -> None:
    entry, own_detail = receiver(address, domain, source)
    detail = detail if own_detail is None else own_detail
    kind = _report_kind(address)
    if kind:
        out.reports.setdefault((kind, domain.domain_id), ReportTarget(kind, domain.domain_id, str(address)))
    match entry:
        case None:
            if path and not kind:
                out.note(str(address), "unknown")
        case MailboxEntry():
            out.take(out.local, entry.mailbox_id, _target(entry, detail), entry.address)
        case AliasEntry(is_active=False):
            out.note(str(address), "switched-off")
        case AliasEntry():
            if entry.address in path:
                out.looped = True
                out.note(str(address), "loop")
            elif len(path) >= MAX_DEPTH:
                out.note(str(address), "too-deep")
            elif len(path) < out.depths.get(entry.address, MAX_DEPTH):
                out.depths[entry.address] = len(path)
                out.note(str(address), entry.kind if entry.kind != "address" else "alias", *entry.targets)
                for target in entry.targets:
                    _expand_target(target, source, out, path=(*path, entry.address), detail=detail)


def _expand_target(text: str, source: Source, out: _Expanding, *, path: tuple[str, ...], detail: str | None) -> None:
    if out.is_full:
        return
    try:
        address = parse_address(text)
    except AddressError:
        return out.note(text, "malformed")
    domain = source.domain(address.domain)
    if domain is not None and domain.is_disabled:
        out.note(text, "domain-disabled")
    elif domain is not None:
        _expand(address, domain, source, out, path=path, detail=detail)
    elif not source.is_own_host(address.domain):
        out.take(out.remote, address.key, str(address), str(address))
    elif found := source.role_mailbox(None):
        # An administrator's account is often named for the host itself, where nobody has a mailbox.
        out.note(text, "postmaster", found.address)
        out.take(out.local, found.mailbox_id, _target(found, None), found.address)


def _report_kind(address: Address) -> str:
    """What the report reader reads the address for, "" when it doesn't."""
    base, _ = split_subaddress(address.local_part)
    return REPORT_READER.get(base.lower(), "")


def _is_own_role(address: Address, source: Source) -> bool:
    """Whether this is postmaster or abuse at the host's own name, which need not be a hosted domain."""
    return (
        address.local_part.lower() in ROLES
        and source.is_own_host(address.domain)
        and source.domain(address.domain) is None
    )


def _target(entry: MailboxEntry, detail: str | None) -> LocalTarget:
    return LocalTarget(entry.mailbox_id, entry.domain_id, entry.address, entry.quota_octets, entry.state, detail)
