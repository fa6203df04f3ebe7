"""Delivery status notifications (RFC 3464), in multipart/report (RFC 6522): what a sender gets to read, then the same
for programs, then the message itself or its header. The null reverse-path they are sent with is the caller's.

Where SMTPUTF8 is needed the parts are those of RFC 6533. All of it is 7-bit, so that any host takes it: nothing would
tell of a notification that can't be delivered.
"""

from mailsuite.mail.dates import format_date
from mailsuite.mail.dsn_report import Action as Action
from mailsuite.mail.dsn_report import DsnRecipient as DsnRecipient
from mailsuite.mail.dsn_report import DsnReport as DsnReport
from mailsuite.mail.dsn_text import diagnostic, explain, one_line, subject
from mailsuite.mail.encoded_word import encode_text
from mailsuite.mail.header import header_end
from mailsuite.mail.seven_bit_copy import NotConvertible, seven_bit_copy
from mailsuite.mail.transfer_encoding import seven_bit

MAX_RETURNED_OCTETS = 256 * 1024  # of a larger message only the header goes back
_MAX_HEADER_OCTETS = 64 * 1024


def build_dsn(report: DsnReport) -> bytes:
    """Return the notification as a message. All recipients should share one action: it gives the subject, and the
    first one's counts."""
    human, status = _human_part(report), _status_part(report)
    returned = _returned_part(report)
    boundary = _boundary(report.boundary_seed, human + status + returned)
    delimiter = b"--" + boundary
    parts = b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in (human, status, returned))
    return _header(report, boundary) + parts + delimiter + b"--\r\n"


def _header(report: DsnReport, boundary: bytes) -> bytes:
    kind = "global-delivery-status" if report.smtputf8 else "delivery-status"
    lines = [
        f"From: Mail Delivery System <{one_line(report.from_address)}>",
        f"To: <{one_line(report.to_address)}>",
        f"Subject: {encode_text(subject(report.recipients[0].action, one_line(report.original_subject)[:200]))}",
        f"Date: {format_date(report.now)}",
        f"Message-ID: {one_line(report.message_id)}",
        *_thread_lines(one_line(report.original_message_id)),
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f"Content-Type: multipart/report; report-type={kind};",
        f'\tboundary="{boundary.decode("ascii")}"',
        "Content-Transfer-Encoding: 7bit",
    ]
    return _crlf(lines) + b"\r\n"


def _thread_lines(message_id: str) -> list[str]:
    """Make clients show the notification under the message it is about."""
    if not (message_id.startswith("<") and message_id.endswith(">") and message_id.isascii() and " " not in message_id):
        return []
    return [f"In-Reply-To: {message_id}", f"References: {message_id}"] if len(message_id) < 900 else []


def _human_part(report: DsnReport) -> bytes:
    return _part("text/plain; charset=utf-8", _crlf(explain(report).split("\n")))


def _status_part(report: DsnReport) -> bytes:
    """The fields for programs: a group for the message, then one for each recipient (RFC 3464 §2.1)."""
    lines = [f"Reporting-MTA: dns; {report.hostname}"]
    if report.envelope_id:
        lines.append(f"Original-Envelope-Id: {_ascii(one_line(report.envelope_id)[:200])}")
    lines.append(f"Arrival-Date: {format_date(report.arrived_at)}")
    for recipient in report.recipients:
        lines += ["", *_recipient_lines(recipient, smtputf8=report.smtputf8)]
    kind = "global-delivery-status" if report.smtputf8 else "delivery-status"
    return _part(f"message/{kind}", _crlf(lines))


def _recipient_lines(recipient: DsnRecipient, *, smtputf8: bool) -> list[str]:
    lines = []
    if recipient.original_recipient:
        kind, _, address = one_line(recipient.original_recipient).partition(";")
        lines.append(f"Original-Recipient: {_ascii(kind)};{_typed(address, smtputf8=smtputf8)}")
    address = one_line(recipient.address)
    kind = "rfc822" if address.isascii() else "utf-8"
    lines.append(f"Final-Recipient: {kind};{_typed(address, smtputf8=smtputf8)}")
    lines.append(f"Action: {recipient.action}")
    lines.append(f"Status: {recipient.status}")
    if recipient.remote_host:
        lines.append(f"Remote-MTA: dns; {_ascii(one_line(recipient.remote_host))}")
    if recipient.diagnostic:
        words = diagnostic(recipient)
        # What no mail host said is no SMTP reply (RFC 3464 §2.3.6).
        kind = "smtp" if recipient.remote_host else "x-mailsuite"
        lines.append(f"Diagnostic-Code: {kind}; {words if smtputf8 else _ascii(words)}")
    if recipient.last_attempt_at:
        lines.append(f"Last-Attempt-Date: {format_date(recipient.last_attempt_at)}")
    if recipient.will_retry_until and recipient.action is Action.DELAYED:
        lines.append(f"Will-Retry-Until: {format_date(recipient.will_retry_until)}")
    return lines


def _returned_part(report: DsnReport) -> bytes:
    """The message, or its header. A message/rfc822 may not be encoded (RFC 2046 §5.2.1), so one with 8-bit text comes
    back as its 7-bit copy, or as its header where there is none; the types of RFC 6532 and RFC 6533 may."""
    octets = report.original
    whole = None if report.returns_header_only or len(octets) > MAX_RETURNED_OCTETS else octets
    if whole is not None and not report.smtputf8:
        whole = _as_seven_bit(whole)
    if whole is not None:
        return _part("message/global" if report.smtputf8 else "message/rfc822", whole)
    octets = octets[: header_end(octets, 0, len(octets))]
    if len(octets) > _MAX_HEADER_OCTETS:
        octets = octets[: octets.rfind(b"\n", 0, _MAX_HEADER_OCTETS) + 1]
    return _part("message/global-headers" if report.smtputf8 else "text/rfc822-headers", octets)


def _as_seven_bit(octets: bytes) -> bytes | None:
    if octets.isascii():
        return octets
    try:
        copy = seven_bit_copy(octets)
    except NotConvertible:
        return None
    return copy.header + b"".join(copy.body)


def _part(content_type: str, octets: bytes) -> bytes:
    encoding, body = seven_bit(octets)
    return _crlf([f"Content-Type: {content_type}", f"Content-Transfer-Encoding: {encoding}", ""]) + body


def _boundary(seed: str, content: bytes) -> bytes:
    boundary = b"=_dsn_" + "".join(c for c in seed if c.isascii() and c.isalnum())[:50].encode("ascii")
    while boundary in content:
        boundary += b"_"
    return boundary


def _typed(address: str, *, smtputf8: bool) -> str:
    """An address that is not ASCII is told as such only where SMTPUTF8 carries it, else as utf-8-addr-xtext
    (RFC 6533 §3)."""
    if smtputf8 or address.isascii():
        return address
    return "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in address)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")


def _crlf(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()
