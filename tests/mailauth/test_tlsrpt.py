"""TLS reports (RFC 8460), a row per rule; the report in it is made after its appendix B."""

import json
from datetime import UTC, datetime

import pytest
from checkdmarc.smtp_tls_reporting import parse_smtp_tls_reporting_record

from mailsuite.mailauth import tlsrpt
from mailsuite.mailauth.report_file import ReportError
from mailsuite.mailauth.tlsrpt import FailureDetails, ResultType

REPORT = {
    "organization-name": "Company-X",
    "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
    "contact-info": "sts-reporting@company-x.example",
    "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
    "policies": [
        {
            "policy": {
                "policy-type": "sts",
                "policy-string": ["version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"],
                "policy-domain": "company-y.example",
                "mx-host": ["*.mail.company-y.example"],
            },
            "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
            "failure-details": [
                {
                    "result-type": "certificate-expired",
                    "sending-mta-ip": "2001:db8:abcd:0012::1",
                    "receiving-mx-hostname": "mx1.mail.company-y.example",
                    "failed-session-count": 100,
                },
                {
                    "result-type": "validation-failure",
                    "sending-mta-ip": "198.51.100.62",
                    "receiving-ip": "203.0.113.58",
                    "receiving-mx-hostname": "mx-backup.mail.company-y.example",
                    "failed-session-count": 3,
                    "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
                },
            ],
        }
    ],
}


def test_our_record_passes_checkdmarc():
    record = tlsrpt.render_record(["mailto:tls-reports@example.com"])
    assert parse_smtp_tls_reporting_record(record)["tags"]["rua"]["value"] == ["mailto:tls-reports@example.com"]


def test_a_report():
    report = tlsrpt.parse_report(json.dumps(REPORT).encode())
    assert (report.organization, report.report_id) == ("Company-X", REPORT["report-id"])
    assert report.begin == datetime(2016, 4, 1, tzinfo=UTC)
    [policy] = report.policies
    assert (policy.type, policy.domain, policy.successful, policy.failed) == ("sts", "company-y.example", 5326, 303)
    assert policy.mx == ("*.mail.company-y.example",) and policy.strings[1] == "mode: testing"
    assert policy.failures[0] == FailureDetails(
        "certificate-expired", 100, sending_ip="2001:db8:abcd:0012::1", receiving_host="mx1.mail.company-y.example"
    )
    assert policy.failures[1].reason_code == "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"


def changed(**changes):
    return json.dumps(REPORT | changes).encode()


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b"\xff\xfe{", "no JSON"),
        (changed(**{"date-range": None}), "no date-range"),
        (changed(**{"date-range": {"start-datetime": "yesterday", "end-datetime": "2016-04-01T00:00:00Z"}}), "no date"),
        (changed(**{"date-range": {"start-datetime": "2016-04-02T00:00:00Z", "end-datetime": "2016-04-01T00:00:00Z"}}),
         "ends before"),
        (changed(**{"date-range": {"start-datetime": "0001-01-01T00:00:00+14:00", "end-datetime": "x"}}), "no date"),
        (changed(**{"date-range": {"start-datetime": "1970-01-01T00:00:00Z", "end-datetime": "x"}}), "can't be"),
        (changed(policies={}), None),
        (changed(policies="x"), "policies is no list"),
        (changed(policies=[{}] * 1001), "1001 entries"),
    ],
)  # fmt: skip
def test_hostile_reports(octets, why):
    if why is None:
        assert tlsrpt.parse_report(octets).policies == ()
        return
    with pytest.raises(ReportError, match=why):
        tlsrpt.parse_report(octets)


def test_what_senders_write_otherwise_is_read_too():
    data = json.loads(json.dumps(REPORT))
    data["policies"][0]["policy"] |= {"mx-host": "one.example", "policy-domain": "Company-Y.example."}
    data["policies"][0]["summary"]["total-successful-session-count"] = "12"
    data["policies"][0]["failure-details"][0] |= {
        "result-type": "brand-new",
        "receiving-mx-helo": "a\r\nb" + "x" * 2000,
    }
    [policy] = tlsrpt.parse_report(json.dumps(data).encode()).policies
    assert (policy.mx, policy.domain, policy.successful) == (("one.example",), "company-y.example", 12)
    assert policy.failures[0].result == "brand-new"
    assert policy.failures[0].receiving_helo.startswith("a  b") and len(policy.failures[0].receiving_helo) == 1000


def counted(successful=5, failed=0, **more):
    summary = {"total-successful-session-count": successful, "total-failure-session-count": failed}
    return {"policy": {"policy-type": "sts", "policy-domain": "example.org"}, "summary": summary} | more


RANGE = {"start-datetime": "2026-11-29T00:00:00Z", "end-datetime": "2026-11-29T24:00:00Z"}
# A report with a mistake: the sessions that it still counts, by result, and what is told of it.
MENDED = {
    "the end of the day": (changed(policies=[counted()], **{"date-range": RANGE}), [(5, 0)],
                           ["a day that ends at 24:00"]),
    "a leap second": (changed(policies=[counted()], **{"date-range": RANGE | {"end-datetime": "2026-11-29T23:59:60Z"}}),
                      [(5, 0)], ["a day that ends at 24:00"]),
    "no count": (changed(policies=[counted(3, None)]), [(3, 0)], ["no total-failure-session-count"]),
    "a count with a fraction": (changed(policies=[counted(3.0, 1)]), [(3, 1)], []),
    "a count below zero": (changed(policies=[counted(-1), counted(4)]), [(4, 0)], ["1 policies that make no sense"]),
    "a count beyond all": (changed(policies=[counted(1e300), counted(True), counted(4)]), [(4, 0)],
                           ["2 policies that make no sense"]),
    "no domain": (changed(policies=[counted() | {"policy": {"policy-type": "sts"}}]), [(5, 0)], ["no policy-domain"]),
    "no type": (changed(policies=[counted() | {"policy": {"policy-domain": "x"}}]), [(5, 0)], ["no policy-type"]),
    "no policy": (changed(policies=[{}, counted()]), [(5, 0)], ["1 policies that make no sense"]),
    "a number for a policy": (changed(policies=[1, counted()]), [(5, 0)], ["policies that make no sense"]),
    "one policy for a list": (changed(policies=counted()), [(5, 0)], ["policies that are no list"]),
    "no id": (changed(policies=[counted()], **{"report-id": ""}), [(5, 0)], ["no report-id"]),
    "no organisation": (changed(policies=[counted(None)], **{"organization-name": ""}), [(0, 0)],
                        ["no total-successful-session-count", "no organization-name"]),
    "a failure without a type": (changed(policies=[counted(**{"failure-details": [{"failed-session-count": 2}]})]),
                                 [(5, 0)], ["no result-type"]),
    "a failure without sense": (changed(policies=[counted(**{"failure-details": [{"failed-session-count": "two"}]})]),
                                [(5, 0)], ["no result-type", "1 failures that make no sense"]),
    "a list around it": (b"[" + changed(policies=[counted()]) + b"]", [(5, 0)], ["a list around the report"]),
    "words after it": (changed(policies=[counted()]) + b"\r\n-- \r\nsent by a script", [(5, 0)],
                       ["what stands after the report"]),
    "a last comma": (changed(policies=[counted()])[:-1] + b", }", [(5, 0)], ["commas before an end"]),
    "an octet that is no UTF-8": (changed(policies=[counted()]).replace(b"Company-X", b"M\xfcller"), [(5, 0)],
                                  ["octets that are no UTF-8"]),
    "a line end in a text": (changed(policies=[counted()]).replace(b"Company-X", b"Company\nX"), [(5, 0)], []),
    "names otherwise": (changed(policies=[counted()]).replace(b'"report-id"', b'"Report_ID"'), [(5, 0)], []),
}  # fmt: skip


@pytest.mark.parametrize(("octets", "counts", "mended"), MENDED.values(), ids=MENDED)
def test_a_report_with_a_mistake_is_read_and_says_what_was_mended(octets, counts, mended):
    report = tlsrpt.parse_report(octets)
    assert [(policy.successful, policy.failed) for policy in report.policies] == counts
    assert list(report.mended) == mended
    assert report.report_id and report.end > report.begin


def test_a_day_ends_with_the_next_ones_beginning():
    octets = changed(**{"date-range": RANGE})
    assert tlsrpt.parse_report(octets).end == datetime(2026, 11, 30, tzinfo=UTC)


def test_every_result_type_has_a_meaning():
    assert all(one.meaning.endswith(".") for one in ResultType)
