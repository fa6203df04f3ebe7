"""Sending aggregate reports through the queue (RFC 9990 §3.5).

They are sent from a domain of ours whose DKIM record was seen in DNS, so that the mail itself passes DMARC, and with
the null reverse-path: nothing comes back, and what becomes of it shows in the queue.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings

from mailsuite.database import stored_time
from mailsuite.directory import lookup
from mailsuite.ids import reference
from mailsuite.mail.address import Address
from mailsuite.mailauth.dmarc import TemporaryError
from mailsuite.mailauth.report_destinations import Destinations, find_destinations
from mailsuite.pipeline import own_mail
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.own_mail import SIGNED_MAIL, OwnMail
from mailsuite.pipeline.parties import Program
from mailsuite.pipeline.transaction import Note
from mailsuite.reports.models import OutgoingReport
from mailsuite.reports.preparing import SPREAD, head_of, report_settings
from mailsuite.reports.report_message import Carried, compose
from mailsuite.resolver.answers import Resolver
from mailsuite.resolver.dns_resolver import DnsResolver
from mailsuite.store.filing import already_delivered
from mailsuite.writer.operation import Refused, StoreBug
from mailsuite.writer.run import execute

RETRIES = (timedelta(hours=1), timedelta(hours=2), timedelta(hours=4), timedelta(hours=8))
EXPIRES_AFTER = timedelta(days=2)
SENT_AT_ONCE = 200
# What most hosts take; ours takes less of others.
MAX_MAIL_OCTETS = 10 * 1024 * 1024
# Questions to DNS for so many reports are under way at a time.
AT_ONCE = 10
State = OutgoingReport.State


def send_due(now: datetime, make_resolver: Callable[[], Resolver] = lambda: _resolver()) -> int:
    """Sends the reports whose time has come; returns how many. For the periodic work."""
    if not report_settings().sends_dmarc:
        return 0
    by_now = stored_time.due("next_attempt_at", now, max(*RETRIES, SPREAD))
    due = list(OutgoingReport.objects.filter(by_now, state=State.WAITING).order_by("pk")[:SENT_AT_ONCE])
    if not due:
        return 0
    sent = 0
    for report, found in zip(due, asyncio.run(_find_all(due, make_resolver)), strict=True):
        if isinstance(found, TemporaryError):
            _postpone(report, str(found), now)
            continue
        try:
            sent += _send(report, found, now)
        except StoreBug as error:  # one report must not keep the others
            _postpone(report, f"an error of ours, in the log under {error.reference}", now)
    return sent


def _resolver() -> Resolver:
    return DnsResolver(settings.MAILSUITE.resolver)


async def _find_all(
    due: list[OutgoingReport], make_resolver: Callable[[], Resolver]
) -> list[Destinations | TemporaryError]:
    """Where each may be sent, or why that can't be known now."""
    resolver, at_once = make_resolver(), asyncio.Semaphore(AT_ONCE)

    async def find(report: OutgoingReport) -> Destinations | TemporaryError:
        async with at_once:
            try:
                size = len(report.octets or b"") * 4 // 3
                is_last = report.attempt_count >= len(RETRIES)
                rua = report.rua.split("\n")
                return await find_destinations(resolver, report.policy_domain, rua, size, is_last=is_last)
            except TemporaryError as error:
                return error

    return await asyncio.gather(*map(find, due))


def _postpone(report: OutgoingReport, reason: str, now: datetime) -> None:
    if report.attempt_count >= len(RETRIES):
        return _settle(report, State.SKIPPED, reason)
    report.next_attempt_at = now + RETRIES[report.attempt_count]
    report.attempt_count += 1
    report.reason = reason[:300]
    report.save(update_fields=["next_attempt_at", "attempt_count", "reason"])


def _settle(report: OutgoingReport, state: str, reason: str = "") -> None:
    report.state, report.reason, report.octets = state, reason[:300], None
    report.save(update_fields=["state", "reason", "octets", "recipients", "sent_at"])


def _send(report: OutgoingReport, found: Destinations, now: datetime) -> int:
    """Files the mail in the queue; its story's id, drawn with the report, lets it be filed but once."""
    refused = "; ".join(found.refused)
    if not found.accepted:
        _settle(report, State.SKIPPED, refused or "its record names no address")
        return 0
    if report.octets is None or len(report.octets) > MAX_MAIL_OCTETS * 3 // 4:
        _settle(report, State.SKIPPED, "it is too large to be mailed")
        return 0
    report.recipients = ", ".join(str(one.address) for one in found.accepted)
    is_filed = already_delivered(report.story_id)
    if not is_filed and (problem := _file(report, [one.address for one in found.accepted], now)):
        _postpone(report, problem, now)
        return 0
    report.sent_at = now
    _settle(report, State.SENT, refused)
    return 1


def _file(report: OutgoingReport, addresses: list[Address], now: datetime) -> str:
    """Why the mail can't be filed, "" when it is."""
    hosted = lookup.hosted_domain(report.submitter)
    if hosted is None or hosted.is_disabled:
        return f"{report.submitter} is not hosted any more"
    octets = compose(
        Carried(
            submitter=report.submitter,
            head=head_of(report),
            unique_id=reference(report.pk),
            octets=bytes(report.octets or b""),
            recipients=tuple(map(str, addresses)),
            message_count=report.message_count,
            now=now,
        )
    )
    destinations = own_mail.destinations_of(addresses, elsewhere=True)
    if destinations.is_empty:
        return "none of its addresses exists here"
    program, note = Program(report.submitter, hosted.domain_id), Note("dmarc-report")
    mail = OwnMail(octets, program, now, note, story_id=report.story_id, expires_after=EXPIRES_AFTER)
    delivery = own_mail.compose(mail, destinations, SIGNED_MAIL)
    if isinstance(delivery, Refusal):
        return delivery.reply.text
    try:
        execute(delivery)
    except Refused as refusal:
        # A mailbox that was to get it was removed just now: its addresses are looked up anew.
        return str(refusal)
    return ""
