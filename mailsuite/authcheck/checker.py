"""All checks of one message, at once and under one deadline (RFC 8601 §2.7 lists them).

    inquiry = checker.begin(client_address, helo, mail_from)     # at MAIL: reverse DNS and SPF need no more
    report = await inquiry.finish(content)                       # at the end of data: the rest

What is not finished in time is temperror, and so is what a bug broke: a report always comes, and SMTP never sees an
exception. DMARC comes last, since it is made of the others; what it will ask is asked while they run.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mailsuite.authcheck.content import Content
from mailsuite.authcheck.questions import Questions
from mailsuite.authcheck.report import ArcCheck, AuthReport, IprevCheck, SpfCheck
from mailsuite.authcheck.signatures import SignatureChecker, SignaturesFound
from mailsuite.mailauth import dmarc, iprev, spf
from mailsuite.mailauth.dmarc import Author, DmarcOutcome, Identifier
from mailsuite.resolver.answers import Mx, Resolver

logger = logging.getLogger(__name__)

DEADLINE_SECONDS = 30.0
UNFINISHED = "the check did not come to an end"


class Checker:
    """The checks of one process, on one resolver. `host` is our name, which SPF's macros may ask for."""

    def __init__(
        self,
        resolver: Resolver,
        signatures: SignatureChecker,
        *,
        host: str = "",
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self.resolver, self.signatures, self.host = resolver, signatures, host
        self.deadline_seconds = deadline_seconds

    def begin(self, client_address: str, helo: str, mail_from: str) -> "Inquiry":
        """Start what can be known before the message is. `mail_from` is "" for the null reverse-path."""
        return Inquiry(self, client_address, helo, mail_from)


class Inquiry:
    """The checks of one message. Ends by `finish` or `cancel`."""

    def __init__(self, checker: Checker, client_address: str, helo: str, mail_from: str) -> None:
        self._checker = checker
        self._client_address, self._helo, self._mail_from = client_address, helo, mail_from
        self._questions = Questions(checker.resolver)
        self._milliseconds: dict[str, float] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._start("iprev", iprev.check(self._questions, client_address))
        self._start("spf-helo", self._spf(helo, ""))
        if mail_from:
            domain = mail_from.rpartition("@")[2]
            self._start("spf", self._spf(domain, mail_from))
            self._start("sender-mx", self._takes_no_mail(domain))

    def cancel(self) -> None:
        """The message does not come."""
        for task in self._tasks.values():
            task.cancel()
        self._questions.cancel()

    async def finish(self, content: Content) -> AuthReport:
        """The report; never raises, whatever the message holds."""
        ends = time.monotonic() + self._checker.deadline_seconds
        try:
            fields = content.header
            # Where From names nobody some readers show Sender.
            is_bounce = not self._mail_from and b"sender" not in fields
            author = dmarc.author(fields.get(b"from", []), is_bounce=is_bounce)
            names = (name for domain in author.domains if domain[0] != "[" for name in dmarc.walk_names(domain))
            self._questions.foresee((f"_dmarc.{name}", "TXT") for name in names)
            self._start("signatures", self._signatures(content, author))
            await self._until(ends)
            return await self._conclude(author, ends)
        finally:
            self.cancel()
            # A thread that hashes ends in its own time; until then it reads the file, which must not go away.
            if pending := self._pending():
                await asyncio.gather(*pending, return_exceptions=True)

    async def _conclude(self, author: Author, ends: float) -> AuthReport:
        found, outcome = self._found(), DmarcOutcome("temperror", author.domain, reason=UNFINISHED)
        identifiers = _identifiers(found)
        if self._result("signatures") is None:
            # Nobody knows: the author might have signed.
            identifiers += [Identifier("dkim", domain, "temperror") for domain in author.domains]
        outcome = await self._dmarc(author, identifiers, ends) or outcome
        aligned = set(outcome.aligned_dkim)
        return replace(
            found,
            from_address=author.address,
            from_addresses=author.addresses,
            from_is_crowded=author.is_crowded,
            from_problem=author.problem,
            dmarc=outcome,
            dkim=tuple(
                replace(check, is_aligned=check.result == "pass" and check.domain in aligned) for check in found.dkim
            ),
            dns=self._questions.asked,
            milliseconds=self._milliseconds,
            unfinished=tuple(name for name in self._tasks if self._result(name) is None),
        )

    async def _dmarc(self, author: Author, identifiers: Sequence[Identifier], ends: float) -> DmarcOutcome | None:
        """The outcome; where the message names several authors, the strictest of theirs that is known in time."""
        if not author.problem:
            self._start("dmarc", dmarc.evaluate(self._questions, author=author, identifiers=identifiers))
        others = [domain for domain in author.domains if domain != author.domain]
        for domain in others:
            one = Author(domain=domain)
            self._start(f"dmarc of {domain}", dmarc.evaluate(self._questions, author=one, identifiers=identifiers))
        await self._until(ends)
        known: list[DmarcOutcome] = list(filter(None, (self._result(f"dmarc of {domain}") for domain in others)))
        if author.problem:
            return dmarc.strictest(known, DmarcOutcome("permerror", reason=author.problem))
        outcome: DmarcOutcome | None = self._result("dmarc")
        return outcome and dmarc.strictest(known, outcome)

    def _found(self) -> AuthReport:
        """The report, less DMARC."""
        signatures = self._result("signatures") or SignaturesFound(arc=ArcCheck("temperror", UNFINISHED))
        helo = _spf_check("helo", self._result("spf-helo"), self._helo)
        mail_from = self._result("spf")
        address = self._result("iprev")
        return AuthReport(
            client_address=self._client_address,
            helo=self._helo,
            mail_from=self._mail_from,
            from_address="",
            checked_at=datetime.now(UTC),
            iprev=IprevCheck(address.result, address.reason, address.confirmed, address.names)
            if address
            else IprevCheck("temperror", UNFINISHED),
            # The null reverse-path stands for postmaster at HELO's name (RFC 7208 §2.4).
            spf=_spf_check("mailfrom", mail_from, self._mail_from.rpartition("@")[2])
            if self._mail_from
            else replace(helo, identity="mailfrom"),
            spf_helo=helo,
            dmarc=DmarcOutcome("none"),
            arc=signatures.arc,
            dkim=signatures.dkim,
            sender_takes_no_mail=bool(self._result("sender-mx")),
        )

    def _start(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        self._tasks[name] = asyncio.create_task(self._timed(name, work))

    async def _timed(self, name: str, work: Coroutine[Any, Any, Any]) -> Any:
        """What the work finds, or None when it breaks."""
        began = time.perf_counter()
        try:
            return await work
        except Exception:
            logger.exception("%s of a message from %s failed", name, self._client_address)
            return None
        finally:
            self._milliseconds[name] = round((time.perf_counter() - began) * 1000, 2)

    async def _until(self, ends: float) -> None:
        """Wait for all that runs, until then."""
        if pending := self._pending():
            await asyncio.wait(pending, timeout=max(0.0, ends - time.monotonic()))

    def _pending(self) -> list[asyncio.Task[Any]]:
        return [task for task in self._tasks.values() if not task.done()]

    def _result(self, name: str) -> Any:
        task = self._tasks.get(name)
        return task.result() if task and task.done() and not task.cancelled() else None

    async def _signatures(self, content: Content, author: Author) -> SignaturesFound:
        domain = author.domains[0] if author.domains else ""
        return await self._checker.signatures.check(content, domain, self._questions, time.time())

    async def _takes_no_mail(self, domain: str) -> bool:
        """Whether the domain has a null MX (RFC 7505 §3)."""
        answer = await self._questions.query(domain, "MX")
        return [record.exchange for record in answer.rdata if isinstance(record, Mx)] == [""]

    async def _spf(self, domain: str, sender: str) -> Any:
        return await spf.check_host(
            self._questions,
            ip=self._client_address,
            domain=domain,
            sender=sender,
            helo=self._helo,
            receiver=self._checker.host,
        )


def _spf_check(identity: str, outcome: spf.SpfOutcome | None, domain: str) -> SpfCheck:
    if outcome is None:
        return SpfCheck(identity, domain, "temperror", UNFINISHED)
    return SpfCheck(identity, outcome.domain, outcome.result, outcome.reason, outcome.mechanism, outcome.explanation)


def _identifiers(found: AuthReport) -> list[Identifier]:
    """Whom SPF and DKIM speak for, each once (RFC 9989 §4.4)."""
    spoken = [Identifier("spf", found.spf.domain, found.spf.result)]
    spoken += [Identifier("dkim", check.domain, check.result) for check in found.dkim]
    return list(dict.fromkeys(spoken))
