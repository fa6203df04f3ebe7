"""Who is told what became of queued mail: delivery status notifications (RFC 3464), filed like any received message.

They have the null reverse-path, so that nothing ever bounces about them, and mail that came with it is never answered.
A sender with a mailbox here gets them there; one whose mail was forwarded is reached by way of the SRS address, which
the directory turns back (mailsuite.directory.lookup). A sender who is neither is told nothing: the story is all that
remains.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from django.conf import settings

from mailsuite.directory import lookup
from mailsuite.ids import new_id, reference
from mailsuite.mail.address import Address, AddressError, parse_path
from mailsuite.mail.dsn import MAX_RETURNED_OCTETS, Action, DsnRecipient, DsnReport, build_dsn
from mailsuite.mail.encoded_word import decode_text
from mailsuite.mail.header import collect_fields, header_end
from mailsuite.pipeline import own_mail
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.own_mail import OwnMail
from mailsuite.pipeline.parties import Program
from mailsuite.pipeline.transaction import Note
from mailsuite.queue.operations import Claim
from mailsuite.queue.outcomes import Fate
from mailsuite.store.operations import Deliver
from mailsuite.trace.operations import EventFacts
from mailsuite.writer.storage import mail_storage

logger = logging.getLogger(__name__)

_MAX_HEADER_OCTETS = 64 * 1024
# What a NOTIFY parameter calls an action (RFC 3461 §4.1); without the parameter these two are told.
_NOTIFY_WORDS = {
    Action.FAILED: "FAILURE",
    Action.DELAYED: "DELAY",
    Action.DELIVERED: "SUCCESS",
    Action.RELAYED: "SUCCESS",
}
_TOLD_BY_DEFAULT = frozenset({Action.FAILED, Action.DELAYED})


def is_wanted(claim: Claim, action: Action) -> bool:
    """Whether the sender wants to hear of this action (RFC 3461 §4.1) and can be told at all."""
    if not claim.envelope.reverse_path:
        return False
    if not claim.recipient.dsn_notify:
        return action in _TOLD_BY_DEFAULT
    return _NOTIFY_WORDS.get(action) in claim.recipient.dsn_notify.upper().split(",")


def compose_notifications(fates: Iterable[Fate], now: datetime) -> list[Deliver]:
    """The deliveries that tell the sender of one message of these fates: one for each action.

    Fates that nobody wants to hear of are passed over.
    """
    wanted = [fate for fate in fates if is_wanted(fate.claim, fate.action)]
    by_action = {action: [fate for fate in wanted if fate.action is action] for action in Action}
    found = (_compose(some, now) for some in by_action.values() if some)
    return [delivery for delivery in found if delivery]


def _compose(fates: Sequence[Fate], now: datetime) -> Deliver | None:
    claim, story_id = fates[0].claim, new_id()
    sender = _sender(claim.envelope.reverse_path)
    if sender is None:
        return None
    destinations = own_mail.destinations_of([sender])
    destinations.reports.clear()
    if destinations.is_empty:
        logger.warning("%s can't be told of its mail's fate: it has no mailbox here", claim.envelope.reverse_path)
        return None
    hosted = lookup.hosted_domain(sender.domain)
    program = Program(hosted.canonical if hosted else settings.MAILSUITE.hostname, hosted.domain_id if hosted else None)
    octets = _message(fates, claim.envelope.reverse_path, program.domain, story_id, now)
    reason, to = str(fates[0].action), claim.envelope.reverse_path
    domain_ids = dict.fromkeys(part.domain_id for part in destinations.forwards.values())
    events = [EventFacts("notified", to, reason, "", domain_id) for domain_id in domain_ids]
    note = Note(reason, {"about": reference(claim.story_id)} if claim.story_id else {}, events)
    found = own_mail.compose(OwnMail(octets, program, now, note, story_id=story_id), destinations)
    return None if isinstance(found, Refusal) else found


def _sender(reverse_path: str) -> Address | None:
    try:
        return parse_path(f"<{reverse_path}>").address
    except AddressError:
        return None


def _message(fates: Sequence[Fate], to_address: str, from_domain: str, story_id: int, now: datetime) -> bytes:
    claim = fates[0].claim
    original = _original(claim)
    fields = collect_fields(original[: header_end(original, 0, len(original))])
    hostname = settings.MAILSUITE.hostname
    recipients = tuple(
        DsnRecipient(
            address=fate.claim.recipient.forward_path,
            action=fate.action,
            status=fate.status,
            remote_host=fate.remote_host or None,
            diagnostic=fate.diagnostic or None,
            original_recipient=_from_xtext(fate.claim.recipient.dsn_orcpt) or None,
            last_attempt_at=now,
            will_retry_until=fate.retry_until,
        )
        for fate in fates
    )
    return build_dsn(
        DsnReport(
            hostname=hostname,
            from_address=f"postmaster@{from_domain}",
            to_address=to_address,
            recipients=recipients,
            original=original,
            original_message_id=b"".join(fields.get(b"message-id", [b""])[:1]).decode("ascii", "replace").strip(),
            original_subject=decode_text(fields.get(b"subject", [b""])[0], 200),
            arrived_at=claim.created_at.astimezone(UTC),
            now=now,
            message_id=f"<{reference(story_id)}.dsn@{from_domain}>",
            boundary_seed=reference(story_id),
            envelope_id=_from_xtext(claim.envelope.dsn_envid) or None,
            returns_header_only=claim.envelope.dsn_ret.upper() == "HDRS" or claim.size_octets > MAX_RETURNED_OCTETS,
            smtputf8=claim.envelope.smtputf8,
        )
    )


def _original(claim: Claim) -> bytes:
    """The message as it was sent, or of a large one its header; nothing when it can't be read."""
    try:
        with mail_storage().open(claim.blob) as blob:
            small = claim.size_octets <= MAX_RETURNED_OCTETS
            octets = claim.prefix + blob.read(0, None if small else _MAX_HEADER_OCTETS + 1)
    except OSError as error:
        logger.error("%s can't be read for a notification: %s", claim.blob, error)
        return claim.prefix + b"\r\n"
    return octets if small else octets[: header_end(octets, 0, len(octets))]


def _from_xtext(text: str) -> str:
    """The clear form of an ORCPT or ENVID parameter (RFC 3461 §4)."""
    head, *rest = text.split("+")
    try:
        return head + "".join(chr(int(part[:2], 16)) + part[2:] for part in rest)
    except ValueError:
        return text
