"""What becomes of a message that comes in: the facts are gathered here, mailsuite.verdict decides.

    ongoing = evaluator.begin(client, reverse_path)   # at MAIL: what needs DNS alone is asked while the message comes
    evaluation = await ongoing.finish(file, length, recipients, destinations, name)

Whoever is asked for facts may be absent, or fail: then the fact is missing, the log says so under the message's name,
and the rest decides. Nothing here raises but for cancellation.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from mailsuite.authcheck.checker import Checker
from mailsuite.authcheck.content import Content
from mailsuite.authcheck.report import AuthReport
from mailsuite.authcheck.results import results
from mailsuite.directory.resolution import KeptTarget, ReportTarget
from mailsuite.mail.address import Path
from mailsuite.mail.client_network import holder_key
from mailsuite.mail.encoded_word import decode_text
from mailsuite.mail.header import unfold
from mailsuite.mail.message import MESSAGE_ID_CHARACTERS, message_id_of
from mailsuite.mailauth.iprev import IprevOutcome
from mailsuite.pipeline import decisions
from mailsuite.pipeline.advisers import Memory, Screening
from mailsuite.pipeline.destinations import Destinations
from mailsuite.pipeline.evaluation import Evaluation
from mailsuite.pipeline.parties import Client, Recipient
from mailsuite.scanning.scanner import Scanner, ScanRequest
from mailsuite.screening.facade import ClientSigns, Deferral, SenderFacts, Thresholds
from mailsuite.turns import Turns
from mailsuite.verdict.conclude import Forward, conclude
from mailsuite.verdict.facts import MailboxFacts, MessageFacts, RuleHit, ScanFact
from mailsuite.verdict.judge import judge, unproved_own_domain
from mailsuite.verdict.verdict import Action, Judgement, MailboxVerdict, Verdict
from mailsuite.writer.spool import SpoolFile

logger = logging.getLogger(__name__)

T = TypeVar("T")
DOUBTFUL_SPF = ("fail", "softfail", "permerror")


@dataclass(frozen=True, slots=True)
class Evaluator:
    """What all evaluations of a process share. `authserv_ids` begins with our own; fields that claim any of them are
    cut out (RFC 8601 §5). `list_domains` are those of mailing lists that the site knows."""

    checker: Checker
    authserv_ids: tuple[str, ...]
    list_domains: frozenset[str] = frozenset()
    screening: Screening | None = None
    memory: Memory | None = None
    scanner: Scanner | None = None
    turns: Turns = field(default_factory=Turns)

    def begin(self, client: Client, reverse_path: Path) -> "OngoingEvaluation":
        """Start what needs no more than the client and the sender."""
        return OngoingEvaluation(self, client, str(reverse_path))


@dataclass(slots=True)
class _Gathered:
    """The facts, and whom they are about. `known` are the mailboxes that want this sender."""

    message: MessageFacts
    sender: SenderFacts
    doubts: tuple[str, ...] = ()
    copies: list[MailboxVerdict] = field(default_factory=list)
    forwards: list[Forward] = field(default_factory=list)
    known: set[int] = field(default_factory=set)


class OngoingEvaluation:
    """One message. Ends by `finish` or `cancel`."""

    def __init__(self, evaluator: Evaluator, client: Client, mail_from: str) -> None:
        self._evaluator, self._client, self._name = evaluator, client, ""
        self._inquiry = evaluator.checker.begin(client.address, client.hello, mail_from)
        screening = evaluator.screening
        self._lists = asyncio.create_task(screening.at_connection(client.address)) if screening else None

    def cancel(self) -> None:
        """The message does not come."""
        self._inquiry.cancel()
        if self._lists:
            self._lists.cancel()

    async def finish(
        self, file: SpoolFile, recipients: Sequence[Recipient], destinations: Destinations, name: str
    ) -> Evaluation:
        """The verdict on the message in the file; `name` is what the log calls it."""
        self._name = name
        header = file.header
        body = partial(file.chunks, header.size_octets)
        content = Content(header, body, file.size_octets - header.size_octets, file.is_small)
        await self._take_turn()
        report = await self._inquiry.finish(content)
        await self._take_turn()
        found = await self._gather(report, content, recipients, destinations)
        judgement = conclude(found.copies, found.forwards)
        if deferral := await self._put_off(found, judgement):
            verdict = Verdict(Action.DEFER, deferral.reason, deferral.text, reply=deferral.reply)
            judgement = Judgement(verdict, tuple(replace(copy, verdict=verdict) for copy in found.copies))
        refusal = decisions.by_verdict(judgement.whole)
        return Evaluation(
            report, judgement, self._evaluator.authserv_ids[0], tuple(results(report)), refusal, found.message.scan
        )

    async def _gather(
        self, report: AuthReport, content: Content, recipients: Sequence[Recipient], destinations: Destinations
    ) -> _Gathered:
        signs = await self._signs(report)
        found = _Gathered(await self._message_facts(report, content, signs, recipients), _sender(report, content))
        found.doubts = signs.doubts
        if report.spf.result in DOUBTFUL_SPF and not report.is_author_authentic:
            found.doubts += (f"SPF {report.spf.result}",)
        facts = await self._mailbox_facts(report, content, destinations, found.sender)
        for mailbox_id, copy in destinations.copies.items():
            own, target = facts[mailbox_id], copy.target
            if own.standing and own.standing.label == "wanted":
                found.known.add(mailbox_id)
            verdict = judge(found.message, own)
            found.copies.append(MailboxVerdict(target.address, verdict, mailbox_id, target.domain_id))
        await self._judge_the_rest(destinations, found)
        return found

    async def _judge_the_rest(self, destinations: Destinations, found: _Gathered) -> None:
        """What goes to other hosts, to the report reader, or is kept: by the rules of whose address it is."""
        for part in destinations.forwards.values():
            verdict = await self._verdict(found, part.address, part.domain_id)
            found.forwards.append(Forward(part.address, verdict))
        others: list[ReportTarget | KeptTarget] = [*destinations.reports.values(), *destinations.kept]
        for one in others:
            verdict = await self._verdict(found, one.address, one.domain_id)
            found.copies.append(MailboxVerdict(one.address, verdict, None, one.domain_id))

    async def _verdict(self, found: _Gathered, address: str, domain_id: int | None) -> Verdict:
        return judge(found.message, MailboxFacts(await self._rule(found.sender, address, None, domain_id)))

    async def _message_facts(
        self, report: AuthReport, content: Content, signs: ClientSigns, recipients: Sequence[Recipient]
    ) -> MessageFacts:
        screening, scanner = self._evaluator.screening, self._evaluator.scanner
        limits, hits = Thresholds(), signs.hits
        if screening and self._lists:
            limits = await self._ask("thresholds", screening.thresholds(), limits)
            hits = (*await self._ask("DNS lists", self._lists, ()), *hits)
        own_domains = await self._own_domains(report)
        scan = await self._ask("scanner", self._scan(scanner, report, content, recipients), None) if scanner else None
        return MessageFacts(
            report,
            signs.refusal,
            is_list_known=_is_from(self._evaluator.list_domains, report, content),
            own_domains=own_domains,
            is_own_post=await self._is_own_post(report, content, own_domains),
            lists=hits,
            junk_weight=limits.junk,
            refused_weight=limits.reject,
            scan=scan,
        )

    async def _take_turn(self) -> None:
        """Each step that computes: networks take turns at them, or a burst of one would hold up all others' mail."""
        await self._evaluator.turns.take(holder_key(self._client.address))

    async def _own_domains(self, report: AuthReport) -> frozenset[str]:
        """Which of the domains that the message says it is from are ours."""
        screening = self._evaluator.screening
        names = {*report.author_domains, report.mail_from.rpartition("@")[2].lower()} - {""}
        if screening is None or not names:
            return frozenset()
        return await self._ask("hosted domains", screening.own_domains(self._client.address, names), frozenset())

    async def _is_own_post(self, report: AuthReport, content: Content, own_domains: frozenset[str]) -> bool:
        """Whether one of our users sent it and a mailing list that it was sent to, authenticated as itself, sends it
        on."""
        memory, domain = self._evaluator.memory, unproved_own_domain(report, own_domains)
        lists = {report.spf_domain, *report.dkim_domains} - {""}
        if not domain or memory is None or b"list-id" not in content.header or not lists:
            return False
        message_id = message_id_of(content.header)
        return await self._ask("sent mail", memory.was_sent_here(message_id, domain, lists), False)

    async def _scan(
        self, scanner: Scanner, report: AuthReport, content: Content, recipients: Sequence[Recipient]
    ) -> ScanFact:
        tls = self._client.tls
        request = ScanRequest(
            chunks=lambda: itertools.chain((content.header.block,), content.body()),
            size_octets=content.header.size_octets + content.body_octets,
            is_in_memory=content.is_in_memory,
            queue_id=self._name,
            client_address=self._client.address,
            client_name=report.iprev.confirmed,
            helo=report.helo,
            reverse_path=report.mail_from,
            recipients=tuple(str(recipient.path.address or "") for recipient in recipients),
            tls_version=tls.version if tls else "",
            tls_cipher=tls.cipher if tls else "",
        )
        result = await scanner.scan(request)
        return ScanFact(result.action.value, result.score, result.reason, result.symbols)

    async def _mailbox_facts(
        self, report: AuthReport, content: Content, destinations: Destinations, sender: SenderFacts
    ) -> dict[int, MailboxFacts]:
        targets = {one: copy.target for one, copy in destinations.copies.items()}
        # Rules about recipients mean the address as it was given, which may be an alias.
        given = {one: copy.given for one, copy in destinations.copies.items()}
        memory, ids = self._evaluator.memory, list(targets)
        if memory is None or not ids:
            return {
                one: MailboxFacts(await self._rule(sender, given[one], one, target.domain_id))
                for one, target in targets.items()
            }
        standings = await self._ask("reputation", memory.standings(ids, report, content), {})
        await self._take_turn()
        opinions = await self._ask("filter", memory.opinions(ids, report, content), {})
        return {
            one: MailboxFacts(
                await self._rule(sender, given[one], one, target.domain_id), standings.get(one), opinions.get(one)
            )
            for one, target in targets.items()
        }

    async def _signs(self, report: AuthReport) -> ClientSigns:
        screening = self._evaluator.screening
        if screening is None:
            return ClientSigns()
        iprev = IprevOutcome(report.iprev.result, report.iprev.names, report.iprev.confirmed, report.iprev.reason)
        return await self._ask(
            "HELO policy", screening.client_signs(self._client.address, report.helo, iprev), ClientSigns()
        )

    async def _rule(
        self, sender: SenderFacts, recipient: str, mailbox_id: int | None, domain_id: int | None
    ) -> RuleHit | None:
        screening = self._evaluator.screening
        if screening is None:
            return None
        asked = screening.rule_for(sender, recipient=recipient, mailbox_id=mailbox_id, domain_id=domain_id)
        return await self._ask("rules", asked, None)

    async def _put_off(self, found: _Gathered, judgement: Judgement) -> Deferral | None:
        """Whether the client is to come back: strangers who are doubtful, where nobody wants them."""
        screening = self._evaluator.screening
        if screening is None or judgement.whole.reply is not None:
            return None
        waiting = [one for one in found.copies if one.mailbox_id and one.verdict.reason == "ordinary"]
        if found.doubts and not found.known and waiting:
            addresses = [one.address for one in waiting]
            asked = screening.greylist(found.sender, addresses, doubts=found.doubts)
            if deferral := await self._ask("greylisting", asked, None):
                return deferral
        # All of them are asked, so that their pauses pass side by side.
        pauses = [await self._pause(found, one) for one in waiting]
        return next(filter(None, pauses), None)

    async def _pause(self, found: _Gathered, one: MailboxVerdict) -> Deferral | None:
        assert self._evaluator.screening is not None and one.mailbox_id is not None
        asked = self._evaluator.screening.first_time_pause(
            found.sender, one.address, mailbox_id=one.mailbox_id, is_known=one.mailbox_id in found.known
        )
        return await self._ask("first-time pause", asked, None)

    async def _ask(self, what: str, asked: Awaitable[T], default: T) -> T:
        """What is answered, or the default when that fails."""
        try:
            return await asked
        except Exception:
            logger.exception("%s: %s failed, going on without", self._name, what)
            return default


def _sender(report: AuthReport, content: Content) -> SenderFacts:
    message_ids = content.header.get(b"message-id")
    return SenderFacts(
        report.client_address,
        report.mail_from,
        report.from_addresses,
        is_reverse_path_authentic=report.spf.result == "pass",
        is_author_authentic=report.is_author_authentic,
        client_name=report.iprev.confirmed,
        message_id=decode_text(unfold(message_ids[0]), MESSAGE_ID_CHARACTERS) if message_ids else "",
    )


def _is_from(list_domains: frozenset[str], report: AuthReport, content: Content) -> bool:
    """Whether a mailing list sent it on that is one of these, by what authenticates and not by what it says alone."""
    authentic = {report.spf_domain, *report.dkim_domains}
    return not list_domains.isdisjoint(authentic) and b"list-id" in content.header
