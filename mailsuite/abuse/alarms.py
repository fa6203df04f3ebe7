"""What a stolen password looks like, noticed within a minute or so: a row, a mail to the administrators, and a line on
the admin's first page with a button that suspends the mailbox."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet
from django.utils import timezone

from mailsuite.abuse.models import Alarm, SendingDay, SendingSettings
from mailsuite.abuse.sending import Caps, caps_of
from mailsuite.abuse.telling import Matter, tell
from mailsuite.directory.models import Login, Mailbox
from mailsuite.ids import first_id
from mailsuite.mail.client_network import Reach, network_around
from mailsuite.trace.models import Event

LATELY = timedelta(hours=1)
# So many networks within an hour are no traveller's.
MANY_NETWORKS = 8
MANY_BOUNCES = 20
# What is sent is sudden when it is so much, and more than so many times what went on the busiest day that is known
# (90 are kept, so that a newsletter that goes out each month is no news).
MUCH, TIMES = 100, 5
WHAT = ("messages", "recipients new to it")
# Of a mailbox made lately nobody knows what is usual: its first newsletter goes to the whole club, and everybody is
# new to it. There much is this share of its caps; an old mailbox that wakes up gets no such credit.
NEW_FOR, NEW_SHARE = timedelta(days=28), 0.5
SHOWN_FOR = timedelta(days=7)
KEPT = timedelta(days=90)

TEXT = """\
{address} {what}:

    {text}

If you know why, all is well: dismiss the alarm in the admin (Alarms). If not,
somebody else may know its password: the admin's first page and the alarm's
have a button that suspends the mailbox and holds its mail; in the shell that
is manage.py mailbox suspend {address}

Suspended, nobody gets in, by app passwords neither. Before you resume it, set
a new password and revoke its app passwords: whoever knew the old password may
have made one for themselves. Its page has both; in the shell:

    manage.py mailbox password {address}
    manage.py mailbox revoke-app-passwords {address}
"""

Finding = tuple[int, Alarm.Kind, str]


def watch(now: datetime) -> int:
    """Raises an alarm for each thing that was not seen today yet; returns how many."""
    found = [*_over_cap(now), *_many_networks(now), *_bounces(now), *_volume(now)]
    return sum(_raise(finding, now) for finding in found)


def open_alarms(now: datetime, domain_ids: Collection[int] | None) -> QuerySet[Alarm]:
    """Alarms of mailboxes that are still active, newest first; of these domains, None for all."""
    rows = Alarm.objects.using("reader").filter(dismissed_at=None, raised_at__gt=now - SHOWN_FOR)
    rows = rows.filter(mailbox__state=Mailbox.State.ACTIVE).select_related("mailbox").order_by("-raised_at", "-pk")
    return rows if domain_ids is None else rows.filter(mailbox__domain__in=domain_ids)


def dismiss(alarm_ids: Collection[int]) -> int:
    """Has people look at these no longer; returns how many were open."""
    return Alarm.objects.filter(pk__in=alarm_ids, dismissed_at=None).update(dismissed_at=timezone.now())


def forget_old(now: datetime) -> int:
    """Deletes alarms of long ago; returns how many. For the periodic work."""
    # On a day to come, by a clock that was ahead, it would be taken for told already.
    ahead = Q(day__gt=(now + timedelta(days=1)).date())
    return Alarm.objects.filter(Q(raised_at__lt=now - KEPT) | ahead).delete()[0]


def _raise(finding: Finding, now: datetime) -> int:
    mailbox_id, kind, text = finding
    alarm, is_new = Alarm.objects.get_or_create(
        mailbox_id=mailbox_id, kind=kind, day=now.date(), defaults={"raised_at": now, "text": text}
    )
    if kind == Alarm.Kind.OVER_CAP:
        # The store raises it with the first message that it holds (mailsuite.abuse.sending); it tells what is so now.
        # Administrators are told of what is held anyway (sending_alarms).
        Alarm.objects.filter(pk=alarm.pk, dismissed_at=None).exclude(text=text).update(text=text)
    elif is_new:
        what, address = kind.label, alarm.mailbox.address
        words = TEXT.format(address=address, what=what, text=text)
        mailbox = alarm.mailbox
        tell(Matter(f"{address} {what}", words, "alarm", domain=mailbox.domain, suspect=mailbox), now)
    return int(is_new)


def _over_cap(now: datetime) -> Iterator[Finding]:
    rows = list(_today(now))
    caps = caps_of([row.mailbox_id for row in rows])
    for row in rows:
        if caps[row.mailbox_id].share(row.messages, row.new_recipients) > 1:
            text = caps[row.mailbox_id].tell(row.messages, row.new_recipients)
            yield row.mailbox_id, Alarm.Kind.OVER_CAP, text


def _many_networks(now: datetime) -> Iterator[Finding]:
    """Told of the mailbox whose address was used, or the account's oldest."""
    logins = Login.objects.using("reader").filter(succeeded=True, at__gt=now - LATELY).exclude(user=None).order_by()
    networks: dict[int, set[str]] = defaultdict(set)
    for user_id, address in logins.values_list("user_id", "client_address").distinct():
        assert user_id is not None
        networks[user_id].add(str(network_around(address, Reach.REGION) or ""))
    for user_id, names in networks.items():
        if len(names) >= MANY_NETWORKS:
            used = logins.filter(user=user_id).values("address_key")
            mailboxes = Mailbox.objects.using("reader").filter(user=user_id, state=Mailbox.State.ACTIVE).order_by("pk")
            mailbox = mailboxes.filter(address_key__in=used).first() or mailboxes.first()
            if mailbox:
                yield mailbox.pk, Alarm.Kind.MANY_NETWORKS, f"{len(names)} networks within an hour"


def _bounces(now: datetime) -> Iterator[Finding]:
    first = first_id(now - LATELY)
    failed = Event.objects.using("reader").filter(pk__gte=first, kind="failed").exclude(reason="by-hand")
    failed = failed.exclude(story__sender_mailbox=None).order_by()
    counts = failed.values_list("story__sender_mailbox").annotate(n=Count("pk")).filter(n__gte=MANY_BOUNCES)
    for mailbox_id, count in counts:
        yield mailbox_id, Alarm.Kind.BOUNCES, f"{count} recipients failed within an hour"


def _volume(now: datetime) -> Iterator[Finding]:
    rows = list(_today(now).filter(Q(messages__gte=MUCH) | Q(new_recipients__gte=MUCH)).select_related("mailbox"))
    ids = [row.mailbox_id for row in rows]
    busiest, caps = _busiest(ids, now), caps_of(ids)
    for row in rows:
        much = _much(row.mailbox, caps[row.mailbox_id], now)
        most = busiest.get(row.mailbox_id, (0, 0))
        counts = zip((row.messages, row.new_recipients), most, much, WHAT, strict=True)
        sudden = [
            f"{count} {what} today, {before} on its busiest day before"
            for count, before, enough, what in counts
            if count >= enough and count > before * TIMES
        ]
        if sudden:
            yield row.mailbox_id, Alarm.Kind.VOLUME, "; ".join(sudden)


def _much(mailbox: Mailbox, caps: Caps, now: datetime) -> tuple[float, float]:
    """From how many messages and new recipients on a day may be sudden."""
    if mailbox.created_at <= now - NEW_FOR:
        return MUCH, MUCH
    return (
        max(MUCH, NEW_SHARE * (caps.messages or SendingSettings.MESSAGES)),
        max(MUCH, NEW_SHARE * (caps.new_recipients or SendingSettings.NEW_RECIPIENTS)),
    )


def _busiest(mailbox_ids: Collection[int], now: datetime) -> dict[int, tuple[int, int]]:
    """The most messages and the most new recipients on any day before. A day with an alarm is no measure of what is
    usual, until somebody has dismissed it."""
    before = SendingDay.objects.using("reader").filter(mailbox__in=mailbox_ids, day__lt=now.date())
    doubtful = Alarm.objects.filter(mailbox=OuterRef("mailbox"), day=OuterRef("day"), dismissed_at=None)
    rows = before.exclude(Exists(doubtful)).order_by().values_list("mailbox")
    return {pk: (messages, new) for pk, messages, new in rows.annotate(a=Max("messages"), b=Max("new_recipients"))}


def _today(now: datetime) -> QuerySet[SendingDay]:
    return SendingDay.objects.using("reader").filter(day=now.date())
