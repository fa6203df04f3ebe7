"""Whom the evaluation of a message asks beside DNS, as protocols: the site's rules, and what its mailboxes remember."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from mailsuite.authcheck.content import Content
from mailsuite.authcheck.report import AuthReport
from mailsuite.mailauth.iprev import IprevOutcome
from mailsuite.screening.facade import ClientSigns, Deferral, SenderFacts, Thresholds
from mailsuite.verdict.facts import ListHit, OpinionFact, RuleHit, StandingFact


class Screening(Protocol):
    """mailsuite.screening.facade.Screening: who may bring mail here, beside what the mail says."""

    async def thresholds(self) -> Thresholds: ...

    async def at_connection(self, client_address: str) -> tuple[ListHit, ...]: ...

    async def client_signs(self, client_address: str, helo: str, iprev: IprevOutcome) -> ClientSigns: ...

    async def own_domains(self, client_address: str, names: Collection[str]) -> frozenset[str]: ...

    async def rule_for(
        self, sender: SenderFacts, *, recipient: str, mailbox_id: int | None = None, domain_id: int | None = None
    ) -> RuleHit | None: ...

    async def greylist(
        self, sender: SenderFacts, recipients: Sequence[str], *, doubts: Collection[str], is_known: bool = False
    ) -> Deferral | None: ...

    async def first_time_pause(
        self, sender: SenderFacts, recipient: str, *, mailbox_id: int, is_known: bool
    ) -> Deferral | None: ...


class Memory(Protocol):
    """What the mailboxes' history and their filters say of a message."""

    async def standings(
        self, mailbox_ids: Sequence[int], report: AuthReport, content: Content
    ) -> Mapping[int, StandingFact]: ...

    async def was_sent_here(self, message_id: str, domain: str, to: Collection[str]) -> bool: ...

    async def opinions(
        self, mailbox_ids: Sequence[int], report: AuthReport, content: Content
    ) -> Mapping[int, OpinionFact]: ...
