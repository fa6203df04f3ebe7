"""Who may bring mail here, beside what the mail says: what smtpd asks about a client, its sender and its recipients.

One `Screening` for each event loop. Nothing here raises but for cancellation; what can't be asked counts as nothing
(DNS lists fail open, greylisting lets pass). Short look-ups read as the directory's do; writes go to a thread.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mailsuite.mail.reply import Reply
from mailsuite.mailauth.iprev import IprevOutcome
from mailsuite.resolver.answers import Resolver
from mailsuite.verdict.facts import ListHit, RuleHit


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which sum of weights on a message is junk, and refused."""

    junk: float = 1.0
    reject: float = 2.0


@dataclass(frozen=True, slots=True)
class ClientSigns:
    """What HELO and reverse DNS say: `hits` are small weights beside the lists' (together they never make junk alone),
    `doubts` the same as words for greylisting, `refusal` the one thing that is refused by itself: a stranger who calls
    itself by our name."""

    hits: tuple[ListHit, ...] = ()
    doubts: tuple[str, ...] = ()
    refusal: Reply | None = None


@dataclass(frozen=True, slots=True)
class SenderFacts:
    """Who sends. `reverse_path` is MAIL FROM's address, "" for the null one; `author` the From address, "" when there
    is not exactly one; the two flags say whether SPF or DMARC stand behind them: rules that allow ask for that."""

    client_address: str
    reverse_path: str = ""
    author: str = ""
    is_reverse_path_authentic: bool = False
    is_author_authentic: bool = False


@dataclass(frozen=True, slots=True)
class Deferral:
    """`reason` is greylisted or first-time-sender."""

    reason: str
    text: str
    reply: Reply


class Screening:
    """`own_addresses` are the host's own, for those who greet with one of them."""

    def __init__(self, resolver: Resolver, *, hostname: str, own_addresses: Collection[str] = ()) -> None:
        self._resolver, self._hostname, self._own_addresses = resolver, hostname.lower(), frozenset(own_addresses)

    async def thresholds(self) -> Thresholds:
        return Thresholds()

    async def at_connection(self, client_address: str) -> tuple[ListHit, ...]:
        """What the DNS lists that are switched on say of the client, within two seconds. Start it as a task when the
        client connects and await it at end of data."""
        return ()

    async def client_signs(self, client_address: str, helo: str, iprev: IprevOutcome) -> ClientSigns:
        """What HELO and reverse DNS say of the client; asks DNS whether the HELO name exists."""
        return ClientSigns()

    async def rule_for(
        self, sender: SenderFacts, *, recipient: str, mailbox_id: int | None = None, domain_id: int | None = None
    ) -> RuleHit | None:
        """The rule that fits, by people who know: the mailbox's before its domain's before the site's."""
        return None

    async def greylist(
        self, sender: SenderFacts, recipients: Sequence[str], *, doubts: Collection[str], is_known: bool = False
    ) -> Deferral | None:
        """Whether to put the message off. Nothing without doubts or from somebody known; loopback is spared. `doubts`
        are ClientSigns' and whatever else casts one, such as an SPF softfail."""
        return None

    async def first_time_pause(
        self, sender: SenderFacts, recipient: str, *, mailbox_id: int, is_known: bool
    ) -> Deferral | None:
        """Whether this mailbox, or the site, lets strangers wait. Nothing that is authenticated and known."""
        return None
