"""What a check found, as one value that is kept as JSON; its score, and the one thing to do next."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from mailsuite.mailauth.dns_record import Purpose, Record
from mailsuite.records.seen import Finding, Verdict

# Shares of the score, by what a record does. A share is divided among the records of its kind.
WEIGHTS = {"MX": 20, "SPF": 15, "DKIM": 20, "DMARC": 15, "host": 15, "zone": 5, "transport": 6, "clients": 4}
WORTH = {Verdict.OK: 1.0, Verdict.WARN: 0.7}


@dataclass(frozen=True, slots=True)
class Report:
    findings: tuple[Finding, ...] = ()

    def of(self, record: Record) -> Finding | None:
        key = (record.type, record.name, record.value)
        return next((one for one in self.findings if (one.record.type, one.record.name, one.record.value) == key), None)


def encode(report: Report) -> str:
    """The report as JSON, for DnsCheck.report."""
    return msgspec.json.encode(report).decode()


def decode(text: str) -> Report:
    """The report; an empty one for "" and for what an older version wrote."""
    try:
        return msgspec.json.decode(text, type=Report) if text else Report()
    except msgspec.MsgspecError:
        return Report()


def score(findings: Iterable[Finding]) -> int | None:
    """0 to 100; None while DNS has not answered for anything. What is unknown counts neither way."""
    groups: dict[str, list[float]] = {}
    for one in findings:
        if one.verdict is not Verdict.UNKNOWN and (one.record.value or one.record.needed):
            groups.setdefault(kind(one.record), []).append(WORTH.get(one.verdict, 0.0))
    whole = sum(WEIGHTS[name] for name in groups)
    if not whole:
        return None
    # Rounded down: only what is perfect has 100.
    return int(100 * sum(WEIGHTS[name] * sum(worth) / len(worth) for name, worth in groups.items()) / whole + 1e-9)


def next_step(findings: Sequence[Finding]) -> str:
    """The sentence of the most important finding that asks for something; "" when none does."""
    order = (
        [one for one in findings if one.is_wrong and one.record.needed],
        [one for one in findings if one.verdict is Verdict.UNKNOWN and one.record.needed],
        # Where TLS is asked for by what does not fit, mail of those who heed it does not come.
        [one for one in findings if one.verdict is Verdict.DIFFERS and kind(one.record) == "transport"],
        [one for one in findings if one.verdict is Verdict.FAILS],
        [one for one in findings if one.verdict is Verdict.WARN],
        [one for one in findings if one.is_wrong and one.record.value and kind(one.record) == "transport"],
    )
    return next((group[0].sentence for group in order if group), "")


def exit_status(findings: Iterable[Finding]) -> int:
    """0 when all that is needed is there, 1 when something is missing or differs, 2 when DNS did not say."""
    needed = [one for one in findings if one.record.needed]
    if any(one.is_wrong for one in needed):
        return 1
    return 2 if any(one.verdict is Verdict.UNKNOWN for one in needed) else 0


def kind(record: Record) -> str:
    """The key of WEIGHTS that a record belongs to."""
    if "._report._dmarc." in record.name:
        return "transport"
    for name, mark in (("SPF", "v=spf1"), ("DKIM", "._domainkey."), ("DMARC", "_dmarc.")):
        if (record.value.startswith(mark) or mark in record.name) and record.purpose is Purpose.SENDING:
            return name
    by_purpose = {
        Purpose.RECEIVING: "MX",
        Purpose.HOST: "host",
        Purpose.TRANSPORT: "transport",
        Purpose.CLIENTS: "clients",
    }
    return by_purpose.get(record.purpose, "zone")
