"""Settings, DNS lists and first-time pauses: kept, and read back as plain values."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from mailsuite.database.stored_time import within
from mailsuite.directory.cache import CACHE
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused
from mailsuite.mail.address import AddressError, read_domain
from mailsuite.mailauth.dnsbl import ListOutcome, ListStatus, self_test
from mailsuite.resolver.answers import Resolver
from mailsuite.resolver.dns_resolver import DnsResolver
from mailsuite.screening.models import DnsList, ScreeningSettings, SenderPause

TEST_EVERY = timedelta(days=1)
TEST_SECONDS = 2.0
MOST_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class ActiveList:
    """A list that is asked: `weight` is negative where it vouches."""

    list_id: int
    name: str
    zone: str
    weight: float
    vouches: bool
    asks_ipv4: bool
    asks_ipv6: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings row."""

    junk_score: float
    reject_score: float
    greylists_doubtful: bool
    greylist_wait: timedelta
    first_sender_pause: timedelta


def policy() -> Policy:
    """The site's settings, remembered while the directory's version lasts."""
    return CACHE.get("screening-policy", _policy)


def _policy() -> Policy:
    row = ScreeningSettings.objects.using("reader").filter(pk=1).first() or ScreeningSettings(pk=1)
    return Policy(
        row.junk_score,
        row.reject_score,
        row.greylists_doubtful,
        timedelta(minutes=row.greylist_minutes),
        timedelta(minutes=row.first_sender_pause_minutes),
    )


def save_settings(row: ScreeningSettings) -> None:
    """Keeps the settings. Raises ChangeRefused when they make no sense."""
    if not 0 < row.junk_score <= row.reject_score:
        raise ChangeRefused("Junk has to begin above 0, and not above the sum from which mail is refused.")
    if max(row.greylist_minutes, row.first_sender_pause_minutes) > MOST_MINUTES:
        raise ChangeRefused("A pause of more than a day would bounce mail: shorten it.")
    row.pk = 1
    with transaction.atomic():
        row.save()
        touch_directory()


def sender_pause(mailbox_id: int) -> timedelta:
    """How long strangers wait before they may write to this mailbox."""
    pauses = CACHE.get("screening-pauses", _pauses)
    return pauses[mailbox_id] if mailbox_id in pauses else policy().first_sender_pause


def _pauses() -> dict[int, timedelta]:
    rows = SenderPause.objects.using("reader").values_list("mailbox_id", "minutes")
    return {mailbox_id: timedelta(minutes=minutes) for mailbox_id, minutes in rows}


def save_pause(row: SenderPause) -> None:
    if row.minutes > MOST_MINUTES:
        raise ChangeRefused("A pause of more than a day would bounce mail: shorten it.")
    with transaction.atomic():
        row.save()
        touch_directory()


def remove_pause(row: SenderPause) -> None:
    with transaction.atomic():
        row.delete()
        touch_directory()


def active_lists() -> Sequence[ActiveList]:
    """The lists in use, but for those that were found out of order."""
    return CACHE.get("screening-lists", _active_lists)


def _active_lists() -> tuple[ActiveList, ...]:
    rows = DnsList.objects.using("reader").filter(is_active=True).exclude(state=DnsList.State.ERROR)
    return tuple(
        ActiveList(
            row.pk,
            row.name,
            row.zone,
            -abs(row.weight) if row.kind == DnsList.Kind.ALLOW else abs(row.weight),
            row.kind == DnsList.Kind.ALLOW,
            row.asks_ipv4,
            row.asks_ipv6,
        )
        for row in rows
    )


def save_list(row: DnsList) -> None:
    """Keeps a list. What was known of it holds no more when its zone has changed. Raises ChangeRefused."""
    try:
        row.zone = read_domain(row.zone, allow_underscores=True)
    except AddressError as error:
        raise ChangeRefused(f"The zone can't be one. {error}.") from None
    if not 0 < row.weight <= 100:
        raise ChangeRefused("The weight has to be above 0, and 100 at most; what it counts for is told by the kind.")
    if not (row.asks_ipv4 or row.asks_ipv6):
        raise ChangeRefused("The list knows neither IPv4 nor IPv6 addresses: choose at least one of them.")
    before = DnsList.objects.filter(pk=row.pk).values_list("zone", flat=True).first()
    if before != row.zone:
        row.state, row.last_error, row.tested_at = DnsList.State.UNTESTED, "", None
    with transaction.atomic():
        row.save()
        touch_directory()


def remove_list(row: DnsList) -> None:
    with transaction.atomic():
        row.delete()
        touch_directory()


def note_outcome(list_id: int, outcome: ListOutcome, now: datetime) -> None:
    """Keeps what a self-test or a look-up has told of the list itself. DNS's own trouble tells nothing."""
    if outcome.status is ListStatus.TEMPERROR:
        return
    is_error = outcome.status is ListStatus.ERROR
    state = DnsList.State.ERROR if is_error else DnsList.State.GOOD
    with transaction.atomic():
        rows = DnsList.objects.filter(pk=list_id)
        before = rows.values_list("state", flat=True).first()
        rows.update(state=state, last_error=outcome.reason[:300] if is_error else "", tested_at=now)
        if before != state:
            touch_directory()


def test_list(row: DnsList, resolver: Resolver | None = None) -> ListOutcome:
    """Asks the list for its test entries now (RFC 5782 §5), and keeps what came of it."""
    outcome = asyncio.run(_test(row, resolver))
    note_outcome(row.pk, outcome, timezone.now())
    return outcome


async def _test(row: DnsList, resolver: Resolver | None) -> ListOutcome:
    asked = resolver or DnsResolver(settings.MAILSUITE.resolver, deadline_seconds=TEST_SECONDS)
    vouches = row.kind == DnsList.Kind.ALLOW
    return await self_test(asked, row.zone, ipv4=row.asks_ipv4, ipv6=row.asks_ipv6, vouches=vouches)


def test_lists(now: datetime) -> int:
    """The daily self-test of the lists in use, those out of order included; returns how many changed their state."""
    changed = 0
    for row in DnsList.objects.filter(is_active=True):
        if within(row.tested_at, now, TEST_EVERY):
            continue
        before = row.state
        test_list(row)
        row.refresh_from_db()
        changed += row.state != before
    return changed


def lists_out_of_order() -> list[DnsList]:
    """For the overview: what is meant to be asked and isn't."""
    return list(DnsList.objects.using("reader").filter(is_active=True, state=DnsList.State.ERROR))
