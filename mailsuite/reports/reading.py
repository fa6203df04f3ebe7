"""The report reader: what waits is read in the periodic work, one mail after the other, never in the SMTP path.

Whether a mail counts is asked first (mailsuite.reports.admission): what does not is never unpacked.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, transaction

from mailsuite.directory.models import Domain
from mailsuite.mail.encoded_word import decode_text
from mailsuite.mail.header import collect_fields, header_end, unfold
from mailsuite.mail.structure import Part, PartKind, decode_parts
from mailsuite.mailauth.dmarc_report_reader import MAX_AGE, MAX_AHEAD
from mailsuite.mailauth.failure_report import read_failure_report
from mailsuite.mailauth.report_file import MAX_MAIL_OCTETS, MAX_OCTETS, ReportError
from mailsuite.reports.admission import (
    MAX_CLAIM,
    Admission,
    Cause,
    NamesAddress,
    Uncounted,
    rows_left,
    submitter_of,
    verify,
    vouches,
)
from mailsuite.reports.dmarc_import import Duplicate, import_report
from mailsuite.reports.forwarded import NoAnswer, Signers, author_of
from mailsuite.reports.message import FailureParts, Format, Found, NotAReport, ReportFile, find_reports
from mailsuite.reports.models import FailureReport, IncomingReport
from mailsuite.reports.tls_import import MAX_JSON_OCTETS, import_tls_report
from mailsuite.resolver.answers import Resolver
from mailsuite.resolver.dns_resolver import DnsResolver
from mailsuite.store.models import Content
from mailsuite.writer.storage import mail_storage

logger = logging.getLogger(__name__)

SLICE = 50
# A report whose reading ends the process must not end it for ever.
MAX_ATTEMPTS = 3
# So long DNS may be silent about whose a forwarded report is.
PATIENCE = timedelta(days=1)
# A run ends after so long, and the next goes on: none of them lasts for ever, however many mails come.
RUN_SECONDS = 60.0
State = IncomingReport.State


def _nobody_asks(domain: Domain, kind: str, address: str) -> bool:
    return False


def _resolver() -> Resolver:
    return DnsResolver(settings.MAILSUITE.resolver)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a run of the reader needs: the time, what the domains' records ask for, and who signed."""

    now: datetime
    names_address: NamesAddress
    signers: Signers


def read_waiting(
    now: datetime,
    names_address: NamesAddress = _nobody_asks,
    clock: Callable[[], float] = time.monotonic,
    make_resolver: Callable[[], Resolver] = _resolver,
) -> int:
    """Reads reports that wait, oldest first, for RUN_SECONDS at most; returns how many. For the periodic work.
    `names_address` knows what the domains' records ask for."""
    reading = Reading(now, names_address, Signers(make_resolver, now.timestamp()))
    count, last, ends = 0, 0, clock() + RUN_SECONDS
    while some := list(
        IncomingReport.objects.filter(state=State.WAITING, pk__gt=last)
        .order_by("pk")
        .select_related("content", "domain")
        .defer(*(f"content__{name}" for name in ("header", "envelope", "body_structure", "body")))[:SLICE]
    ):
        for incoming in some:
            if clock() > ends:
                return count
            last = incoming.pk
            count += read_one(incoming, reading)
    return count


def read_one(incoming: IncomingReport, reading: Reading) -> bool:
    """Reads the reports of one mail and notes what came of it; False when it has to wait for the disk, the database or
    DNS."""
    incoming.attempt_count += 1
    incoming.save(update_fields=["attempt_count"])
    try:
        if incoming.attempt_count > MAX_ATTEMPTS:
            raise ReportError(f"reading it was broken off {MAX_ATTEMPTS} times")
        _settle(incoming, State.READ, _read(incoming, reading))
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
    except (OSError, DatabaseError, NoAnswer) as error:
        logger.warning("report %s waits: %s", incoming, str(error) or "DNS does not answer")
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


def _read(incoming: IncomingReport, reading: Reading) -> str:
    """Reads the mail's reports; returns what had to be mended or was left out, "" for nothing. When none of them was
    read, raises what the first one met."""
    try:
        verify(incoming)
        own: Uncounted | None = None
    except Uncounted as error:
        if error.cause != Cause.OWN_USER:
            raise
        # What others reported may be forwarded by our users too.
        own = error
    content, octets = _content(incoming)
    root = _parts(content)
    notes: list[str] = []
    problems: list[ReportError | Uncounted | Duplicate] = []
    found = find_reports(octets, root)
    incoming.rows = 0
    reading.signers.begin_mail()
    for one in found:
        try:
            if one.enclosing:
                _admit_forwarded(incoming, one.enclosing, reading)
            elif own:
                raise own
            claims = _claims(one.enclosing or octets, 0 if one.enclosing else root.header_start)
            admission = Admission(incoming, rows_left(incoming, reading.now), reading.names_address, claims)
            notes += _import(admission, one, reading.now)
        except (ReportError, Uncounted, Duplicate) as problem:
            problems.append(problem)
    if len(problems) == len(found):
        raise problems[0]
    return _told(notes, problems, len(found))


def _told(notes: list[str], problems: Sequence[Exception], count: int) -> str:
    """What people are told of a mail that was read."""
    mended = ", ".join(dict.fromkeys(notes))
    told = [f"read in spite of {mended}"] if mended else []
    others = [problem for problem in problems if not isinstance(problem, Duplicate)]
    if others:
        told.append(f"{len(others)} of its {count} reports are not counted: {others[0]}")
    return "; ".join(told)


def _admit_forwarded(incoming: IncomingReport, message: bytes, reading: Reading) -> None:
    """Notes whose report it is that was forwarded. Raises Uncounted unless that is proved or vouched for."""
    domain = author_of(message) if vouches(incoming) else _signer(incoming, message, reading)
    if not domain:
        raise Uncounted(
            Cause.UNPROVED,
            "it was forwarded, and no signature of its sender's domain proves any more whose it is: not counted",
        )
    incoming.sender_domain, incoming.is_verified = domain, True


def _signer(incoming: IncomingReport, message: bytes, reading: Reading) -> str:
    """Whose signature proves the forwarded mail, "" for nobody's. Raises NoAnswer while DNS may still tell."""
    try:
        return reading.signers.signed_by(message)
    except NoAnswer:
        if reading.now - incoming.received_at < PATIENCE:
            raise
        return ""


def _content(incoming: IncomingReport) -> tuple[Content, bytes]:
    """The mail's row and octets. Raises ReportError when there are none, or too many."""
    content = incoming.content
    if content is None:
        raise ReportError("its mail is gone")
    if content.size_octets > MAX_MAIL_OCTETS:
        raise ReportError(f"its mail is larger than {MAX_MAIL_OCTETS // (1024 * 1024)} MB")
    try:
        with mail_storage().open(content.blob) as blob:
            return content, blob.read(0, MAX_MAIL_OCTETS)
    except FileNotFoundError:
        raise ReportError("its mail is gone") from None


def _import(admission: Admission, found: Found, now: datetime) -> tuple[str, ...]:
    """Takes a report in; returns what had to be mended, in words for people."""
    incoming = admission.incoming
    match found:
        case ReportFile(Format.DMARC):
            return import_report(admission, lambda: _metered(incoming, found, MAX_OCTETS), now)
        case ReportFile():
            return import_tls_report(admission, _metered(incoming, found, MAX_JSON_OCTETS), now)
        case FailureParts():
            _import_failure(admission, found)
            return ()


def _metered(incoming: IncomingReport, file: ReportFile, max_octets: int) -> Iterator[bytes]:
    """The octets inside the file; what is read is counted in the row."""
    for chunk in file.chunks(max_octets):
        incoming.octets_read += len(chunk)
        yield chunk


def _claims(message: bytes, start: int) -> tuple[str, ...]:
    """What the header of the mail that begins there says of who reports: a DMARC report's Subject, a TLS report's field
    of its own."""
    fields = collect_fields(message[start : header_end(message, start, len(message))])
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


def _arrival(told: datetime | None, received: datetime) -> datetime:
    """When the message came that a failure report is about: as it says, as far as that can be."""
    return told if told is not None and received - MAX_AGE <= told <= received + MAX_AHEAD else received


def _import_failure(admission: Admission, parts: FailureParts) -> None:
    """A failure report names no organisation: its sender is the reporter."""
    facts, incoming = read_failure_report(parts.feedback, parts.message), admission.incoming
    domain = admission.domain_of(facts.reported_domain)
    with transaction.atomic():
        if not incoming.rows:
            # Broken off after this, all of the mail is read again.
            FailureReport.objects.filter(incoming=incoming).delete()
        incoming.rows += 1
        FailureReport.objects.create(
            domain=domain,
            incoming=incoming,
            is_verified=incoming.is_verified,
            reporter=incoming.sender_domain,
            arrived_at=_arrival(facts.arrived_at, incoming.received_at),
            source_ip=facts.source_ip,
            auth_failure=facts.auth_failure,
            delivery_result=facts.delivery_result,
            rfc5321_mail_from=facts.rfc5321_mail_from,
            rfc5322_from=facts.rfc5322_from,
            subject=facts.subject,
        )
