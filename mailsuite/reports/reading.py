"""The report reader: what waits is read in the periodic work, one mail after the other, never in the SMTP path.

Reports count only when their own mail was authenticated: it passed DMARC, or an aligned signature (RFC 9990 §5). Others
are kept and shown as unverified.
"""

import json
import logging
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.db import DatabaseError, transaction

from mailsuite.authcheck.report import decode
from mailsuite.mail.structure import Part, PartKind, decode_parts
from mailsuite.mailauth.failure_report import read_failure_report
from mailsuite.mailauth.report_file import MAX_MAIL_OCTETS, ReportError, chunks
from mailsuite.reports.dmarc_import import Duplicate, hosted_domain_of, import_report
from mailsuite.reports.message import FailureParts, Format, NotAReport, ReportFile, find_report
from mailsuite.reports.models import FailureReport, IncomingReport
from mailsuite.reports.tls_import import import_tls_report
from mailsuite.store.blobs import mail_storage
from mailsuite.store.models import Content
from mailsuite.trace.models import Story

logger = logging.getLogger(__name__)

SLICE = 50
# A report whose reading ends the process must not end it for ever.
MAX_ATTEMPTS = 3
State = IncomingReport.State


def read_waiting(now: datetime) -> int:
    """Reads all reports that wait, oldest first; returns how many. For the periodic work."""
    count, last = 0, 0
    while some := list(
        IncomingReport.objects.filter(state=State.WAITING, pk__gt=last)
        .order_by("pk")
        .select_related("content", "domain")[:SLICE]
    ):
        for incoming in some:
            last = incoming.pk
            count += read_one(incoming, now)
    return count


def read_one(incoming: IncomingReport, now: datetime) -> bool:
    """Reads one report and notes what came of it; False when it has to wait for the disk or the database."""
    incoming.attempt_count += 1
    incoming.save(update_fields=["attempt_count"])
    try:
        if incoming.attempt_count > MAX_ATTEMPTS:
            raise ReportError(f"reading it was broken off {MAX_ATTEMPTS} times")
        _verify(incoming)
        _read(incoming, now)
        _settle(incoming, State.READ)
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


def _settle(incoming: IncomingReport, state: str, reason: str = "") -> None:
    incoming.state, incoming.reason, incoming.read_at = state, reason[:300], datetime.now(UTC)
    incoming.save(update_fields=["state", "reason", "read_at", "is_verified", "sender_domain"])


def _verify(incoming: IncomingReport) -> None:
    """Notes whose mail it is, and whether that was proved."""
    story = Story.objects.filter(pk=incoming.story_id or 0).first()
    if story is None:
        return
    if story.kind != Story.Kind.INBOUND:
        # Our own users' mail, and what we make ourselves: From was checked, nobody else could have sent it.
        incoming.is_verified, incoming.sender_domain = True, _author_domain(story)
        return
    found = decode(_data(story).get("authentication"))
    if found is not None:
        incoming.sender_domain = found.dmarc.from_domain
        incoming.is_verified = found.is_author_authentic


def _author_domain(story: Story) -> str:
    return story.from_text.rpartition("@")[2].rstrip("> ").lower()[:253]


def _data(story: Story) -> dict[str, Any]:
    try:
        data = json.loads(story.data)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _read(incoming: IncomingReport, now: datetime) -> None:
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
    match find_report(octets, _parts(content)):
        case ReportFile(Format.DMARC, file):
            import_report(incoming, partial(chunks, file), now)
        case ReportFile(Format.TLS, file):
            import_tls_report(incoming, file, now)
        case FailureParts() as parts:
            _import_failure(incoming, parts, now)


def _parts(content: Content) -> Part:
    """The message's tree of parts; of one that the store gave up on, the whole as one part."""
    try:
        return decode_parts(bytes(content.parts))
    except ValueError:
        return Part(PartKind.SINGLE, 0, content.header_octets, content.size_octets)


def _import_failure(incoming: IncomingReport, parts: FailureParts, now: datetime) -> None:
    facts = read_failure_report(parts.feedback, parts.message)
    with transaction.atomic():
        # Broken off after this, it is read again.
        FailureReport.objects.filter(incoming=incoming).delete()
        FailureReport.objects.create(
            domain=hosted_domain_of(facts.reported_domain),
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
