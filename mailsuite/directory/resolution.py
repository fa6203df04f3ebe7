"""Who gets what is sent to an address: the rule alone, over whatever `Source` knows the directory.

An address is looked for in this order: as it is written (mailbox or alias), as a sender that we rewrote (which leads
back to whoever wrote, and to nobody else), without its detail (`ann+lists` as `ann`), by pattern (the one with the most
literal characters first), by the domain's catch-all. `postmaster` and `abuse` of a hosted domain, and the bare
postmaster, are never unknown (RFC 5321 §4.5.1, RFC 2142 §4): where no mailbox or alias has the name, or what has it
leads nowhere, `Source.role_mailbox` says who reads them, and where nobody does, their mail is kept for the
administrators.

A mailbox may send its mail on, by a forward, which is followed like an alias; its own address among the targets stands
for the mailbox itself, which also keeps what would go on to nobody.

Aliases lead to aliases up to MAX_DEPTH, and to MAX_TARGETS addresses in all; what leads nowhere, back to itself or
beyond that is left out and said so. Each alias is followed once, by the shortest way. A resolution is made of parts,
one for each alias on the way, so that whoever has many recipients can take each part once.

Reports have addresses of their own in every hosted domain, which the report reader reads beside whoever has a mailbox
or alias of that name.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol, TypeVar

from mailsuite.mail.address import Address, AddressError, parse_address, split_subaddress
from mailsuite.mail.srs import is_srs

T = TypeVar("T")
MAX_DEPTH = 10
MAX_TARGETS = 1000
# Addresses looked at on the way: a domain's administrator must not be able to keep smtpd at one recipient for ever.
MAX_STEPS = 10 * MAX_TARGETS
ROLES = ("postmaster", "abuse")
# Local-parts of the report reader, and what they are for. No pattern or catch-all gets their mail.
REPORT_READER = {"dmarc-reports": "dmarc", "tls-reports": "tls"}
# The kind of the alias that sends a mailbox's mail on.
FORWARD = "forward"
# The reason of what `mailsuite.directory.lookup` turns back to whoever wrote.
REWRITTEN_SENDER = "rewritten-sender"


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
    # Where its mail goes on to; its own address among the targets is the copy that it keeps.
    forward: "AliasEntry | None" = None


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
        """Who reads postmaster@ and abuse@ of the domain when no mailbox or alias is named so: an administrator of it
        or of the site, else the domain's own oldest mailbox. For the host itself (None) the site's administrators
        alone. Never a mailbox of another domain's people."""

    def is_own_host(self, domain: str) -> bool:
        """Whether mail for the domain would come back to this host, though it is not hosted."""

    def remember(self, key: Hashable, load: Callable[[], T]) -> T:
        """What `load` gives, which may be kept under the key while the directory stays as it is."""


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
class KeptTarget:
    """A role of a domain, or with None of the host itself, that nobody reads: its mail is kept for the
    administrators."""

    address: str
    domain_id: int | None


@dataclass(frozen=True, slots=True)
class DeadEnd:
    """An address that an alias names in vain, and why in one word."""

    address: str
    reason: str


@dataclass(frozen=True, slots=True)
class Expansion:
    """One step of the way, for the trace: `address` led to `targets` because of `by` (alias, catch-all, …), and in vain
    to `dead`. Administrators of `domain_id`, the domain of the address itself, may know of it, and no others."""

    address: str
    by: str
    targets: tuple[str, ...]
    domain_id: int | None = None
    dead: tuple[DeadEnd, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What one address leads to by itself, without the aliases behind it. Parts with the same key are the same.

    `remote` are addresses on other hosts: they are of the domain of the alias that names them, which is `domain_id`,
    and mail goes on to them from `address`. `detail` is for those of `local` that have none of their own.
    """

    key: str
    address: str
    domain_id: int | None
    local: Mapping[int, LocalTarget] = field(default_factory=dict)
    remote: Mapping[str, str] = field(default_factory=dict)
    reports: Mapping[tuple[str, int], ReportTarget] = field(default_factory=dict)
    kept: tuple[KeptTarget, ...] = ()
    detail: str | None = None
    step: Expansion | None = None

    @property
    def is_live(self) -> bool:
        """Whether anybody gets anything by it."""
        return bool(self.local or self.remote or self.reports or self.kept)


@dataclass(frozen=True, slots=True)
class Resolution:
    """`domain_id` is the hosted domain that was addressed, None for the host itself; `reason` one word for what is not
    resolved; `detail` what the address itself has behind the +."""

    kind: Kind
    parts: tuple[Part, ...] = ()
    domain_id: int | None = None
    reason: str = ""
    detail: str | None = None

    @property
    def local(self) -> tuple[LocalTarget, ...]:
        """The mailboxes, each once."""
        found: dict[int, LocalTarget] = {}
        for part in self.parts:
            for mailbox_id, target in part.local.items():
                found.setdefault(mailbox_id, replace(target, detail=effective_detail(target, part, self)))
        return tuple(found.values())

    @property
    def remote(self) -> tuple[str, ...]:
        """The addresses on other hosts, each once."""
        return tuple({key: address for part in self.parts for key, address in part.remote.items()}.values())

    @property
    def reports(self) -> tuple[ReportTarget, ...]:
        """The report readers, each once."""
        return tuple({key: target for part in self.parts for key, target in part.reports.items()}.values())

    @property
    def kept(self) -> tuple[KeptTarget, ...]:
        """The roles that nobody reads."""
        return tuple(dict.fromkeys(target for part in self.parts for target in part.kept))

    @property
    def chain(self) -> tuple[Expansion, ...]:
        """The way, step by step."""
        return tuple(part.step for part in self.parts if part.step)


@dataclass(frozen=True, slots=True)
class Members:
    """What an alias names, its aliases not yet followed: each with the address that names it, and that one's detail."""

    local: dict[int, LocalTarget] = field(default_factory=dict)
    remote: dict[str, str] = field(default_factory=dict)
    reports: dict[tuple[str, int], ReportTarget] = field(default_factory=dict)
    kept: dict[KeptTarget, None] = field(default_factory=dict)
    aliases: list[tuple[AliasEntry, str, str | None]] = field(default_factory=list)
    dead: list[DeadEnd] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Visit:
    """An alias whose turn it is; `path` are the ids of those that led to it."""

    entry: AliasEntry
    address: str
    detail: str | None = None
    path: tuple[int, ...] = ()


def resolve(address: Address, source: Source) -> Resolution:
    """Who gets mail for `address`; one without a domain is the bare postmaster."""
    if not address.domain or _is_own_role(address, source):
        return _resolved(_read_by(str(address), source.role_mailbox(None), None, source), None, None)
    domain = source.domain(address.domain)
    if domain is None:
        is_back = is_srs(address.local_part) and source.is_own_host(address.domain)
        return Resolution(
            Kind.UNKNOWN if is_back else Kind.UNHOSTED, reason=REWRITTEN_SENDER if is_back else "not-hosted"
        )
    # Whoever wrote to a domain that is disabled now shall hear of it all the same.
    if domain.is_disabled and not is_srs(address.local_part):
        return Resolution(Kind.DISABLED, domain_id=domain.domain_id, reason="domain-disabled")
    entry, detail = receiver(address, domain, source)
    if entry is None and is_srs(address.local_part):
        return Resolution(Kind.UNKNOWN, domain_id=domain.domain_id, reason=REWRITTEN_SENDER)
    if domain.is_disabled:
        return Resolution(Kind.DISABLED, domain_id=domain.domain_id, reason="domain-disabled")
    return _resolved(_parts(address, domain, entry, source), domain.domain_id, detail)


def receiver(address: Address, domain: DomainEntry, source: Source) -> tuple[Entry | None, str | None]:
    """The mailbox or alias that takes mail for an address of `domain`, and the detail that was taken off to find it.
    An alias that was switched off is found too, so that a catch-all doesn't take its place."""
    return _receiver(address, domain, source.entries(_keys(address, domain)), source)


def reach(entry: AliasEntry, source: Source) -> tuple[Part, ...]:
    """What an alias leads to, by way of others too: its own part comes first."""
    return source.remember(("reach", entry.alias_id), lambda: _within_limits(entry, list(_walk(entry, source))))


def effective_detail(target: LocalTarget, part: Part, resolution: Resolution) -> str | None:
    """The detail that stands nearest to the mailbox: an alias' own target may have one."""
    for detail in (target.detail, part.detail, resolution.detail):
        if detail is not None:
            return detail
    return None


def pattern_matches(pattern: str, key: str) -> bool:
    """Whether an address key fits a pattern's: `*` stands for any run of characters, none included. Each part between
    two stars is looked for once, from where the one before ended: were it found there, any later place would do no
    better."""
    first, *middle = pattern.split("*")
    if not middle:
        return pattern == key
    last = middle.pop()
    at, end = len(first), len(key) - len(last)
    if at > end or not key.startswith(first) or not key.endswith(last):
        return False
    for part in middle:
        found = key.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def by_weight(patterns: Sequence[str]) -> tuple[str, ...]:
    """Patterns in the order in which they are tried: most literal characters first, then by name."""
    return tuple(sorted(patterns, key=lambda pattern: (-len(pattern.replace("*", "")), pattern)))


def _resolved(parts: Sequence[Part], domain_id: int | None, detail: str | None) -> Resolution:
    if any(part.is_live for part in parts):
        return Resolution(Kind.RESOLVED, tuple(parts), domain_id, detail=detail)
    dead = [end.reason for part in parts if part.step for end in part.step.dead]
    reason = "alias-loop" if "loop" in dead else "alias-empty" if parts else "unknown-user"
    return Resolution(Kind.UNKNOWN, tuple(parts), domain_id, reason)


def _parts(address: Address, domain: DomainEntry, entry: Entry | None, source: Source) -> list[Part]:
    """What a recipient's address leads to."""
    text, parts = str(address), []
    if kind := _report_kind(address):
        target = ReportTarget(kind, domain.domain_id, text)
        reports = {(kind, domain.domain_id): target}
        parts.append(Part(f"reports {kind} {domain.domain_id}", text, domain.domain_id, reports=reports))
    match entry:
        case MailboxEntry(forward=AliasEntry() as forward) if entry.domain_id == domain.domain_id:
            parts += _led(text, forward, source)
        case MailboxEntry():
            parts += _read_by(text, entry, domain.domain_id, source)
        case AliasEntry(is_active=False):
            dead = (DeadEnd(text, "switched-off"),)
            step = Expansion(text, "switched-off", (), domain.domain_id, dead)
            parts.append(Part(_alias_key(entry), text, domain.domain_id, step=step))
        case AliasEntry():
            parts += _led(text, entry, source)
    if _is_role(address) and not any(part.is_live for part in parts):
        parts += _read_by(text, source.role_mailbox(domain.domain_id), domain.domain_id, source)
    return parts


def _read_by(text: str, entry: MailboxEntry | None, domain_id: int | None, source: Source) -> list[Part]:
    """The parts of an address, of a domain or the host itself, that a mailbox reads, or nobody. One of other people
    than the domain's, who read a role, is not named to those."""
    if entry is None:
        return [Part(f"kept {text}", text, domain_id, kept=(KeptTarget(text, domain_id),))]
    step = Expansion(text, "postmaster", (), domain_id) if entry.domain_id != domain_id else None
    if entry.forward is None:
        return [Part(f"mailbox {entry.mailbox_id}", text, domain_id, {entry.mailbox_id: _target(entry)}, step=step)]
    led = [Part(f"{text} read by {entry.mailbox_id}", text, domain_id, step=step)] if step else []
    return [*led, *reach(entry.forward, source)]


def _led(text: str, entry: AliasEntry, source: Source) -> list[Part]:
    """The parts behind an alias, the first in the words of the address that led to it."""
    first, *others = reach(entry, source)
    step = replace(first.step, address=text) if first.step else None
    return [replace(first, address=text, step=step), *others]


def _keys(address: Address, domain: DomainEntry) -> list[str]:
    """The keys to look for: of the whole address, and of the one without its detail."""
    base, detail = split_subaddress(address.local_part)
    whole = Address(address.local_part, domain.canonical).key
    return [whole] if detail is None else [whole, Address(base, domain.canonical).key]


def _receiver(
    address: Address, domain: DomainEntry, found: Mapping[str, Entry], source: Source
) -> tuple[Entry | None, str | None]:
    """The same as `receiver`; the entries of the address' own keys are found already."""
    _, detail = split_subaddress(address.local_part)
    keys = _keys(address, domain)
    whole, without = keys[0], keys[-1]
    if entry := found.get(whole):
        return entry, None
    if is_srs(address.local_part):
        return None, None
    if entry := found.get(without):
        return entry, detail
    if _report_kind(address):
        return None, None
    for key in keys:
        for pattern in domain.patterns:
            if pattern_matches(pattern, key):
                return source.entries([pattern]).get(pattern), detail if key is without else None
    if domain.catch_all:
        return source.entries([domain.catch_all]).get(domain.catch_all), None
    return (source.role_mailbox(domain.domain_id), detail) if _is_role(address) else (None, None)


def _walk(top: AliasEntry, source: Source) -> Iterable[Part]:
    """The parts of all aliases behind one, nearest first, each once."""
    waiting, seen, looked_at = deque([_Visit(top, top.address)]), {top.alias_id}, len(top.targets)
    while waiting:
        visit = waiting.popleft()
        found = _members_of(visit.entry, source)
        path, dead = (*visit.path, visit.entry.alias_id), list(found.dead)
        for entry, text, detail in found.aliases:
            if entry.alias_id in path:
                dead.append(DeadEnd(text, "loop"))
            elif entry.alias_id in seen:
                continue
            elif len(path) >= MAX_DEPTH:
                dead.append(DeadEnd(text, "too-deep"))
            elif looked_at + len(entry.targets) > MAX_STEPS:
                dead.append(DeadEnd(text, "too-many"))
            else:
                seen.add(entry.alias_id)
                looked_at += len(entry.targets)
                waiting.append(_Visit(entry, text, visit.detail if detail is None else detail, path))
        yield _alias_part(visit, found, dead)


def _alias_part(visit: _Visit, found: Members, dead: Sequence[DeadEnd]) -> Part:
    entry = visit.entry
    by = entry.kind if entry.kind != "address" else "alias"
    step = Expansion(visit.address, by, entry.targets, entry.domain_id, tuple(dead))
    kept = tuple(found.kept)
    key = _alias_key(entry)
    return Part(key, visit.address, entry.domain_id, found.local, found.remote, found.reports, kept, visit.detail, step)


def _alias_key(entry: AliasEntry) -> str:
    return f"alias {entry.alias_id}"


def _within_limits(top: AliasEntry, parts: list[Part]) -> tuple[Part, ...]:
    """The parts, less what comes after the first MAX_TARGETS; those that lose something are this alias' own then."""
    if sum(len(part.local) + len(part.remote) for part in parts) <= MAX_TARGETS:
        return tuple(parts)
    taken: set[int | str] = set()
    return tuple(_cut(top, part, taken) for part in parts)


def _cut(top: AliasEntry, part: Part, taken: set[int | str]) -> Part:
    left_out: list[str] = []

    def take(key: int | str, address: str) -> bool:
        if len(taken) < MAX_TARGETS or key in taken:
            taken.add(key)
            return True
        left_out.append(address)
        return False

    local = {key: target for key, target in part.local.items() if take(key, target.address)}
    remote = {key: address for key, address in part.remote.items() if take(key, address)}
    if not left_out or part.step is None:
        return part
    step = replace(part.step, dead=(*part.step.dead, DeadEnd(left_out[0], "too-many")))
    return replace(part, key=f"{part.key} of {top.alias_id}", local=local, remote=remote, step=step)


def _members_of(entry: AliasEntry, source: Source) -> Members:
    return source.remember(("members", entry.alias_id), lambda: _members(entry, source))


def _members(entry: AliasEntry, source: Source) -> Members:
    """What the alias names, its own addresses looked up together."""
    found, parsed = Members(), []
    for text in entry.targets:
        try:
            parsed.append((text, parse_address(text)))
        except AddressError:
            found.dead.append(DeadEnd(text, "malformed"))
    domains = {name: source.domain(name) for name in {address.domain for _, address in parsed}}
    keys = {
        key
        for _, address in parsed
        if (domain := domains[address.domain]) and not domain.is_disabled
        for key in _keys(address, domain)
    }
    entries = source.entries(sorted(keys)) if keys else {}
    for text, address in parsed:
        if domain := domains[address.domain]:
            _add_own(found, entry, text, address, domain, entries, source)
        else:
            _add_other(found, text, address, source)
    if entry.kind == FORWARD and not (found.local or found.remote or found.aliases or found.reports or found.kept):
        _keep_forwarded(found, entry, source)
    return found


def _keep_forwarded(found: Members, forward: AliasEntry, source: Source) -> None:
    """Has a mailbox whose mail would go on to nobody keep it."""
    own = parse_address(forward.address).key
    if isinstance(mailbox := source.entries([own]).get(own), MailboxEntry):
        found.local[mailbox.mailbox_id] = _target(mailbox)


def _add_own(
    found: Members,
    alias: AliasEntry,
    text: str,
    address: Address,
    domain: DomainEntry,
    entries: Mapping[str, Entry],
    source: Source,
) -> None:
    """Adds a target at a hosted domain. Why mail for another domain's address goes nowhere is that domain's matter.
    Mail for one that is disabled waits in the queue, as it would on other hosts."""
    if domain.is_disabled:
        found.remote.setdefault(address.key, str(address))
        return
    entry, detail = _receiver(address, domain, entries, source)
    if kind := _report_kind(address):
        found.reports.setdefault((kind, domain.domain_id), ReportTarget(kind, domain.domain_id, str(address)))
    match entry:
        case MailboxEntry(forward=AliasEntry() as forward) if forward.alias_id != alias.alias_id:
            found.aliases.append((forward, text, detail))
        case MailboxEntry():
            found.local.setdefault(entry.mailbox_id, _target(entry, detail))
        case AliasEntry(is_active=False):
            found.dead.append(DeadEnd(text, "switched-off" if entry.domain_id == alias.domain_id else "unknown"))
        case AliasEntry():
            found.aliases.append((entry, text, detail))
        case None if _is_role(address):
            found.kept[KeptTarget(str(address), domain.domain_id)] = None
        case None if not kind:
            found.dead.append(DeadEnd(text, "unknown"))


def _add_other(found: Members, text: str, address: Address, source: Source) -> None:
    """Adds a target elsewhere, or at the host's own name: an administrator's account is often named for that, where
    nobody has a mailbox."""
    if not source.is_own_host(address.domain):
        found.remote.setdefault(address.key, str(address))
    elif role := source.role_mailbox(None):
        if role.forward:
            found.aliases.append((role.forward, text, None))
        else:
            found.local.setdefault(role.mailbox_id, _target(role))
    else:
        found.kept[KeptTarget(f"{ROLES[0]}@{address.domain}", None)] = None


def _report_kind(address: Address) -> str:
    """What the report reader reads the address for, "" when it doesn't."""
    base, _ = split_subaddress(address.local_part)
    return REPORT_READER.get(base.lower(), "")


def _is_role(address: Address) -> bool:
    return split_subaddress(address.local_part)[0].lower() in ROLES


def _is_own_role(address: Address, source: Source) -> bool:
    """Whether this is postmaster or abuse at the host's own name, which need not be a hosted domain."""
    return _is_role(address) and source.is_own_host(address.domain) and source.domain(address.domain) is None


def _target(entry: MailboxEntry, detail: str | None = None) -> LocalTarget:
    return LocalTarget(entry.mailbox_id, entry.domain_id, entry.address, entry.quota_octets, entry.state, detail)
