"""The mail that carries an aggregate report (RFC 9990 §3.5.2). Pure."""

import binascii
from dataclasses import dataclass
from datetime import datetime

from mailsuite.mail.dates import format_date
from mailsuite.mailauth.dmarc_report import ReportHead


@dataclass(frozen=True, slots=True)
class Carried:
    """A packed report on its way. `submitter` is the domain that sends it, `unique_id` letters and digits."""

    submitter: str
    head: ReportHead
    unique_id: str
    octets: bytes
    recipients: tuple[str, ...]
    message_count: int
    now: datetime


def file_name(submitter: str, head: ReportHead, unique_id: str) -> str:
    """receiver "!" policy-domain "!" begin "!" end "!" unique-id ".xml.gz": the same however often it is sent."""
    begin, end = int(head.begins_at.timestamp()), int(head.ends_at.timestamp())
    return f"{submitter}!{head.policy.domain}!{begin}!{end}!{unique_id}.xml.gz"


def compose(carried: Carried) -> bytes:
    """The message, unsigned: a text for people and the file."""
    head, submitter = carried.head, carried.submitter
    name = file_name(submitter, head, carried.unique_id)
    boundary = f"=_report_{carried.unique_id}"
    header = [
        f"From: DMARC reports of {submitter} <{head.email}>",
        "To: " + ",\r\n\t".join(carried.recipients),
        f"Subject: Report Domain: {head.policy.domain}",
        f"\tSubmitter: {submitter}",
        f"\tReport-ID: <{head.report_id}>",
        f"Date: {format_date(carried.now)}",
        f"Message-ID: <{head.report_id}>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed;",
        f'\tboundary="{boundary}"',
        "",
    ]
    text = [
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        f"This is a DMARC aggregate report (RFC 9990) about mail in the name of {head.policy.domain}",
        f"that reached {submitter} on {head.begins_at:%Y-%m-%d} (UTC): {carried.message_count} messages.",
        "The attached file is for programs. Whoever publishes the DMARC record of that domain asked for it.",
        "",
        f"--{boundary}",
        "Content-Type: application/gzip;",
        f'\tname="{name}"',
        "Content-Disposition: attachment;",
        f'\tfilename="{name}"',
        "Content-Transfer-Encoding: base64",
        "",
    ]
    return _crlf(header) + _crlf(text) + _base64(carried.octets) + _crlf([f"--{boundary}--"])


def _base64(octets: bytes) -> bytes:
    return b"".join(binascii.b2a_base64(octets[at : at + 57])[:-1] + b"\r\n" for at in range(0, len(octets), 57))


def _crlf(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()
