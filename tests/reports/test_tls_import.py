"""TLS reports by mail (RFC 8460 §5.3): counted per domain, once, however hostile they are."""

import gzip
import json

import pytest
from report_mail import NOW, mail

from mailsuite.mailauth import tlsrpt
from mailsuite.reports import admission
from mailsuite.reports.models import TlsFailure, TlsPolicy, TlsReport
from mailsuite.reports.reading import read_waiting

TYPE = "application/tlsrpt+gzip"


def policy(domain="example.org", successful=90, failed=10, details=True):
    found = {
        "policy": {"policy-type": "sts", "policy-string": ["version: STSv1"], "policy-domain": domain},
        "summary": {"total-successful-session-count": successful, "total-failure-session-count": failed},
    }
    if details:
        found["failure-details"] = [
            {"result-type": "certificate-expired", "sending-mta-ip": "192.0.2.1", "failed-session-count": 10,
             "receiving-mx-hostname": "mx.example.org", "failure-reason-code": "X509", "additional-information": "old"}
        ]  # fmt: skip
    return found


def tls_report(*policies, day="2026-11-23", report_id="1", **more):
    return json.dumps(
        {"organization-name": "Reporter", "contact-info": "tls@reporter.example", "report-id": report_id,
         "date-range": {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"},
         "policies": list(policies or [policy()])} | more
    ).encode()  # fmt: skip


@pytest.mark.parametrize(
    "octets",
    [
        mail(gzip.compress(tls_report()), TYPE, "r!example.org!1!2.json.gz"),
        mail(tls_report(), "application/tlsrpt+json", "r.json"),
        mail(tls_report(), "text/plain", "r.txt"),
    ],
    ids=["gzip", "json", "mistyped"],
)
def test_sessions_and_failures_are_taken_in(file_report, octets):
    incoming = file_report(octets, kind="tls")
    assert read_waiting(NOW) == 1
    incoming.refresh_from_db()
    assert (incoming.state, incoming.reason) == ("read", "")
    report = TlsReport.objects.get()
    assert (report.domain.name, report.org_name, report.is_verified) == ("example.org", "Reporter", True)
    row = TlsPolicy.objects.get()
    assert (row.policy_type, row.successes, row.failures) == ("sts", 90, 10)
    failure = TlsFailure.objects.get()
    assert (failure.result_type, failure.count, failure.receiving_host, failure.information) == (
        *("certificate-expired", 10, "mx.example.org", "X509 old"),
    )


def test_the_same_report_counts_once_and_each_domain_its_own(file_report):
    both = tls_report(policy(), policy("example.net", 5, 0, details=False))
    file_report(mail(gzip.compress(both), TYPE))
    again = file_report(mail(gzip.compress(both), TYPE))
    read_waiting(NOW)
    again.refresh_from_db()
    assert again.state == "duplicate"
    # Only the domain whose address it came to asked for it.
    assert list(TlsPolicy.objects.values_list("report__domain__name", "successes")) == [("example.org", 90)]


def test_each_domain_that_sends_its_reports_there_has_its_own(file_report):
    both = tls_report(policy(), policy("example.net", 5, 0, details=False))
    incoming = file_report(mail(gzip.compress(both), TYPE), kind="tls")
    asked = []

    def names_address(domain, kind, address):
        asked.append((domain.name, kind, address))
        return True

    read_waiting(NOW, names_address)
    incoming.refresh_from_db()
    assert asked == [("example.net", "tls", "tls-reports@example.org")] and incoming.rows == 4
    assert set(TlsPolicy.objects.values_list("report__domain__name", "successes")) == {
        *[("example.org", 90), ("example.net", 5)]
    }


@pytest.mark.parametrize(
    ("contact", "field", "cause"),
    [
        ("tls@reporter.example", "", ""),
        ("https://else.example/", "reporter.example", ""),
        ("tls@else.example", "else.example", "not-the-reporter"),
    ],
)
def test_who_sends_is_who_reports(file_report, contact, field, cause):
    octets = mail(tls_report(**{"contact-info": contact}), "application/tlsrpt+json", "r.json")
    incoming = file_report(f"TLS-Report-Submitter: {field}\r\n".encode() + octets, kind="tls")
    read_waiting(NOW)
    incoming.refresh_from_db()
    assert incoming.cause == cause
    assert TlsReport.objects.count() == (not cause)


def test_one_question_a_name_however_many_policies(file_report, django_assert_max_num_queries):
    few = file_report(mail(tls_report(*[policy("elsewhere.example")] * 90), "application/tlsrpt+json", "r.json"))
    with django_assert_max_num_queries(12):
        read_waiting(NOW)
    few.refresh_from_db()
    assert "not hosted here" in few.reason


def test_what_is_about_other_domains_is_left_out(file_report):
    """`policies` is a list (RFC 8460 §4.4): which domains share a report is for its sender to choose."""
    octets = tls_report(policy("elsewhere.example"), policy())
    incoming = file_report(mail(octets, "application/tlsrpt+json", "r.json"))
    assert read_waiting(NOW) == 1
    assert TlsPolicy.objects.get().policy_domain == "example.org"
    incoming.refresh_from_db()
    assert incoming.reason == "read in spite of policies of other domains, which are left out"


def test_sums_of_what_strangers_count_stay_within_the_database_s_numbers(file_report):
    most = tlsrpt.MAX_COUNT - 1
    file_report(mail(tls_report(*[policy(successful=most, failed=most, details=False)] * 90), TYPE, encoding="8bit"))
    file_report(mail(tls_report(policy(successful=2**53 - 1)), TYPE, encoding="8bit"))
    read_waiting(NOW)
    assert TlsPolicy.objects.count() == 90
    # So many rows as a domain has room for, each day for 400 days.
    assert most * admission.DOMAIN_ROWS_A_DAY * 400 < 2**63


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (tls_report(policy("elsewhere.example")), "not hosted here"),
        (tls_report(policies=[]), "no policy"),
        (tls_report(day="2028-01-01"), "future"),
        (tls_report(day="2024-01-01"), "too old"),
        (b"{" * 100_000, "no JSON"),
        (b'{"a":' * 100_000, "no JSON"),
        (tls_report()[:-9], "no JSON"),
        (gzip.compress(b"{" + b" " * 50_000_000), "more than 1 MB"),
        (tls_report(*[policy()] * 101), "more than 100 policies"),
        (tls_report(policy() | {"failure-details": policy()["failure-details"] * 1001}), "kinds of failures"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_hostile_and_broken_reports_are_refused_with_a_reason(file_report, octets, words):
    incoming = file_report(mail(octets, "application/tlsrpt+json", "r.json"), kind="tls")
    assert read_waiting(NOW) == 1
    incoming.refresh_from_db()
    assert incoming.state == "failed" and words in incoming.reason
    assert not TlsReport.objects.exists()
