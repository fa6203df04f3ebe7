"""The values of resolving an address: what the directory says of domains, mailboxes and aliases, and who gets the mail.

The rule that makes the one of the other is in resolving.py.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol, TypeVar

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

    def domain(self, name: str) -> DomainEntry | None:
        """The hosted domain of that name, an A-label; None for one that is not ours."""

    def entries(self, keys: Sequence[str]) -> dict[str, Entry]:
        """The mailboxes and aliases under those of the address keys that somebody has."""

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


def effective_detail(target: LocalTarget, part: Part, resolution: Resolution) -> str | None:
    """The detail that stands nearest to the mailbox: an alias' own target may have one."""
    for detail in (target.detail, part.detail, resolution.detail):
        if detail is not None:
            return detail
    return None
