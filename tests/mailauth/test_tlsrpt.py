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
        (changed(**{"report-id": ""}), "no report-id"),
        (changed(policies={}), None),
        (changed(policies="x"), "policies is no list"),
        (changed(policies=[1]), "policies is no list"),
        (changed(policies=[{}] * 1001), "1001 entries"),
        (changed(policies=[{}]), "no policy"),
        (changed(policies=[{"policy": {"policy-type": "sts"}}]), "no policy-domain"),
        (changed(policies=[{"policy": {"policy-type": "sts", "policy-domain": "x"}, "summary":
                            {"total-successful-session-count": -1}}]), "no count"),
        (changed(policies=[{"policy": {"policy-type": "sts", "policy-domain": "x"}, "summary":
                            {"total-successful-session-count": 1e300}}]), "no count"),
        (changed(policies=[{"policy": {"policy-type": "sts", "policy-domain": "x"}, "summary":
                            {"total-successful-session-count": True}}]), "no count"),
        (changed(policies=[{"policy": {"policy-type": "sts", "policy-domain": "x"}, "failure-details": [{}]}]),
         "no result-type"),
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


def test_every_result_type_has_a_meaning():
    assert all(one.meaning.endswith(".") for one in ResultType)
