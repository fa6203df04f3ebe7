"""What a delivery means for its recipient's row and for the sender: pure rules over one outcome."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from mailsuite.mail.dsn_report import Action
from mailsuite.mail.known_replies import known
from mailsuite.queue.operations import AttemptResult, Claim
from mailsuite.queue.outcomes import Fate as Told
from smtpd_service.outbound.courier import Delivery
from smtpd_service.outbound.retry import RetryPlan, in_time_to_warn, is_warning_due
from smtpd_service.outbound.transaction import Fate


@dataclass(frozen=True, slots=True)
class Verdict:
    """A row's result, and what the sender may hear of it."""

    result: AttemptResult
    told: Told | None = None


def judge(
    claim: Claim,
    delivery: Delivery,
    *,
    relayed: bool,
    now: datetime,
    plan: RetryPlan,
    random: Callable[[], float],
) -> Verdict:
    """Return what to write and tell of one recipient's delivery. `relayed` says that a route's host took it, who has
    yet to deliver it; a host that speaks DSN tells of success itself (RFC 3461 §5.2.2)."""
    outcome = delivery.outcome
    match outcome.fate:
        case Fate.DELIVERED:
            action = Action.DELIVERED if delivery.arrival else Action.RELAYED
            told = None if delivery.offers_dsn else _told(claim, delivery, action, outcome.status)
            return Verdict(_result(claim, delivery, "relayed" if relayed else "delivered", outcome.reason), told)
        case Fate.NEVER:
            told = _told(claim, delivery, Action.FAILED, outcome.status)
            return Verdict(_result(claim, delivery, "failed", outcome.reason), told)
    again = plan.next_attempt(claim.attempt_count, now, claim.envelope.expires_at, random)
    if again is None:
        # RFC 3463 §3.5: X.4.7, the time for delivery is over.
        told = _told(claim, delivery, Action.FAILED, "4.4.7")
        return Verdict(_result(claim, delivery, "failed", "expired"), told)
    if is_warning_due(claim.created_at, now, warned=claim.warned):
        told = _told(claim, delivery, Action.DELAYED, outcome.status, claim.envelope.expires_at)
        return Verdict(_result(claim, delivery, "queued", outcome.reason, again, warned=True), told)
    again = in_time_to_warn(again, claim.created_at, now, warned=claim.warned, random=random)
    return Verdict(_result(claim, delivery, "queued", outcome.reason, again))


def bare(verdict: Verdict) -> Verdict:
    """Return the verdict without a word of another host's, and telling nobody: all that must be known not to deliver
    again, should a word be what can't be written."""
    result = msgspec.structs.replace(
        verdict.result, reply="", dialog="", remote_host="", remote_address="", tls="", code=None, enhanced_code=""
    )
    return Verdict(result)


def _result(
    claim: Claim, delivery: Delivery, state: str, reason: str, again: datetime | None = None, *, warned: bool = False
) -> AttemptResult:
    outcome, endpoint = delivery.outcome, delivery.endpoint
    # What the host's words mean says more than the command that they answered.
    meant = known(outcome.text) if outcome.code and outcome.fate is not Fate.DELIVERED and reason != "expired" else None
    return AttemptResult(
        recipient_id=claim.recipient_id,
        state=state,
        reply=outcome.text,
        next_attempt_at=again,
        code=outcome.code,
        enhanced_code=outcome.status,
        remote_host=endpoint.host[:255] if endpoint else "",
        remote_address=endpoint.address if endpoint else "",
        tls=delivery.tls[:100],
        dialog=delivery.dialog,
        reason=meant.reason if meant else reason[:40],
        warned=warned,
        arrival=delivery.arrival,
    )


def _told(claim: Claim, delivery: Delivery, action: Action, status: str, until: datetime | None = None) -> Told:
    host = delivery.endpoint.host if delivery.endpoint and delivery.outcome.code else ""
    return Told(claim, action, status, delivery.outcome.text, host, until)
