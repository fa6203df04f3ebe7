"""What the page of a domain's DNS records shows, as plain values for its template."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from mailsuite.directory.models import Domain
from mailsuite.mailauth.dns_record import Purpose, Record
from mailsuite.records.models import DnsCheck, DomainPolicy, Observation
from mailsuite.records.observing import history
from mailsuite.records.planning import records_of
from mailsuite.records.reporting import Report, decode
from mailsuite.records.seen import Finding, Side, Verdict
from mailsuite.records.setup import read_setup
from mailsuite.records.stages import Advice, advise, policy_of
from mailsuite.signing.models import DkimKey

TONES = {
    "ok": "good",
    "warn": "waiting",
    "missing": "bad",
    "differs": "bad",
    "fails": "bad",
    "unknown": "plain",
    "": "plain",
}
WORDS = {
    "ok": "good", "warn": "works, but", "missing": "missing", "differs": "differs", "fails": "fails",
    "unknown": "not known", "": "not looked yet",
}  # fmt: skip
TITLES = (
    ("v=spf1", "SPF"),
    ("v=DKIM1", "DKIM key"),
    ("v=DMARC1", "DMARC"),
    ("v=STSv1", "MTA-STS id"),
    ("v=TLSRPTv1", "TLS reports"),
)
LABELS = {
    "mta-sts": "MTA-STS policy",
    "autoconfig": "Thunderbird's setup",
    "autodiscover": "Outlook's setup",
    "_submissions": "Sending by TLS",
    "_submission": "Sending by STARTTLS",
    "_imaps": "IMAP by TLS",
    "_imap": "IMAP by STARTTLS",
    "_pop3s": "POP3 by TLS",
    "_pop3": "POP3 by STARTTLS",
}
TYPES = {
    "MX": "Mail host", "A": "Address", "AAAA": "Address", "PTR": "Reverse DNS", "TLSA": "DANE", "CAA": "Certificates",
    "SRV": "Service", "CNAME": "Setup", "NS": "Name servers",
}  # fmt: skip
SIDES = {"own": "At its name servers", "public": "Seen publicly", "live": "Where it leads"}
SCHEDULES = ((0, "only by the button"), (3, "every 3 months"), (6, "every 6 months"), (12, "every 12 months"))
RING = 2 * 3.14159 * 42


@dataclass(frozen=True, slots=True)
class Row:
    """One record as the page has it, for a domain of that name. `optional` ones that are missing are no fault."""

    record: Record
    finding: Finding | None
    title: str
    domain: str

    @property
    def verdict(self) -> str:
        return self.finding.verdict.value if self.finding else ""

    @property
    def short_name(self) -> str:
        """The name as those panels want it that put the domain behind it; "" where it is not in the domain."""
        if self.record.name == self.domain:
            return "@"
        return self.record.name.removesuffix(f".{self.domain}") if self.record.name.endswith(f".{self.domain}") else ""

    @property
    def is_optional(self) -> bool:
        return not self.record.needed and self.verdict == Verdict.MISSING

    @property
    def word(self) -> str:
        return "optional" if self.is_optional else WORDS[self.verdict]

    @property
    def tone(self) -> str:
        return "plain" if self.is_optional else TONES[self.verdict]

    @property
    def is_open(self) -> bool:
        """Whether there is something to do that the row itself tells."""
        doubtful = self.verdict not in ("ok", "unknown")
        return self.verdict in (Verdict.DIFFERS, Verdict.FAILS) or (doubtful and self.record.needed)

    @property
    def sides(self) -> list[tuple[str, Side, str]]:
        if not self.finding or self.record.type == "NS" or self._is_told_without_dns:
            return []
        return [(SIDES[source], side, TONES[side.verdict.value]) for source, side in self.finding.sides]

    @property
    def _is_told_without_dns(self) -> bool:
        finding = self.finding
        return finding is not None and finding.is_wrong and finding.own == finding.public == Side()

    @property
    def servers(self) -> tuple[str, ...]:
        return self.finding.own.values if self.finding and self.record.type == "NS" else ()


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    rows: tuple[Row, ...]

    @property
    def summary(self) -> str:
        wanted = [row for row in self.rows if not row.is_optional]
        looked = [row for row in wanted if row.verdict]
        if not looked:
            return ""
        good = sum(row.verdict in ("ok", "warn") for row in looked)
        return f"{good} of {len(wanted)}"

    @property
    def tone(self) -> str:
        tones = [row.tone for row in self.rows if not row.is_optional]
        return next((tone for tone in ("bad", "waiting", "plain") if tone in tones), "good" if tones else "plain")

    @property
    def is_open(self) -> bool:
        return any(row.record.needed for row in self.rows) or self.tone == "bad"


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history: what was there from then on."""

    at: object
    what: str
    where: str
    values: tuple[str, ...]
    tone: str
    word: str


def context_of(domain: Domain, tab: str) -> dict[str, object]:
    """All that the page needs beside the site's own."""
    setup = read_setup(domain, "reader")
    check = DnsCheck.objects.filter(domain=domain).first() or DnsCheck()
    policy = policy_of(domain)
    return {
        "domain": domain,
        "tab": tab,
        "check": check,
        "is_running": check.started_at is not None,
        "groups": groups_of(records_of(setup), decode(check.report), domain.name),
        "score": check.score,
        "ring": f"{RING * (check.score or 0) / 100:.1f} {RING:.1f}",
        "ring_tone": _ring_tone(check),
        "policy": policy,
        "modes": DomainPolicy.Mode.choices,
        "stages": _stages(policy),
        "advice": _advice(domain, policy),
        "host_problem": setup.host_problem if setup.receives else "",
        "keys": list(domain.dkim_keys.order_by("state", "-algorithm", "selector")),
        "rotating": domain.dkim_keys.filter(takes_over=True).first(),
        "waiting_ed25519": _waiting_ed25519(domain),
        "schedules": SCHEDULES,
        "changes": _changes(history(domain.pk)) if tab == "history" else [],
    }


def groups_of(records: list[Record], report: Report, domain: str) -> list[Group]:
    """The records by purpose, in the order of the purposes, with what only the look has found."""
    rows = [Row(record, report.of(record), title_of(record), domain) for record in records]
    planned = {(row.record.type, row.record.name, row.record.value) for row in rows}
    for finding in report.findings:
        record = finding.record
        # What a look found besides; records that were to be published then, and are not now, are left out.
        if (record.asked_for or not record.value) and (record.type, record.name, record.value) not in planned:
            rows.append(Row(record, finding, title_of(record), domain))
    # What everything else hangs on comes first.
    order = sorted(Purpose, key=lambda purpose: purpose is not records[0].purpose)
    rows.sort(key=lambda row: (order.index(row.record.purpose), not row.record.needed))
    return [Group(str(purpose), tuple(found)) for purpose, found in groupby(rows, key=lambda row: row.record.purpose)]


def title_of(record: Record) -> str:
    """What people call the record."""
    if "._report._dmarc." in record.name:
        return "DMARC reports"
    for start, title in TITLES:
        if record.value.startswith(start):
            selector = record.name.partition("._domainkey.")[0] if title == "DKIM key" else ""
            return f"{title} {selector}".strip()
    label = record.name.partition(".")[0]
    if label in LABELS:
        return LABELS[label]
    return TYPES.get(record.type, record.type)


def _ring_tone(check: DnsCheck) -> str:
    if check.score is None:
        return "plain"
    return "good" if check.score >= 90 else "waiting" if check.score >= 50 else "bad"


def _stages(policy: DomainPolicy) -> list[tuple[str, str]]:
    """Each stage's label and whether it is past, now or still to come."""
    names = list(DomainPolicy.DmarcStage)
    at = names.index(DomainPolicy.DmarcStage(policy.dmarc_stage))
    return [
        (str(stage.label), "now" if index == at else "past" if index < at else "later")
        for index, stage in enumerate(names)
    ]


def _advice(domain: Domain, policy: DomainPolicy) -> Advice | None:
    return advise(domain, policy.dmarc_stage) if policy.mode == DomainPolicy.Mode.MAIL else None


def _waiting_ed25519(domain: Domain) -> DkimKey | None:
    keys = domain.dkim_keys.filter(algorithm=DkimKey.Algorithm.ED25519)
    if keys.filter(state=DkimKey.State.ACTIVE).exists():
        return None
    return keys.filter(state__in=(DkimKey.State.PENDING, DkimKey.State.PUBLISHED)).first()


def _changes(rows: Sequence[Observation]) -> list[Change]:
    """What changed, both sides as one where they changed alike at the same look; that a record was not there at the
    first look is no change."""
    first = {(row.name, row.type, row.source): row.pk for row in rows}
    rows = [row for row in rows if row.values != "[]" or row.pk != first[row.name, row.type, row.source]]
    found: dict[tuple[object, ...], list[Observation]] = {}
    for row in rows:
        found.setdefault((row.at, row.type, row.name, row.values, row.verdict), []).append(row)
    return [_change(same) for same in found.values()]


def _change(rows: Sequence[Observation]) -> Change:
    row, where = rows[0], sorted(str(Observation.Source(one.source).label) for one in rows)
    return Change(
        row.at,
        f"{row.type} {row.name}",
        " and ".join(where),
        tuple(json.loads(row.values)),
        TONES.get(row.verdict, "plain"),
        WORDS.get(row.verdict, row.verdict),
    )
