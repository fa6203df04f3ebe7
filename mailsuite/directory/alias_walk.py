"""What an alias leads to: aliases behind aliases, nearest first, each once, within limits.

Aliases lead to aliases up to MAX_DEPTH, and to MAX_TARGETS addresses in all; what leads nowhere, back to itself or
beyond that is left out and said so.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mailsuite.directory.receiver import find_receiver, is_role, keys_of, local_target, report_kind
from mailsuite.directory.resolution import (
    FORWARD,
    MAX_DEPTH,
    MAX_STEPS,
    MAX_TARGETS,
    ROLES,
    AliasEntry,
    DeadEnd,
    DomainEntry,
    Entry,
    Expansion,
    KeptTarget,
    LocalTarget,
    MailboxEntry,
    Part,
    ReportTarget,
    Source,
)
from mailsuite.mail.address import Address, AddressError, parse_address


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


def reach(entry: AliasEntry, source: Source) -> tuple[Part, ...]:
    """What an alias leads to, by way of others too: its own part comes first."""
    return source.remember(("reach", entry.alias_id), lambda: _within_limits(entry, list(_walk(entry, source))))


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
    key = alias_part_key(entry)
    return Part(key, visit.address, entry.domain_id, found.local, found.remote, found.reports, kept, visit.detail, step)


def alias_part_key(entry: AliasEntry) -> str:
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
        for key in keys_of(address, domain)
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
        found.local[mailbox.mailbox_id] = local_target(mailbox)


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
    entry, detail = find_receiver(address, domain, entries, source)
    if kind := report_kind(address):
        found.reports.setdefault((kind, domain.domain_id), ReportTarget(kind, domain.domain_id, str(address)))
    match entry:
        case MailboxEntry(forward=AliasEntry() as forward) if forward.alias_id != alias.alias_id:
            found.aliases.append((forward, text, detail))
        case MailboxEntry():
            found.local.setdefault(entry.mailbox_id, local_target(entry, detail))
        case AliasEntry(is_active=False):
            found.dead.append(DeadEnd(text, "switched-off" if entry.domain_id == alias.domain_id else "unknown"))
        case AliasEntry():
            found.aliases.append((entry, text, detail))
        case None if is_role(address):
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
            found.local.setdefault(role.mailbox_id, local_target(role))
    else:
        found.kept[KeptTarget(f"{ROLES[0]}@{address.domain}", None)] = None
