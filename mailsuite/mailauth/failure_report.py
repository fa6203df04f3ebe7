"""Reports of single messages that failed: message/feedback-report (RFC 5965, RFC 6591, RFC 9991), as plain values."""

import re
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from mailsuite.mail.bounded_header import read_fields
from mailsuite.mail.dates import parse_date
from mailsuite.mail.encoded_word import decode_text
from mailsuite.mail.header import Fields, collect_fields, header_end, unfold
from mailsuite.mailauth.dmarc import author
from mailsuite.mailauth.report_file import ReportError

MAX_HEADER_OCTETS = 64 * 1024
MAX_FIELDS = 1_000

# "  Sender Domain: example.org", and the line between such lines and the header of the message.
_TOLD = re.compile(rb"^[ \t]*+([A-Za-z]++(?: [A-Za-z]++){0,3}+):[ \t]*+([^\r\n]*+)", re.MULTILINE)
_PLAIN = re.compile(rb"^-{4,} This is a copy of the headers[^\r\n]*+\r?\n(?:\r?\n)?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class FailureFacts:
    """What one report says; "" and None for what it leaves out. `rfc5322_from` and `subject` are the message's own."""

    reported_domain: str
    source_ip: str = ""
    auth_failure: str = ""
    delivery_result: str = ""
    rfc5321_mail_from: str = ""
    arrived_at: datetime | None = None
    rfc5322_from: str = ""
    subject: str = ""


def read_failure_report(feedback: bytes, message: bytes) -> FailureFacts:
    """The facts in the feedback part and the header of the message that came with it, b"" for none. Where the feedback
    names no domain, it is about that in the message's From.

    Raises ReportError for feedback of another type, such as abuse, and for what names no domain (RFC 9991 §4).
    """
    fields = collect_fields(feedback[:MAX_HEADER_OCTETS])
    kind = _text(fields, b"feedback-type", 40).lower()
    if kind != "auth-failure" and (kind or b"auth-failure" not in fields):
        raise ReportError(f"it is feedback of type {kind or 'unknown'}, not about authentication")
    header_octets = header_end(message, 0, len(message))
    header, _ = read_fields(message, 0, header_octets, max_octets=MAX_HEADER_OCTETS, max_fields=MAX_FIELDS)
    domain = _text(fields, b"reported-domain", 253).lower().rstrip(".") or author(header.get(b"from", [])).domain
    if not domain:
        raise ReportError("it names no domain")
    arrival = fields.get(b"arrival-date") or fields.get(b"received-date")
    return FailureFacts(
        reported_domain=domain,
        source_ip=_address(_text(fields, b"source-ip", 45)),
        auth_failure=_text(fields, b"auth-failure", 100).lower(),
        delivery_result=_text(fields, b"delivery-result", 40).lower(),
        rfc5321_mail_from=_text(fields, b"original-mail-from", 320).strip("<>"),
        arrived_at=parse_date(unfold(arrival[0])) if arrival else None,
        rfc5322_from=_text(header, b"from", 500),
        subject=_text(header, b"subject", 500),
    )


def read_plain_report(text: bytes) -> tuple[bytes, bytes] | None:
    """Feedback and header of a failure report that is text for people alone, as Exim sends it; None for other text."""
    if not (match := _PLAIN.search(text[:MAX_HEADER_OCTETS])):
        return None
    told, header = text[: match.start()], text[match.end() : match.end() + MAX_HEADER_OCTETS]
    found = {name.lower(): value for name, value in _TOLD.findall(told)}
    if b"sender domain" not in found or b"sender ip address" not in found:
        return None
    fields = (
        (b"Feedback-Type", b"auth-failure"),
        (b"Auth-Failure", b"dmarc"),
        (b"Reported-Domain", found[b"sender domain"]),
        (b"Source-IP", found[b"sender ip address"]),
        (b"Received-Date", found.get(b"received date", b"")),
    )
    return b"".join(b"%b: %b\r\n" % field for field in fields), header


def _text(fields: Fields, name: bytes, limit: int) -> str:
    return decode_text(unfold(fields.get(name, [b""])[0]), limit)


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return ""
