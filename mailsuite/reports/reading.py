"""The report reader: what waits is read in the periodic work, one mail after the other, never in the SMTP path.

Whether a mail counts is asked first (mailsuite.reports.admission): what does not is never unpacked.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from django.db import DatabaseError, transaction

from mailsuite.directory.models import Domain
from mailsuite.mail.encoded_word import decode_text
from mailsuite.mail.header import collect_fields, unfold
from mailsuite.mail.structure import Part, PartKind, decode_parts
from mailsuite.mailauth.failure_report import read_failure_report
from mailsuite.mailauth.report_file import MAX_MAIL_OCTETS, MAX_OCTETS, ReportError, chunks
from mailsuite.reports.admission import MAX_CLAIM, Admission, NamesAddress, Uncounted, rows_left, submitter_of, verify
from mailsuite.reports.dmarc_import import Duplicate, import_report
from mailsuite.reports.message import FailureParts, Format, NotAReport, ReportFile, find_report
from mailsuite.reports.models import FailureReport, IncomingReport
from mailsuite.reports.tls_import import MAX_JSON_OCTETS, import_tls_report
from mailsuite.store.blobs import mail_storage
from mailsuite.store.models import Content

logger = logging.getLogger(__name__)

SLICE = 50
# A report whose reading ends the process must not end it for ever.
MAX_ATTEMPTS = 3
# A run ends after so long, and the next goes on: none of them lasts for ever, however many mails come.
RUN_SECONDS = 60.0
State = IncomingReport.State


def _nobody_asks(domain: Domain, kind: str, address: str) -> bool:
    return False


def read_waiting(
    now: datetime, names_address: NamesAddress = _nobody_asks, clock: Callable[[], float] = time.monotonic
) -> int:
    """Reads reports that wait, oldest first, for RUN_SECONDS at most; returns how many. For the periodic work.
    `names_address` knows what the domains' records ask for."""
    count, last, ends = 0, 0, clock() + RUN_SECONDS
    while some := list(
        IncomingReport.objects.filter(state=State.WAITING, pk__gt=last)
        .order_by("pk")
        .select_related("content", "domain")[:SLICE]
    ):
        for incoming in some:
            if clock() > ends:
                return count
            last = incoming.pk
            count += read_one(incoming, now, names_address)
    return count


def read_one(incoming: IncomingReport, now: datetime, names_address: NamesAddress) -> bool:
    """Reads one report and notes what came of it; False when it has to wait for the disk or the database."""
    incoming.attempt_count += 1
    incoming.save(update_fields=["attempt_count"])
    try:
        if incoming.attempt_count > MAX_ATTEMPTS:
            raise ReportError(f"reading it was broken off {MAX_ATTEMPTS} times")
        verify(incoming)
        _read(Admission(incoming, rows_left(incoming, now), names_address), now)
        _settle(incoming, State.READ)
    except Uncounted as error:
        logger.info("report %s from %s: %s", incoming, incoming.sender_domain or "nobody", error.cause)
        _settle(incoming, State.UNCOUNTED, str(error), error.cause)
    except Duplicate:
        _settle(incoming, State.DUPLICATE, "the same report was read before")
    except NotAReport as error:
        _settle(incoming, State.IGNORED, f"it is {error}")
    except ReportError as error:
        logger.info("report %s from %s can't be read: %s", incoming, incoming.sender_domain or "nobody", error)
        _settle(incoming, State.FAILED, str(error))
    except (OSError, DatabaseError) as error:
        logger.warning("report %s waits: %s", incoming, error)
        IncomingReport.objects.filter(pk=incoming.pk).update(attempt_count=incoming.attempt_count - 1)
        return False
    except Exception:
        logger.exception("reading report %s failed", incoming)
        _settle(incoming, State.FAILED, f"an error of ours, in the log under {incoming}")
    return True


def _settle(incoming: IncomingReport, state: str, reason: str = "", cause: str = "") -> None:
    incoming.state, incoming.reason, incoming.read_at = state, reason[:300], datetime.now(UTC)
    incoming.cause = cause
    incoming.save(
        update_fields=["state", "reason", "cause", "read_at", "is_verified", "sender_domain", "rows", "octets_read"]
    )


def _read(admission: Admission, now: datetime) -> None:
    incoming = admission.incoming
    content = incoming.content
    if content is None:
        raise ReportError("its mail is gone")
    if content.size_octets > MAX_MAIL_OCTETS:
        raise ReportError(f"its mail is larger than {MAX_MAIL_OCTETS // (1024 * 1024)} MB")
    try:
        with mail_storage().open(content.blob) as blob:
            octets: bytes = blob.read(MAX_MAIL_OCTETS)
    except FileNotFoundError:
        raise ReportError("its mail is gone") from None
    root = _parts(content)
    admission = replace(admission, claims=_claims(octets[root.header_start : root.body_start]))
    match find_report(octets, root):
        case ReportFile(Format.DMARC, file):
            import_report(admission, partial(_metered, incoming, file, MAX_OCTETS), now)
        case ReportFile(Format.TLS, file):
            import_tls_report(admission, _metered(incoming, file, MAX_JSON_OCTETS), now)
        case FailureParts() as parts:
            _import_failure(admission, parts, now)


def _metered(incoming: IncomingReport, file: bytes, max_octets: int) -> Iterator[bytes]:
    """The octets inside the file; what is read is counted in the row."""
    for chunk in chunks(file, max_octets=max_octets):
        incoming.octets_read += len(chunk)
        yield chunk


def _claims(header: bytes) -> tuple[str, ...]:
    """What the mail's own header says of who reports: a DMARC report's Subject, a TLS report's field of its own."""
    fields = collect_fields(header)
    subject, submitter = (
        decode_text(unfold(fields.get(name, [b""])[0]), MAX_CLAIM) for name in (b"subject", b"tls-report-submitter")
    )
    return submitter_of(subject), submitter


def _parts(content: Content) -> Part:
    """The message's tree of parts; of one that the store gave up on, the whole as one part."""
    try:
        return decode_parts(bytes(content.parts))
    except ValueError:
        return Part(PartKind.SINGLE, 0, content.header_octets, content.size_octets)


def _import_failure(admission: Admission, parts: FailureParts, now: datetime) -> None:
    """A failure report names no organisation: its sender is the reporter."""
    facts, incoming = read_failure_report(parts.feedback, parts.message), admission.incoming
    domain = admission.domain_of(facts.reported_domain)
    incoming.rows = 1
    with transaction.atomic():
        # Broken off after this, it is read again.
        FailureReport.objects.filter(incoming=incoming).delete()
        FailureReport.objects.create(
            domain=domain,
            incoming=incoming,
            is_verified=incoming.is_verified,
            reporter=incoming.sender_domain,
            arrived_at=facts.arrived_at or incoming.received_at,
            source_ip=facts.source_ip,
            auth_failure=facts.auth_failure,
            delivery_result=facts.delivery_result,
            rfc5321_mail_from=facts.rfc5321_mail_from,
            rfc5322_from=facts.rfc5322_from,
            subject=facts.subject,
        )
