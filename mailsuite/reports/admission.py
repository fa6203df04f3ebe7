"""Which report mail counts: whose it is, what it speaks of, and how much a day holds (RFC 9990 §5, RFC 8460 §5.3).

Anybody can write to a report address. What is told there moves a domain's DMARC policy, so it counts only when

- it came from elsewhere, and the domain of its author is authenticated; or it was forwarded as an attachment, and its
  author's domain has signed it, or somebody who administers the domain here vouches for it by forwarding it;
- that very organisation is the one that reports, by the report's own words;
- it speaks of the domain whose address it came to, or of one whose published record names that address;
- the reporter and the domain have room left for the day.

All else is counted as mail that does not count, with the reason, and read no further.
"""

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q, QuerySet, Sum

from mailsuite.authcheck.report import decode
from mailsuite.directory.models import Domain, Mailbox
from mailsuite.mail.address import AddressError, normalize_domain
from mailsuite.mailauth import dmarc
from mailsuite.mailauth.report_file import ReportError
from mailsuite.reports.models import IncomingReport, OutgoingReport
from mailsuite.reports.sources import organization
from mailsuite.trace.models import Story

# Of one report; of one reporter about one domain in a day (UTC); of all reporters about it. A row is one record of an
# aggregate report, one failure, one policy or kind of failure of a TLS report; each report counts as one more.
MAX_ROWS = 5_000
REPORTER_ROWS_A_DAY = 10_000
DOMAIN_ROWS_A_DAY = 30_000
# Unpacked. Most reports have some kilobytes.
REPORTER_OCTETS_A_DAY = 64 * 1024 * 1024
DOMAIN_OCTETS_A_DAY = 256 * 1024 * 1024
MAX_CLAIM = 1000

Cause = IncomingReport.Cause
# `names_address(domain, kind, address)`: whether the domain's published record asks for reports of the kind there.
NamesAddress = Callable[[Domain, str, str], bool]

_SUBMITTER = re.compile(r"\bsubmitter:[ \t]*([^ \t<>]{1,253})", re.IGNORECASE)
_BETWEEN = re.compile(r"[\s<>()\[\]{},;\"'|]+")
_DOMAIN = re.compile(r"(?:[a-z0-9_-]{1,63}\.){1,20}[a-z0-9-]{2,63}")


class Uncounted(Exception):
    """The report does not count; the text says why, for people."""

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Admission:
    """What holds for one report mail that is being read. `rows_left` is the room of this day; `claims` are texts of the
    mail itself that may say who reports."""

    incoming: IncomingReport
    rows_left: int
    names_address: NamesAddress
    claims: tuple[str, ...] = ()

    @property
    def reporter(self) -> str:
        """The domain that is proved to have sent the report, or vouched for as its sender."""
        return self.incoming.sender_domain

    def check_reporter(self, *claims: str) -> None:
        """Raises Uncounted unless one of the texts (addresses, names, URLs) names the sender's organisation, or all of
        them are empty: a report that names nobody is its sender's."""
        texts = (*self.claims, *claims)
        if not any(texts):
            return
        named = claimed_domains(texts)
        ours = organization(self.reporter)
        if all(organization(name) != ours for name in named):
            who = ", ".join(sorted(named)[:3]) or "nobody"
            raise Uncounted(
                Cause.NOT_THE_REPORTER, f"it names {who} as its reporter, and {self.reporter} sent it: not counted"
            )

    def domain_of(self, name: str) -> Domain:
        """The hosted domain that a report about `name` is about: that one, or the nearest above it.

        Raises ReportError for one that is not hosted here, Uncounted for one that did not ask for reports at the
        address that this one came to.
        """
        domain, incoming = hosted_domain_of(name), self.incoming
        if (domain.alias_of_id or domain.pk) == (incoming.domain.alias_of_id or incoming.domain_id):
            return domain
        if self.names_address(domain, incoming.kind, incoming.address):
            return domain
        raise Uncounted(
            Cause.OTHER_DOMAIN,
            f"it is about {domain.name}, whose record does not ask for reports at {incoming.address}: not counted",
        )


def verify(incoming: IncomingReport) -> None:
    """Notes whose mail it is. Raises Uncounted unless it came from elsewhere and its author's domain is proved."""
    story = Story.objects.filter(pk=incoming.story_id or 0).first()
    if story is not None and story.kind != Story.Kind.INBOUND:
        incoming.sender_domain = dmarc.author([story.from_text.encode()]).domain
        # What we report about mail that came here is true by itself; our users have nothing to report.
        incoming.is_verified = OutgoingReport.objects.filter(story_id=story.pk).exists()
        if not incoming.is_verified:
            raise Uncounted(
                Cause.OWN_USER, "it was sent by a user of this host, who has nothing to report: not counted"
            )
        return
    found = decode(_data(story).get("authentication")) if story else None
    incoming.sender_domain = found.dmarc.from_domain if found else ""
    incoming.is_verified = found is not None and found.is_author_authentic
    if not incoming.is_verified:
        raise Uncounted(Cause.UNPROVED, "its own mail was not authenticated, so anybody may have sent it: not counted")


def vouches(incoming: IncomingReport) -> bool:
    """Whether the mail was sent, signed in, by somebody who administers the domain."""
    story = Story.objects.filter(pk=incoming.story_id or 0, kind=Story.Kind.SUBMISSION).first()
    if story is None or story.sender_mailbox_id is None:
        return False
    mailbox = Mailbox.objects.filter(pk=story.sender_mailbox_id).select_related("user").first()
    user = mailbox.user if mailbox else None
    if user is None or not user.is_active:
        return False
    return user.is_superuser or user.administered_domains.filter(pk=incoming.domain_id).exists()


def rows_left(incoming: IncomingReport, now: datetime) -> int:
    """How many rows the mail's next report may have; what the mail itself has had is a part of the day's share. Raises
    Uncounted when its reporter or its domain has had it."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    read = IncomingReport.objects.filter(domain=incoming.domain_id, is_verified=True, read_at__gte=today)
    read = read.exclude(pk=incoming.pk)
    rows, octets = _used(read)
    organization_of = organization(incoming.sender_domain)
    own = Q(sender_domain=organization_of) | Q(sender_domain__endswith=f".{organization_of}")
    own_rows, own_octets = _used(read.filter(own))
    rows, octets = rows + incoming.rows, octets + incoming.octets_read
    own_rows, own_octets = own_rows + incoming.rows, own_octets + incoming.octets_read
    if own_rows >= REPORTER_ROWS_A_DAY or own_octets >= REPORTER_OCTETS_A_DAY:
        raise Uncounted(Cause.OVER_BUDGET, f"{organization_of} has reported more than enough today: not counted")
    if rows >= DOMAIN_ROWS_A_DAY or octets >= DOMAIN_OCTETS_A_DAY:
        raise Uncounted(Cause.OVER_BUDGET, f"{incoming.domain} was reported on more than enough today: not counted")
    return min(MAX_ROWS, REPORTER_ROWS_A_DAY - own_rows, DOMAIN_ROWS_A_DAY - rows)


def hosted_domain_of(name: str) -> Domain:
    """The hosted domain of that name, in A-labels or U-labels, or the nearest above it. Raises ReportError."""
    with suppress(AddressError):
        name = name if name.isascii() else normalize_domain(name, allow_underscores=True)
    labels = name.split(".")
    names = [".".join(labels[at:]) for at in range(min(len(labels), 20))]
    found = Domain.objects.filter(name__in=names).exclude(state=Domain.State.REMOVED)
    domain = max(found, key=lambda domain: len(domain.name), default=None)
    if domain is None:
        raise ReportError(f"it is about {name}, which is not hosted here")
    return domain


def submitter_of(subject: str) -> str:
    """The domain that a report's Subject calls its submitter (RFC 9990 §3.5.2), "" for none."""
    found = _SUBMITTER.search(subject[:MAX_CLAIM])
    return found[1] if found else ""


def claimed_domains(texts: Iterable[str]) -> set[str]:
    """The domains in the texts: those of addresses and URLs, and names that are domains themselves."""
    words = (word for text in texts for word in _BETWEEN.split(text[:MAX_CLAIM].lower()))
    names = (word.rpartition("//")[2].partition("/")[0].rpartition("@")[2].removeprefix("mailto:") for word in words)
    hosts = (name.partition(":")[0].strip(".") for name in names)
    return {host for host in hosts if len(host) <= 253 and _DOMAIN.fullmatch(host)}


def _data(story: Story) -> dict[str, Any]:
    try:
        data = json.loads(story.data)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _used(rows: QuerySet[IncomingReport]) -> tuple[int, int]:
    sums = rows.order_by().aggregate(rows=Sum("rows"), octets=Sum("octets_read"))
    return sums["rows"] or 0, sums["octets"] or 0
