"""TLS reports (RFC 8460) into rows: how many sessions with our hosts were under TLS, and what failed."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction

from mailsuite.mailauth import tlsrpt
from mailsuite.mailauth.dmarc_report_reader import MAX_AGE, MAX_AHEAD
from mailsuite.mailauth.report_file import ReportError
from mailsuite.reports.admission import Admission, Uncounted
from mailsuite.reports.dmarc_import import Duplicate
from mailsuite.reports.models import TlsFailure, TlsPolicy, TlsReport

# JSON is read in one go, for which everybody in the process waits; real reports have some kilobytes.
MAX_JSON_OCTETS = 1024 * 1024
MAX_PERIOD = timedelta(days=8)
MAX_POLICIES = 100
MAX_DETAILS = 1000


def import_tls_report(admission: Admission, chunks: Iterable[bytes], now: datetime) -> tuple[str, ...]:
    """Reads the report, which may tell of several domains, and makes a row for each that may be told of; returns what
    had to be mended, in words for people.

    Raises ReportError for what is no report about one of our domains, Uncounted for one that does not count, Duplicate
    for one read before.
    """
    found = tlsrpt.parse_report(b"".join(chunks))
    _check(found, now)
    admission.check_reporter(found.contact, found.organization)
    incoming = admission.incoming
    by_domain = _by_domain(admission, found.policies)
    left_out = len(found.policies) - sum(map(len, by_domain.values()))
    with transaction.atomic():
        reports = [_create(admission, found, domain_id, policies) for domain_id, policies in by_domain.items()]
        if not any(reports):
            raise Duplicate
        incoming.rows += 1 + sum(1 + len(policy.failures) for policy in found.policies)
        incoming.save(update_fields=["rows"])
    return (*found.mended, *["policies of other domains, which are left out"] * bool(left_out))


def _check(found: tlsrpt.Report, now: datetime) -> None:
    if len(found.policies) > MAX_POLICIES:
        raise ReportError(f"it has more than {MAX_POLICIES} policies")
    if sum(len(policy.failures) for policy in found.policies) > MAX_DETAILS:
        raise ReportError(f"it has more than {MAX_DETAILS} kinds of failures")
    if found.end > found.begin + MAX_PERIOD:
        raise ReportError("its period makes no sense")
    if found.end > now + MAX_AHEAD:
        raise ReportError("its period lies in the future")
    if found.begin < now - MAX_AGE:
        raise ReportError("it is too old")


def _by_domain(admission: Admission, policies: Sequence[tlsrpt.PolicyResult]) -> dict[int, list[tlsrpt.PolicyResult]]:
    """By the hosted domain's id, what is about it. Raises ReportError or Uncounted when none may be told of."""
    by_name: dict[str, list[tlsrpt.PolicyResult]] = {}
    for policy in policies:
        by_name.setdefault(policy.domain[:253] or admission.incoming.domain.name, []).append(policy)
    found: dict[int, list[tlsrpt.PolicyResult]] = {}
    strange: ReportError | Uncounted = ReportError("it has no policy")
    for name, some in by_name.items():
        try:
            found.setdefault(admission.domain_of(name).pk, []).extend(some)
        except (ReportError, Uncounted) as error:
            strange = error
    if not found:
        raise strange
    return found


def _create(
    admission: Admission, found: tlsrpt.Report, domain_id: int, policies: list[tlsrpt.PolicyResult]
) -> TlsReport | None:
    """The rows of one domain; None when they are there already."""
    report, is_new = TlsReport.objects.get_or_create(
        domain_id=domain_id,
        reporter=admission.reporter,
        org_name=(found.organization or admission.reporter)[:255],
        report_id=found.report_id[:255],
        is_verified=admission.incoming.is_verified,
        defaults={
            "incoming": admission.incoming,
            "contact": found.contact[:320],
            "begins_at": found.begin,
            "ends_at": found.end,
        },
    )
    if not is_new:
        return None
    for policy in policies:
        row = TlsPolicy.objects.create(
            report=report,
            policy_type=policy.type[:20],
            policy_domain=policy.domain[:253] or admission.incoming.domain.name,
            successes=policy.successful,
            failures=policy.failed,
        )
        TlsFailure.objects.bulk_create(_failure(row, failure) for failure in policy.failures)
    return report


def _failure(policy: TlsPolicy, failure: tlsrpt.FailureDetails) -> TlsFailure:
    return TlsFailure(
        policy=policy,
        result_type=failure.result[:50],
        count=failure.sessions,
        sending_ip=failure.sending_ip[:45],
        receiving_host=failure.receiving_host[:253],
        receiving_ip=failure.receiving_ip[:45],
        information=" ".join(filter(None, (failure.reason_code, failure.information)))[:500],
    )
