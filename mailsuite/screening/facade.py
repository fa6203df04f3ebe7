"""Who may bring mail here, beside what the mail says: what smtpd asks about a client, its sender and its recipients.

One `Screening` for each event loop. Nothing here raises but for cancellation; what can't be asked counts as nothing:
DNS lists fail open, greylisting lets pass. Reads run as the directory's do (directory_view.py): on SQLite in the loop,
on PostgreSQL in a thread; the few writes run in a thread of their own.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from django.db import DatabaseError

from mailsuite.database.threads import DatabaseThreads
from mailsuite.directory import lookup
from mailsuite.mail.client_network import Reach, client_ip, network_around
from mailsuite.mail.reply import Reply
from mailsuite.mailauth.dnsbl import ListOutcome, ListStatus, look_up
from mailsuite.mailauth.iprev import IprevOutcome
from mailsuite.resolver.answers import Resolver, Status
from mailsuite.screening import greylist as greylisting
from mailsuite.screening import services
from mailsuite.screening.helo import Us, client_signs
from mailsuite.screening.rules import find_rule
from mailsuite.screening.services import ActiveList
from mailsuite.screening.values import (
    SPARED,
    ClientSigns,
    Deferral,
    SenderFacts,
    Thresholds,
)
from mailsuite.verdict.facts import ListHit, RuleHit

__all__ = ["ClientSigns", "Deferral", "Screening", "SenderFacts", "Thresholds"]

logger = logging.getLogger(__name__)
T = TypeVar("T")

LIST_SECONDS = 2.0
READ_SECONDS = 5.0
# For what nobody waits for.
WRITE_SECONDS = 30.0
# How long a session waits for what is to be remembered of it; then it passes.
REMEMBER_SECONDS = 2.0


class Screening:
    """`own_addresses` are the host's own, for strangers who greet with one of them."""

    def __init__(self, resolver: Resolver, *, hostname: str, own_addresses: Iterable[str] = ()) -> None:
        self._resolver, self._hostname, self._own_addresses = resolver, hostname.lower(), frozenset(own_addresses)
        self._reader = DatabaseThreads("screening", seconds=READ_SECONDS)
        self._writer = DatabaseThreads("greylist", seconds=WRITE_SECONDS)
        self._noting: set[asyncio.Future[None]] = set()

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    async def thresholds(self) -> Thresholds:
        """The site's, or ours when they can't be read."""
        policy = await self._read(services.policy, None)
        return Thresholds(policy.junk_score, policy.reject_score) if policy else Thresholds()

    async def at_connection(self, client_address: str) -> tuple[ListHit, ...]:
        """What the DNS lists in use say of the client, within two seconds. Start it as a task when the client connects
        and await it at end of data."""
        address = client_ip(client_address)
        if address is None or str(address) in SPARED:
            return ()
        nothing: Sequence[ActiveList] = ()
        lists = await self._read(services.active_lists, nothing)
        asked = [one for one in lists if (one.asks_ipv4 if address.version == 4 else one.asks_ipv6)]
        outcomes = await asyncio.gather(*(self._ask(str(address), one) for one in asked))
        return tuple(
            ListHit(one.name, one.weight, f"lists {address} ({', '.join(outcome.codes)})")
            for one, outcome in zip(asked, outcomes, strict=True)
            if outcome.status is ListStatus.LISTED
        )

    async def client_signs(self, client_address: str, helo: str, iprev: IprevOutcome) -> ClientSigns:
        """What HELO and reverse DNS say of the client; asks DNS whether the HELO name exists."""
        no_domains: frozenset[str] = frozenset()
        domains = await self._read(lookup.hosted_names, no_domains)
        us = Us(self._hostname, self._own_addresses, domains)
        helo_exists = "." not in helo or helo.startswith("[") or await self._exists(helo)
        return client_signs(client_address, helo, iprev, helo_exists=helo_exists, us=us)

    async def own_domains(self, client_address: str, names: Collection[str]) -> frozenset[str]:
        """Which of the names are domains hosted here, or the host's own; none for a client that is this host itself."""
        address = client_ip(client_address)
        if address is None or str(address) in SPARED or str(address) in self._own_addresses:
            return frozenset()
        no_domains: frozenset[str] = frozenset()
        hosted = await self._read(lookup.hosted_names, no_domains)
        return frozenset(name for name in names if name in hosted or name == self._hostname)

    async def rule_for(
        self, sender: SenderFacts, *, recipient: str, mailbox_id: int | None = None, domain_id: int | None = None
    ) -> RuleHit | None:
        """The rule that fits, by people who know: the mailbox's before its domain's before the site's. `recipient` is
        the address as it was given, `domain_id` that of the domain itself where it was given by another name."""
        now = datetime.now(UTC)
        return await self._read(
            lambda: find_rule(sender, recipient, mailbox_id=mailbox_id, domain_id=domain_id, now=now), None
        )

    async def greylist(
        self, sender: SenderFacts, recipients: Sequence[str], *, doubts: Collection[str], is_known: bool = False
    ) -> Deferral | None:
        """Whether to put the message off. Nothing without doubts or from somebody known; loopback is spared. `doubts`
        are ClientSigns' and whatever else casts one, such as an SPF softfail."""
        address = client_ip(sender.client_address)
        if not doubts or is_known or not recipients or address is None or str(address) in SPARED:
            return None
        policy = await self._read(services.policy, None)
        if policy is None or not policy.greylists_doubtful:
            return None
        wait = policy.greylist_wait
        passes = await self._passes(greylisting.GREYLISTED, sender, recipients, wait, doubts)
        text = f"its sender is new here, and there are doubts: {', '.join(doubts)}"
        return None if passes else _deferral(greylisting.GREYLISTED, text, wait)

    async def first_time_pause(
        self, sender: SenderFacts, recipient: str, *, mailbox_id: int, is_known: bool
    ) -> Deferral | None:
        """Whether this mailbox, or the site, lets strangers wait. Nothing that is authenticated and known."""
        address = client_ip(sender.client_address)
        is_authentic = sender.is_author_authentic or sender.is_reverse_path_authentic
        if (is_known and is_authentic) or address is None or str(address) in SPARED:
            return None
        wait = await self._read(lambda: services.sender_pause(mailbox_id), timedelta(0))
        if not wait:
            return None
        passes = await self._passes(greylisting.FIRST_TIME, sender, [recipient], wait, ())
        text = "its sender writes to this mailbox for the first time"
        return None if passes else _deferral(greylisting.FIRST_TIME, text, wait)

    async def _passes(
        self, kind: str, sender: SenderFacts, recipients: Sequence[str], wait: timedelta, doubts: Collection[str]
    ) -> bool:
        network = str(network_around(sender.client_address, Reach.NEIGHBOURHOOD) or "")
        who = sender.reverse_path or sender.author
        now = datetime.now(UTC)
        try:
            async with asyncio.timeout(REMEMBER_SECONDS):
                return await self._writer.ask(
                    greylisting.may_pass,
                    kind,
                    network=network,
                    reverse_path=who,
                    recipients=recipients,
                    wait=wait,
                    now=now,
                    doubts=doubts,
                    client_name=sender.client_name,
                    message_id=sender.message_id,
                )
        except (TimeoutError, DatabaseError) as error:
            logger.warning("Greylisting can't remember %s now: it passes: %s", network, error or "no turn in time")
            return True
        except Exception:
            logger.exception("Greylisting can't remember %s: it passes", network)
            return True

    async def _ask(self, address: str, one: ActiveList) -> ListOutcome:
        try:
            async with asyncio.timeout(LIST_SECONDS):
                outcome = await look_up(self._resolver, address, one.zone, vouches=one.vouches)
        except TimeoutError:
            return ListOutcome(ListStatus.TEMPERROR, reason="the list does not answer in time")
        if outcome.status is ListStatus.ERROR:
            logger.warning("The DNS list %s is switched off: %s", one.name, outcome.reason)
            # Nobody waits for it: the message goes on.
            noting = asyncio.ensure_future(self._note(one, outcome))
            self._noting.add(noting)
            noting.add_done_callback(self._noting.discard)
        return outcome

    async def _note(self, one: ActiveList, outcome: ListOutcome) -> None:
        try:
            await self._writer.ask(services.note_outcome, one.list_id, outcome, datetime.now(UTC))
        except Exception:
            logger.exception("That the DNS list %s is out of order can't be kept", one.name)

    async def _exists(self, name: str) -> bool:
        """Whether DNS knows an address of the name, or gives no answer about it."""
        for rdtype in ("A", "AAAA"):
            answer = await self._resolver.query(name, rdtype)
            if answer.rdata or answer.status is Status.TEMPERROR:
                return True
        return False

    async def _read(self, question: Callable[[], T], otherwise: T) -> T:
        try:
            return await self._reader.read(question)
        except TimeoutError:
            logger.warning("Screening has no answer in time: the message is judged without")
            return otherwise
        except Exception:
            logger.exception("Screening can't read what it needs: the message is judged without")
            return otherwise


def _deferral(reason: str, text: str, wait: timedelta) -> Deferral:
    minutes = max(1, round(wait.total_seconds() / 60))
    when = "a minute" if minutes == 1 else f"{minutes} minutes"
    return Deferral(reason, text, Reply(451, "7.1", f"Please try again in {when} ({reason})"))
