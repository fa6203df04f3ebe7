"""Where one message goes: each mailbox, alias and address elsewhere once, however many of its recipients lead there.

All work on a message is done over these, so that it grows with what is distinct and not with recipients times members.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from mailsuite.directory.resolution import (
    MAX_TARGETS,
    Expansion,
    KeptTarget,
    Kind,
    LocalTarget,
    Part,
    ReportTarget,
    Resolution,
    effective_detail,
)
from mailsuite.mail.address import Address, Path, parse_path
from mailsuite.trace.operations import EventFacts

# Mailboxes and addresses elsewhere of one message: the largest alias, and as many more as a transaction has recipients.
# One recipient alone never has more than MAX_TARGETS, so the first one always fits.
MAX_MESSAGE_TARGETS = 2 * MAX_TARGETS
# An alias' targets, and its dead ends, that a story names; of the rest it has the number.
NAMED = 10


@dataclass(slots=True)
class Copy:
    """One mailbox's copy. `given` is the first recipient that led to it."""

    target: LocalTarget
    given: str


@dataclass(slots=True)
class _Step:
    """An alias on the way, and how many recipients came by it first."""

    expansion: Expansion
    recipients: int = 0


@dataclass(slots=True)
class Destinations:
    """What the recipients of a transaction lead to so far. `forwards` are the parts with addresses elsewhere, by key:
    mail goes on to those from the part's address, in its domain's name. `relayed` are addresses of other hosts that
    were named as recipients themselves, by their keys."""

    copies: dict[int, Copy] = field(default_factory=dict)
    forwards: dict[str, Part] = field(default_factory=dict)
    relayed: dict[str, str] = field(default_factory=dict)
    reports: dict[tuple[str, int], ReportTarget] = field(default_factory=dict)
    kept: dict[KeptTarget, None] = field(default_factory=dict)
    _remote: set[str] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)
    _steps: dict[str, _Step] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, resolution: Resolution) -> "Destinations":
        """Where the message of one recipient goes."""
        found = cls()
        found.add(path, resolution)
        return found

    @classmethod
    def of_mailbox(cls, target: LocalTarget) -> "Destinations":
        """Where a message to one mailbox goes: there, whatever its address leads to."""
        return cls(copies={target.mailbox_id: Copy(target, target.address)})

    @property
    def is_empty(self) -> bool:
        """Whether nobody gets the message."""
        return not (self.copies or self.forwards or self.relayed or self.reports or self.kept)

    @property
    def addresses_elsewhere(self) -> dict[str, str]:
        """The addresses of other hosts by their keys, whatever leads to them."""
        return self.relayed | {key: text for part in self.forwards.values() for key, text in part.remote.items()}

    def without(self, mailbox_ids: Collection[int], keys: Collection[str]) -> "Destinations":
        """The same but for these mailboxes, and addresses of other hosts by their keys."""
        forwards = {
            name: replace(part, remote={key: text for key, text in part.remote.items() if key not in keys})
            for name, part in self.forwards.items()
        }
        return replace(
            self,
            copies={mailbox_id: copy for mailbox_id, copy in self.copies.items() if mailbox_id not in mailbox_ids},
            forwards={name: part for name, part in forwards.items() if part.remote},
            relayed={key: text for key, text in self.relayed.items() if key not in keys},
        )

    @property
    def total(self) -> int:
        """How many get the message."""
        return len(self.copies) + len(self._remote) + len(self.relayed) + len(self.reports) + len(self.kept)

    def add(self, path: Path, resolution: Resolution) -> bool:
        """Take what one more recipient leads to; False when that were too much, and nothing was taken."""
        if resolution.kind is Kind.UNHOSTED:
            assert path.address is not None
            if self.total >= MAX_MESSAGE_TARGETS and path.address.key not in self.relayed:
                return False
            self.relayed.setdefault(path.address.key, str(path))
            return True
        fresh = [part for part in resolution.parts if part.key not in self._seen]
        if self.total + sum(_size(part) for part in fresh) > MAX_MESSAGE_TARGETS and not self._has_room(fresh):
            return False
        for part in fresh:
            self._take(part, str(path), resolution)
        for part in resolution.parts[:1]:
            if part.key in self._steps:
                self._steps[part.key].recipients += 1
        return True

    def whole(self) -> Part:
        """All of it as one part."""
        local = {mailbox_id: copy.target for mailbox_id, copy in self.copies.items()}
        return Part("whole", "", None, local, self.addresses_elsewhere, self.reports, tuple(self.kept))

    def events(self) -> list[EventFacts]:
        """What a story tells of the way: one event for each alias, for those of its own domain."""
        return [_event(step) for step in self._steps.values()]

    def _has_room(self, parts: Iterable[Part]) -> bool:
        """The same as the sum says, but for what is there already or is in several of the parts."""
        mailboxes = set[int]().union(*(part.local for part in parts)) - self.copies.keys()
        remote = set[str]().union(*(part.remote for part in parts)) - self._remote
        others = sum(len(part.reports) + len(part.kept) for part in parts)
        return self.total + len(mailboxes) + len(remote) + others <= MAX_MESSAGE_TARGETS

    def _take(self, part: Part, given: str, resolution: Resolution) -> None:
        self._seen.add(part.key)
        for mailbox_id, target in part.local.items():
            if mailbox_id not in self.copies:
                detail = effective_detail(target, part, resolution)
                self.copies[mailbox_id] = Copy(replace(target, detail=detail), given)
        if part.remote:
            self.forwards[part.key] = part
            self._remote.update(part.remote)
        self.reports.update((key, target) for key, target in part.reports.items() if key not in self.reports)
        self.kept.update(dict.fromkeys(part.kept))
        if part.step:
            self._steps[part.key] = _Step(part.step)


def address_of(part: Part) -> Address:
    """The address that a part's mail goes on from."""
    address = parse_path(f"<{part.address}>").address
    assert address is not None
    return address


def _size(part: Part) -> int:
    return len(part.local) + len(part.remote) + len(part.reports) + len(part.kept)


def _event(step: _Step) -> EventFacts:
    expansion = step.expansion
    text = f"to {_named(expansion.targets)}" if expansion.targets else "to nobody"
    if expansion.by == "postmaster" and not expansion.targets:
        text = "to an administrator's mailbox"
    if expansion.dead:
        text += "; in vain " + _named([f"{end.address} ({end.reason})" for end in expansion.dead])
    if step.recipients > 1:
        text += f"; for {step.recipients} recipients"
    return EventFacts("expanded", expansion.address, expansion.by, text, expansion.domain_id)


def _named(addresses: Iterable[str]) -> str:
    every = list(addresses)
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return ", ".join(every[:NAMED]) + more
