"""What a story says of the checks of a message, as lines for people: each check with its reason, DNS as it answered
then, and what was decided about each copy that the asker may know of."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from mailsuite.authcheck.report import AuthReport, DkimCheck, decode
from mailsuite.trace.fates import named
from mailsuite.trace.models import Story
from mailsuite.verdict.verdict import Action, Judgement, Verdict

GOOD, WAITING, BAD, PLAIN = "good", "waiting", "bad", "plain"
RESULT_TONES = {"pass": GOOD, "fail": BAD, "softfail": WAITING, "temperror": WAITING, "permerror": WAITING}
ACTION_TONES = {Action.INBOX: GOOD, Action.JUNK: WAITING, Action.REJECT: BAD, Action.DEFER: WAITING}


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check: its name, its result's word and what that rests on."""

    name: str
    result: str
    text: str = ""
    tone: str = PLAIN


@dataclass(frozen=True, slots=True)
class VerdictLine:
    """What was decided, for the addresses. `details` are small print such as the filter's words and weights."""

    addresses: tuple[str, ...]
    sentence: str
    reason: str
    details: tuple[str, ...] = ()
    tone: str = PLAIN

    @property
    def whose(self) -> str:
        """The first of the addresses in words; the story's way has them all."""
        return named(self.addresses)


@dataclass(frozen=True, slots=True)
class Findings:
    verdicts: tuple[VerdictLine, ...] = ()
    checks: tuple[CheckLine, ...] = ()
    questions: tuple[str, ...] = ()


def findings(story: Story, scope: Collection[int] | None = None) -> Findings | None:
    """What was found out about the message, or None where nothing was looked for. `scope` as for stories."""
    try:
        data = json.loads(story.data)
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    report, judgement = decode(data.get("authentication")), _judgement(data.get("verdict"))
    if report is None and judgement is None:
        return None
    verdicts = tuple(_verdicts(judgement, scope)) if judgement else ()
    if report is None:
        return Findings(verdicts)
    return Findings(verdicts, tuple(_checks(report)), tuple(_questions(report)))


def _judgement(data: Any) -> Judgement | None:
    try:
        return msgspec.convert(data, Judgement) if data else None
    except msgspec.ValidationError:
        return None


def _verdicts(judgement: Judgement, scope: Collection[int] | None) -> Iterable[VerdictLine]:
    """One line for all who fared alike; who is not the asker's is not named."""
    whole = judgement.whole
    if whole.reply is not None or not judgement.mailboxes:
        # What goes on to other hosts lies in no folder of ours.
        sent_on = whole.reply is None and whole.action is Action.JUNK
        yield _verdict(whole, (), f"Sent on, though it looks like junk: {whole.text}." if sent_on else "")
        return
    together: dict[Verdict, list[str]] = {}
    for one in judgement.mailboxes:
        if scope is None or one.domain_id in scope:
            together.setdefault(one.verdict, []).append(one.address)
    for verdict, addresses in together.items():
        yield _verdict(verdict, tuple(addresses))


def _verdict(verdict: Verdict, addresses: tuple[str, ...], sentence: str = "") -> VerdictLine:
    details = tuple(detail for detail in verdict.details if detail)
    return VerdictLine(addresses, sentence or verdict.sentence, verdict.reason, details, ACTION_TONES[verdict.action])


def _checks(report: AuthReport) -> Iterable[CheckLine]:
    yield _line("Reverse DNS", report.iprev.result, report.iprev.reason)
    yield _line("SPF of the greeting", report.spf_helo.result, report.spf_helo.reason)
    if report.mail_from:
        yield _line("SPF of the sender", report.spf.result, report.spf.reason)
    if not report.dkim:
        yield _line("DKIM", "none", "it has no signature")
    for check in report.dkim:
        yield _line("DKIM", check.result, _signature(check))
    if report.arc.result != "none":
        yield _line("ARC", report.arc.result, _chain(report))
    yield _line("DMARC", report.dmarc.result, _dmarc(report))
    if number := report.removed_results:
        words = "field that claimed to be ours was" if number == 1 else "fields that claimed to be ours were"
        yield _line("Authentication-Results", "forged", f"{number} {words} removed")
    if number := report.removed_return_paths:
        words = "field that came with it was" if number == 1 else "fields that came with it were"
        yield _line("Return-Path", "forged", f"{number} {words} removed: only the host that delivers may write it")


def _line(name: str, result: str, text: str) -> CheckLine:
    return CheckLine(name, result, text, BAD if result == "forged" else RESULT_TONES.get(result, PLAIN))


def _signature(check: DkimCheck) -> str:
    whose = f"by {check.domain}" if check.domain else ""
    key = f"{check.key_bits}-bit {check.algorithm}" if check.key_bits else check.algorithm
    testing = "its key is being tested" if check.is_testing else ""
    aligned = "speaks for the author" if check.is_aligned else ""
    return ", ".join(
        filter(None, (whose, check.selector and f"selector {check.selector}", key, check.reason, testing, aligned))
    )


def _chain(report: AuthReport) -> str:
    by = ", ".join(sealer.domain for sealer in report.arc.sealers)
    trusted = f"{report.arc.trusted_by} is trusted here" if report.arc.trusted_by else "nobody in it is trusted here"
    said = f"it says {' '.join(report.arc.claims)}" if report.arc.claims else ""
    return ", ".join(filter(None, (by and f"sealed by {by}", report.arc.reason, said, trusted)))


def _dmarc(report: AuthReport) -> str:
    dmarc = report.dmarc
    if dmarc.result == "pass":
        ways = ["SPF"] * dmarc.aligned_spf + ["DKIM"] * bool(dmarc.aligned_dkim)
        return f"{dmarc.from_domain} stands behind it by {' and '.join(ways)}"
    asks = f"{dmarc.policy_domain} asks for {dmarc.disposition_asked}" if dmarc.result == "fail" else ""
    return "; ".join(filter(None, (dmarc.reason or report.from_problem, asks)))


def _questions(report: AuthReport) -> Iterable[str]:
    for one in report.dns:
        answer = " | ".join(one.values) if one.values else one.status
        yield f"{one.name} {one.rdtype}: {answer} ({one.milliseconds:g} ms)"
