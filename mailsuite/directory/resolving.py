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

from collections.abc import Sequence
from dataclasses import replace

from mailsuite.directory.alias_walk import alias_part_key, reach
from mailsuite.directory.receiver import is_role, local_target, receiver, report_kind
from mailsuite.directory.resolution import (
    REWRITTEN_SENDER,
    AliasEntry,
    DeadEnd,
    DomainEntry,
    Entry,
    Expansion,
    KeptTarget,
    Kind,
    MailboxEntry,
    Part,
    ReportTarget,
    Resolution,
    Source,
)
from mailsuite.mail.address import Address
from mailsuite.mail.srs import is_srs


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


def _resolved(parts: Sequence[Part], domain_id: int | None, detail: str | None) -> Resolution:
    if any(part.is_live for part in parts):
        return Resolution(Kind.RESOLVED, tuple(parts), domain_id, detail=detail)
    dead = [end.reason for part in parts if part.step for end in part.step.dead]
    reason = "alias-loop" if "loop" in dead else "alias-empty" if parts else "unknown-user"
    return Resolution(Kind.UNKNOWN, tuple(parts), domain_id, reason)


def _parts(address: Address, domain: DomainEntry, entry: Entry | None, source: Source) -> list[Part]:
    """What a recipient's address leads to."""
    text, parts = str(address), []
    if kind := report_kind(address):
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
            parts.append(Part(alias_part_key(entry), text, domain.domain_id, step=step))
        case AliasEntry():
            parts += _led(text, entry, source)
    if is_role(address) and not any(part.is_live for part in parts):
        parts += _read_by(text, source.role_mailbox(domain.domain_id), domain.domain_id, source)
    return parts


def _read_by(text: str, entry: MailboxEntry | None, domain_id: int | None, source: Source) -> list[Part]:
    """The parts of an address, of a domain or the host itself, that a mailbox reads, or nobody. One of other people
    than the domain's, who read a role, is not named to those."""
    if entry is None:
        return [Part(f"kept {text}", text, domain_id, kept=(KeptTarget(text, domain_id),))]
    step = Expansion(text, "postmaster", (), domain_id) if entry.domain_id != domain_id else None
    if entry.forward is None:
        return [
            Part(f"mailbox {entry.mailbox_id}", text, domain_id, {entry.mailbox_id: local_target(entry)}, step=step)
        ]
    led = [Part(f"{text} read by {entry.mailbox_id}", text, domain_id, step=step)] if step else []
    return [*led, *reach(entry.forward, source)]


def _led(text: str, entry: AliasEntry, source: Source) -> list[Part]:
    """The parts behind an alias, the first in the words of the address that led to it."""
    first, *others = reach(entry, source)
    step = replace(first.step, address=text) if first.step else None
    return [replace(first, address=text, step=step), *others]


def _is_own_role(address: Address, source: Source) -> bool:
    """Whether this is postmaster or abuse at the host's own name, which need not be a hosted domain."""
    return is_role(address) and source.is_own_host(address.domain) and source.domain(address.domain) is None
