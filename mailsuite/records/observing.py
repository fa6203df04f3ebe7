"""What was seen in DNS, kept: every change as a history, the latest look whole, and whether it got worse."""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from mailsuite.records.models import DnsCheck, Observation
from mailsuite.records.reporting import Report, encode, next_step, score
from mailsuite.records.seen import Finding, Side, Verdict

HOUR = timedelta(hours=1)
JITTER = 0.1
LONGEST_PAUSE = HOUR * (1 + JITTER)
# While something needed is missing, somebody is probably about to publish it.
SOON, SOON_FOR = timedelta(minutes=5), timedelta(days=2)
KEPT_FOR = timedelta(days=730)
TROUBLE = (Verdict.MISSING, Verdict.DIFFERS, Verdict.FAILS)


def keep(domain_id: int, report: Report, now: datetime) -> None:
    """Keeps a look, in the caller's transaction: an observation for each name and side that differs from the last."""
    latest = _latest(domain_id)
    rows = [row for row in _rows(domain_id, report.findings, now) if _differs(row, latest)]
    Observation.objects.bulk_create(rows)
    check = DnsCheck.objects.get(domain_id=domain_id)
    _note_drift(check, _worse(report.findings, latest), report, now)
    check.started_at, check.finished_at = None, now
    check.due_at = _due(check, report, now)
    check.report, check.next_step = encode(report), next_step(report.findings)[:500]
    check.score = score(report.findings)
    check.save()


def forget_observations(now: datetime) -> int:
    """Removes what was seen long ago, but for the latest of each name; returns how many."""
    old = Observation.objects.filter(at__lt=now - KEPT_FOR)
    gone = 0
    for domain_id in set(old.values_list("domain_id", flat=True)):
        current = [row.pk for row in _latest(domain_id).values()]
        gone += old.filter(domain_id=domain_id).exclude(pk__in=current).delete()[0]
    return gone


def history(domain_id: int, limit: int = 100) -> Sequence[Observation]:
    """The latest changes, as the domain's own name servers and the public saw them; the newest first."""
    return list(Observation.objects.using("reader").filter(domain_id=domain_id).order_by("-at", "-pk")[:limit])


def _latest(domain_id: int) -> dict[tuple[str, str, str], Observation]:
    """The last observation of each name, type and side."""
    # In the order in which they were written: the clock may have been ahead once.
    rows = Observation.objects.filter(domain_id=domain_id).order_by("pk")
    return {(row.name, row.type, row.source): row for row in rows}


def _rows(domain_id: int, findings: Iterable[Finding], now: datetime) -> Iterator[Observation]:
    """One row for each name, type and side. Of records that share a name the worst verdict; nothing of an unknown one:
    that DNS did not answer is no change of the record."""
    order = list(Verdict)
    found: dict[tuple[str, str, str], Observation] = {}
    for finding in findings:
        for source, seen in finding.sides:
            if seen.status == "temperror" or _verdict(finding, seen) is Verdict.UNKNOWN:
                continue
            key, verdict = (finding.record.name, finding.record.type, source), _verdict(finding, seen)
            values = list(seen.values)
            if key not in found:
                found[key] = Observation(
                    domain_id=domain_id, name=key[0], type=key[1], source=source, verdict=verdict, at=now,
                    values=json.dumps(values),
                )  # fmt: skip
            elif order.index(verdict) > order.index(Verdict(found[key].verdict)) and verdict in TROUBLE:
                found[key].verdict = verdict
    yield from found.values()


def _verdict(finding: Finding, seen: Side) -> Verdict:
    """The side's own verdict; what is judged for both together has it from the finding."""
    return seen.verdict if seen.verdict is not Verdict.UNKNOWN else finding.verdict


def _differs(row: Observation, latest: dict[tuple[str, str, str], Observation]) -> bool:
    before = latest.get((row.name, row.type, row.source))
    if before is None:
        return True
    return (before.values, before.verdict) != (row.values, row.verdict)


def _worse(findings: Iterable[Finding], latest: dict[tuple[str, str, str], Observation]) -> list[Finding]:
    """Those that were well at the last look, are not now, and have other values in DNS: where only what we ask for has
    changed (a stage, a new key), nothing drifted."""
    found = []
    for one in findings:
        for source, seen in one.sides:
            before = latest.get((one.record.name, one.record.type, source))
            if before is None or before.verdict not in (Verdict.OK, Verdict.WARN):
                continue
            if one.is_wrong and seen.verdict in TROUBLE and json.dumps(list(seen.values)) != before.values:
                found.append(one)
                break
    return found


def _note_drift(check: DnsCheck, worse: Sequence[Finding], report: Report, now: datetime) -> None:
    """Drift lasts from the look that found it until a look at which everything needed is well again."""
    needed = [one for one in worse if one.record.needed] or list(worse)
    if needed:
        check.worse_since = check.worse_since or now
        check.worse_text = f"{needed[0].record.type} {needed[0].record.name}: {needed[0].sentence}"[:500]
    elif check.worse_since and not any(one.is_wrong and one.record.needed for one in report.findings):
        check.worse_since, check.worse_text = None, ""


def _due(check: DnsCheck, report: Report, now: datetime) -> datetime:
    """Hourly, and sooner in the days after something needed was not there yet; jittered, so that domains spread."""
    waits = any(one.is_wrong and one.record.needed for one in report.findings)
    created = check.domain.created_at
    pause = SOON if waits and (now - created < SOON_FOR or check.worse_since) else HOUR
    return now + pause * random.uniform(1 - JITTER, 1 + JITTER)
