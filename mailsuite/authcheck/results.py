"""The Authentication-Results of a report (RFC 8601 §2.7): one result for each method, one for each signature."""

from mailsuite.authcheck.report import ArcCheck, AuthReport, DkimCheck, SpfCheck
from mailsuite.mailauth.authentication_results import Result


def results(report: AuthReport) -> list[Result]:
    """Return what the report found, as results in the order they are written."""
    found = [Result("iprev", report.iprev.result, (("policy.iprev", report.client_address),)), *_spf(report)]
    found += [_dkim(check) for check in report.dkim] or [Result("dkim", "none")]
    found.append(_dmarc(report))
    if report.arc.result != "none":
        found.append(_arc(report.arc, report.client_address))
    return found


def _spf(report: AuthReport) -> list[Result]:
    """Both identities; of a null reverse-path HELO's alone (RFC 7208 §2.4)."""
    helo = _spf_result(report.spf_helo, "smtp.helo", report.helo)
    if not report.mail_from:
        return [helo]
    return [_spf_result(report.spf, "smtp.mailfrom", report.mail_from), helo]


def _spf_result(check: SpfCheck, name: str, value: str) -> Result:
    return Result("spf", check.result, ((name, value),), reason=check.reason if check.result != "pass" else "")


def _dkim(check: DkimCheck) -> Result:
    properties = (
        ("header.d", check.domain),
        ("header.i", check.identity),
        ("header.s", check.selector),
        ("header.a", check.algorithm),
        ("header.b", check.b_start),
    )
    comment = f"{check.key_bits}-bit key" if check.key_bits else ""
    reason = check.reason if check.result != "pass" else ""
    return Result("dkim", check.result, properties, comment, reason)


def _dmarc(report: AuthReport) -> Result:
    dmarc = report.dmarc
    properties = (("header.from", dmarc.from_domain), ("policy.dmarc", _policy(report)))
    return Result("dmarc", dmarc.result, properties, reason=dmarc.reason if dmarc.result != "pass" else "")


def _policy(report: AuthReport) -> str:
    """What applies after sp, np and t (RFC 9989 §9.1); "" without a record."""
    dmarc = report.dmarc
    return dmarc.disposition_asked if dmarc.result == "fail" else dmarc.policy


def _arc(check: ArcCheck, client_address: str) -> Result:
    reason = check.reason if check.result != "pass" else ""
    return Result("arc", check.result, (("smtp.remote-ip", client_address),), reason=reason)
