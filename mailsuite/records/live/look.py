"""The findings of DNS, with what the records lead to. Only what DNS says is there is asked for, all of it at once, and
only records that mail does without get another verdict by it."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from mailsuite.mailauth import mtasts
from mailsuite.records.live.client_files import ELEMENTS, meet_file
from mailsuite.records.live.policy import meet_policy
from mailsuite.records.live.reach import Met, Reach, unknown
from mailsuite.records.live.services import meet_key, meet_service
from mailsuite.records.planning import SERVICES, Setup
from mailsuite.records.seen import Finding, Side, Verdict

logger = logging.getLogger(__name__)

SECONDS = 10.0
THERE = (Verdict.OK, Verdict.WARN)
LISTENERS = {service: listener for service, _, listener in SERVICES}

Question = Coroutine[Any, Any, Met]


async def look_live(setup: Setup, findings: Sequence[Finding], reach: Reach) -> list[Finding]:
    """The findings; takes SECONDS at most."""
    tasks = {}
    for index, finding in enumerate(findings):
        if finding.verdict in THERE and (question := _question(setup, finding, findings, reach)):
            tasks[index] = asyncio.create_task(question)
    if tasks:
        await asyncio.wait(tasks.values(), timeout=SECONDS)
    return [_with(one, tasks[index]) if index in tasks else one for index, one in enumerate(findings)]


def _question(setup: Setup, finding: Finding, findings: Sequence[Finding], reach: Reach) -> Question | None:
    """What is to be asked about a record that is there; None where nothing is."""
    record = finding.record
    label, _, rest = record.name.partition(f".{setup.domain}")
    match record.type:
        case "SRV" if label in LISTENERS and not record.value.endswith(" ."):
            return meet_service(reach, setup.host, LISTENERS[label])
        case "CNAME" if record.name == mtasts.policy_host(setup.domain) and setup.policy:
            return meet_policy(reach, setup.domain, setup.policy, _mail_hosts(setup, findings))
        case "CNAME" if label in ELEMENTS and not rest:
            return meet_file(reach, label, setup.domain, setup.host)
        case "TLSA" if record.value == setup.tlsa[0].value:
            return meet_key(reach, setup.host, _digests(finding))
    return None


def _with(finding: Finding, task: asyncio.Task[Met]) -> Finding:
    met = _result(task)
    judgement = met.judgement
    if judgement.verdict is Verdict.UNKNOWN:
        return replace(finding, live=Side("temperror", (met.text,)))
    live = Side("ok", (met.text,), 0, judgement.verdict)
    if judgement.verdict is Verdict.OK or (judgement.verdict is Verdict.WARN and finding.verdict is Verdict.WARN):
        return replace(finding, live=live)
    return replace(finding, live=live, verdict=judgement.verdict, sentence=judgement.sentence)


def _result(task: asyncio.Task[Met]) -> Met:
    if not task.done():
        task.cancel()
        return unknown("no answer in time")
    if error := task.exception():
        logger.error("Looking at what a record leads to failed", exc_info=error)
        return unknown("the look failed; the log says why")
    return task.result()


def _mail_hosts(setup: Setup, findings: Sequence[Finding]) -> list[str]:
    """Where the MX records lead that are there."""
    mx = next((one for one in findings if one.record.type == "MX" and one.record.name == setup.domain), None)
    values = (mx.own.values or mx.public.values) if mx else ()
    return [value.split()[-1].rstrip(".").lower() for value in values if not value.endswith(" .")]


def _digests(finding: Finding) -> frozenset[str]:
    values = (*finding.own.values, *finding.public.values)
    return frozenset(value.split()[-1].lower() for value in values if value.startswith("3 1 1 "))
