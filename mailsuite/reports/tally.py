"""From the stories of a day to the reports that we owe about it: one for each policy domain that asks (RFC 9990 §3.1).

Mail that is a report itself is left out, or two hosts would report on each other's reports for ever. So is mail that we
put off, which comes again. Recipients are never named: in a small house that would tell who writes to whom.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec
from msgspec import Struct

from mailsuite.authcheck.report import AuthReport
from mailsuite.directory.resolution import REPORT_READER
from mailsuite.mail.address import split_subaddress
from mailsuite.mailauth import dmarc
from mailsuite.mailauth.dmarc_report import (
    DKIM_RESULTS,
    MAX_SIGNATURES,
    OVERRIDES,
    SPF_RESULTS,
    DkimResult,
    PolicyPublished,
    Reason,
    Record,
    SpfResult,
)
from mailsuite.reports.sources import is_within

# Whoever sends from ever new addresses makes ever new rows.
MAX_ROWS = 20_000
MAX_DOMAINS = 5_000
MAX_ROWS_IN_ALL = 200_000


class _Part(Struct):
    """What is read of a verdict (mailsuite.verdict)."""

    action: str = ""
    reason: str = ""
    text: str = ""
    dmarc_override: str = ""


class _Copy(Struct):
    verdict: _Part = msgspec.field(default_factory=_Part)


class _Judgement(Struct):
    whole: _Part = msgspec.field(default_factory=_Part)
    mailboxes: list[_Copy] = []


class _Data(Struct):
    authentication: AuthReport | None = None
    verdict: _Judgement | None = None
    recipients: list[str] = []


_decoder = msgspec.json.Decoder(_Data)


@dataclass(slots=True)
class Tally:
    """What one policy domain's report will hold: rows without their counts, and how often each came. `record` is the
    newest seen, since a report tells of one configuration."""

    policy_domain: str
    record: dmarc.Record
    rows: dict[Record, int] = field(default_factory=dict)
    left_out: int = 0

    @property
    def messages(self) -> int:
        return sum(self.rows.values())

    @property
    def records(self) -> list[Record]:
        """The report's records, most mail first."""
        counted = sorted(self.rows.items(), key=lambda item: (-item[1], item[0].source_ip))
        return [replace(row, count=count) for row, count in counted]

    @property
    def policy(self) -> PolicyPublished:
        record = self.record
        return PolicyPublished(
            domain=self.policy_domain,
            p=record.p or "none",
            sp=record.sp,
            np=record.np,
            adkim=record.adkim,
            aspf=record.aspf,
            fo=record.fo,
            testing="y" if record.testing else "n",
            discovery_method="treewalk",
        )


def tally(stories: Iterable[str], excluded: Iterable[str] = ()) -> dict[str, Tally]:
    """The tallies by policy domain, out of the stories' `data`; `excluded` domains, and names below them, get none."""
    found: dict[str, Tally] = {}
    excluded = tuple(excluded)
    rows = 0
    for data in stories:
        try:
            story = _decoder.decode(data)
        except msgspec.MsgspecError:
            continue
        if not _counts(story):
            continue
        assert story.authentication is not None
        outcome = story.authentication.dmarc
        one = found.get(outcome.policy_domain)
        if one is None:
            record = dmarc.parse_record(outcome.record.encode())
            if record is None or not record.rua or len(found) >= MAX_DOMAINS:
                continue
            if any(is_within(outcome.policy_domain, domain) for domain in excluded):
                continue
            one = found[outcome.policy_domain] = Tally(outcome.policy_domain, record)
        elif one.record.text != outcome.record:
            one.record = dmarc.parse_record(outcome.record.encode()) or one.record
        row = _row(story.authentication, story.verdict)
        if row not in one.rows and (len(one.rows) >= MAX_ROWS or rows >= MAX_ROWS_IN_ALL):
            one.left_out += 1
            continue
        rows += row not in one.rows
        one.rows[row] = one.rows.get(row, 0) + 1
    return {name: one for name, one in found.items() if one.rows}


def _counts(story: _Data) -> bool:
    report = story.authentication
    if report is None or report.dmarc.result not in ("pass", "fail") or not report.dmarc.policy_domain:
        return False
    return not (story.recipients and all(map(_is_report_address, story.recipients)))


def _is_report_address(address: str) -> bool:
    return split_subaddress(address.rpartition("@")[0])[0].lower() in REPORT_READER


def _row(report: AuthReport, verdict: _Judgement | None) -> Record:
    """The message as a row that counts nothing yet."""
    outcome = report.dmarc
    disposition, reasons = _disposition(outcome, verdict)
    return Record(
        source_ip=report.client_address.partition("%")[0],
        count=0,
        disposition=disposition,
        dkim_aligned=bool(outcome.aligned_dkim),
        spf_aligned=outcome.aligned_spf,
        header_from=outcome.from_domain,
        envelope_from=report.mail_from.rpartition("@")[2].lower(),
        reasons=reasons,
        dkim=_signatures(report),
        spf=_spf(report),
    )


def _disposition(outcome: dmarc.DmarcOutcome, verdict: _Judgement | None) -> tuple[str, tuple[Reason, ...]]:
    """What DMARC made of the message (RFC 9990 §3.1.1.9), and why that is not what the policy asks, if it is not."""
    if outcome.result == "pass":
        return "pass" if outcome.policy in ("quarantine", "reject") else "none", ()
    disposition, override, comment = outcome.disposition_asked, "", ""
    parts = [verdict.whole, *(copy.verdict for copy in verdict.mailboxes)] if verdict else []
    if overriding := next((part for part in parts if part.dmarc_override), None):
        override = overriding.dmarc_override if overriding.dmarc_override in OVERRIDES else "other"
        disposition = {"junk": "quarantine", "reject": "reject"}.get(overriding.action, "none")
        comment = overriding.reason
    elif outcome.testing and disposition != outcome.policy:
        override = "policy_test_mode"
    # A milder asking can't have become a stricter doing of DMARC's: then something else was the reason.
    if disposition != outcome.policy and not override:
        override = "local_policy"
    return disposition, (Reason(override, comment),) if override and disposition != outcome.policy else ()


def _signatures(report: AuthReport) -> tuple[DkimResult, ...]:
    """The signatures, those that speak for the author first (RFC 9990 §3.1.3)."""
    author = report.dmarc.from_domain
    ordered = sorted(
        report.dkim, key=lambda check: (not check.is_aligned, check.result != "pass", check.domain != author)
    )
    return tuple(
        DkimResult(
            check.domain,
            check.selector,
            check.result if check.result in DKIM_RESULTS else "neutral",
            "" if check.result == "pass" else check.reason[:200],
        )
        for check in ordered[:MAX_SIGNATURES]
        if check.domain and check.selector
    )


def _spf(report: AuthReport) -> tuple[SpfResult, ...]:
    spf = report.spf
    if not spf.domain:
        return ()
    return (SpfResult(spf.domain, spf.result if spf.result in SPF_RESULTS else "none"),)
