"""What an administrator chooses for a domain's records, and the stages of its DMARC policy: each step up is backed by
what others report, and none is ever taken, up or down, by itself."""

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from mailsuite.directory.models import Domain
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused
from mailsuite.records.models import DomainPolicy
from mailsuite.reports.sentences import percent
from mailsuite.reports.services import ENOUGH_DAYS, ENOUGH_SHARE, Evidence, evidence

STAGES = tuple(DomainPolicy.DmarcStage)
# Reports of two weeks meet the newsletters and bills that go out but once in a while.
DAYS = 14


@dataclass(frozen=True, slots=True)
class Advice:
    """`stage` and `next_stage` are values of DmarcStage, `next_stage` "" at the last; `is_safe` says that the reports
    speak for the step, `text` what they say."""

    stage: str
    next_stage: str
    is_safe: bool
    text: str


def policy_of(domain: Domain) -> DomainPolicy:
    """What was chosen for the domain; a row of defaults, not saved, where nothing was."""
    return DomainPolicy.objects.filter(domain=domain).first() or DomainPolicy(domain=domain)


def advise(domain: Domain, stage: str) -> Advice:
    """What the domain's reports allow."""
    position = STAGES.index(DomainPolicy.DmarcStage(stage))
    if position == len(STAGES) - 1:
        return Advice(stage, "", True, "DMARC is as strict as it gets: forged mail is refused.")
    found = evidence(domain.pk, DAYS)
    doubt = _doubt(found)
    return Advice(stage, STAGES[position + 1], not doubt, doubt or _praise(found))


def advance_dmarc(domain_id: int) -> str:
    """One stage stricter; returns the new stage. The record has to be published before anything changes."""
    return _move(domain_id, 1)


def retreat_dmarc(domain_id: int) -> str:
    """One stage softer; only ever by a person's wish."""
    return _move(domain_id, -1)


def choose(domain_id: int, *, mode: str | None = None, rotation_months: int | None = -1) -> None:
    """Sets what is given; `rotation_months` None for the site's. Raises ChangeRefused for a mode there is not."""
    if mode is not None and mode not in DomainPolicy.Mode.values:
        raise ChangeRefused(f"{mode!r} is none of {', '.join(DomainPolicy.Mode.values)}.")
    if rotation_months is not None and not -1 <= rotation_months <= 60:
        raise ChangeRefused("Keys may be changed every 1 to 60 months, or 0 for by hand.")
    with transaction.atomic():
        policy = _locked(domain_id)
        if mode is not None:
            policy.mode = mode
        if rotation_months != -1:
            policy.rotation_months = rotation_months
        policy.save()


def _move(domain_id: int, step: int) -> str:
    with transaction.atomic():
        policy = _locked(domain_id)
        position = STAGES.index(DomainPolicy.DmarcStage(policy.dmarc_stage)) + step
        if not 0 <= position < len(STAGES):
            raise ChangeRefused("There is no further stage.")
        policy.dmarc_stage, policy.dmarc_changed_at = STAGES[position], timezone.now()
        policy.save()
    return policy.dmarc_stage


def _locked(domain_id: int) -> DomainPolicy:
    domain = Domain.objects.select_for_update().get(pk=domain_id)
    touch_directory()
    return policy_of(domain)


def _doubt(found: Evidence) -> str:
    """Why the step is too early; "" when nothing speaks against it."""
    if not found.messages:
        return (
            "No reports have come yet: publish the DMARC record and wait, receivers send one a day. A domain that "
            "sends very little may never get any."
        )
    if not found.sources:
        return "Wait: nobody who sends as this domain is authenticated. Set up SPF and DKIM first."
    if found.aligned_share < ENOUGH_SHARE:
        who = ", ".join(found.sources_failing[:3])
        fails = f" Mail from {who} fails: where it is yours, let it sign with DKIM, or allow it in SPF, first."
        share = f"Wait: only {percent(found.aligned_share)} of the mail that seems to be yours passes."
        return share + (fails if who else "")
    if found.days_reported < ENOUGH_DAYS:
        return f"Wait a little: there are reports of {found.days_reported} days, and {ENOUGH_DAYS} should speak for it."
    return ""


def _praise(found: Evidence) -> str:
    forged = f", and {found.unauthenticated} forged ones were seen" if found.unauthenticated else ""
    who = ", ".join(found.sources_failing[:3])
    fails = f" Where {who} is yours, let it sign with DKIM, or allow it in SPF, first: its mail fails." if who else ""
    return (
        f"Safe to go on: {found.reporters or 'Some'} receivers reported {found.messages} messages in {DAYS} days, "
        f"{percent(found.aligned_share)} of yours pass{forged}.{fails}"
    )
