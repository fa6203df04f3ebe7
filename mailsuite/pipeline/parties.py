"""Who brings a message, in whose name, and who is to get it."""

from dataclasses import dataclass
from typing import Any

from mailsuite.mail.address import Path
from mailsuite.mail.envelope import EnvelopeRecipient
from mailsuite.mail.trace_fields import TlsInfo


@dataclass(frozen=True, slots=True)
class Submitter:
    """Who has logged in. `mailbox_id` and `domain_id` are None where the name used is no mailbox's; `login` is the
    directory's own note of it."""

    user_id: int
    name: str
    mailbox_id: int | None = None
    domain_id: int | None = None
    login: Any = None


@dataclass(frozen=True, slots=True)
class Program:
    """A part of this host that writes mail itself, in the name of one of its domains: `domain_id` is None where that
    is not hosted (the host's own name)."""

    domain: str
    domain_id: int | None = None


Principal = Submitter | Program


@dataclass(slots=True)
class Client:
    """Who is at the other end. `submitter` is set by a login; `messages` counts those that came by one connection."""

    address: str
    listener: str
    hello: str = ""
    extended: bool = False
    tls: TlsInfo | None = None
    submitter: Submitter | None = None
    messages: int = 0


@dataclass(frozen=True, slots=True)
class Recipient:
    """One that was accepted, with its path as it was parsed, and the hosted domain that was addressed."""

    recipient: EnvelopeRecipient
    path: Path
    domain_id: int | None = None
