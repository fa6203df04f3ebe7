"""Aggregate reports and the mails that carry them, as reporters send them."""

import base64
import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mailsuite.mailauth.dmarc_report import DkimResult, PolicyPublished, Record, ReportHead, SpfResult, build_report

NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)
YESTERDAY = datetime(2026, 11, 23, tzinfo=UTC)
OWN = Record(
    "192.0.2.1", 10, "none", True, True, "example.org", "example.org",
    dkim=(DkimResult("example.org", "r1", "pass"),), spf=(SpfResult("example.org", "pass"),),
)  # fmt: skip
SHOP = Record(
    "198.51.100.7", 4, "none", False, False, "example.org", "bounce.shop.example",
    dkim=(DkimResult("shop.example", "s1", "pass"),), spf=(SpfResult("bounce.shop.example", "pass"),),
)  # fmt: skip
FORGED = Record("203.0.113.66", 3, "reject", False, False, "example.org", spf=(SpfResult("example.org", "fail"),))


def head(report_id="1", domain="example.org", org="Reporter", begins=YESTERDAY, **policy):
    return ReportHead(
        org, "dmarc@reporter.example", report_id, begins, begins + timedelta(days=1, seconds=-1),
        replace(PolicyPublished(domain, "none"), **policy),
    )  # fmt: skip


def report_xml(*records, **about):
    return build_report(head(**about), records or [OWN])


def mail(file, type="application/gzip", name="r!example.org!1!2.xml.gz", encoding="base64", more=""):
    """A mail with a text and the file as its attachment."""
    body = base64.encodebytes(file).replace(b"\n", b"\r\n") if encoding == "base64" else file
    return (
        "From: Reporter <dmarc@reporter.example>\r\nSubject: Report Domain: example.org\r\n"
        f"{more}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nA report.\r\n"
        f'--b\r\nContent-Type: {type}\r\nContent-Disposition: attachment; filename="{name}"\r\n'
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    ).encode() + body + b"\r\n--b--\r\n"  # fmt: skip


def report_mail(*records, **about):
    return mail(gzip.compress(report_xml(*records, **about)))


def authentication_of(from_domain="reporter.example", dmarc="pass", signer="reporter.example"):
    """What a story keeps of the checks of a mail, as json.loads gives it."""
    return {
        "client_address": "192.0.2.200", "helo": "h", "mail_from": "", "from_address": f"r@{from_domain}",
        "checked_at": NOW.isoformat(), "iprev": {"result": "pass"},
        "spf": {"identity": "mailfrom", "domain": from_domain, "result": "none"},
        "spf_helo": {"identity": "helo", "domain": "h", "result": "none"},
        "dmarc": {"result": dmarc, "from_domain": from_domain},
        "arc": {"result": "none"},
        "dkim": [{"result": "pass", "domain": signer, "is_aligned": dmarc == "pass"}],
    }  # fmt: skip


REJECT = "v=DMARC1; p=reject; rua=mailto:r@example.org"
ALIGNED = {"result": "pass", "domain": "example.org", "selector": "r1", "is_aligned": True}
FOREIGN = {"result": "pass", "domain": "esp.example", "selector": "s1"}
BROKEN = {"result": "fail", "domain": "example.org", "selector": "r1", "reason": "body changed"}


def checked(result="pass", *, policy="reject", asked="none", record=REJECT, verdict=None, recipients=(), **more):
    """A story's `data` of a message from example.org that was checked."""
    report = {
        "client_address": "192.0.2.1", "helo": "h", "mail_from": "ann@Bounce.example.org",
        "from_address": "ann@example.org", "checked_at": NOW.isoformat(), "iprev": {"result": "pass"},
        "spf": {"identity": "mailfrom", "domain": "bounce.example.org", "result": "pass"},
        "spf_helo": {"identity": "helo", "domain": "h", "result": "none"},
        "dmarc": {
            "result": result, "from_domain": "example.org", "policy_domain": "example.org", "policy": policy,
            "disposition_asked": asked, "record": record, "aligned_spf": result == "pass",
            "aligned_dkim": ["example.org"] if result == "pass" else [],
        } | more.pop("dmarc", {}),
        "arc": {"result": "none"}, "dkim": [ALIGNED] if result == "pass" else [],
    } | more  # fmt: skip
    data = {"listener": "SMTP", "authentication": report, "recipients": list(recipients)}
    return json.dumps(data | ({"verdict": verdict} if verdict else {}))
