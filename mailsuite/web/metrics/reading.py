"""The figures of the metrics page, each read by one short query on the reader alias. Plain values out."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain

from django.conf import settings
from django.db.models import Count, Min, Q, QuerySet, Sum

from mailsuite.abuse.alarms import open_alarms
from mailsuite.abuse.models import Alarm
from mailsuite.access.models import Ban
from mailsuite.directory.models import Domain, Login, Mailbox
from mailsuite.ids import first_id
from mailsuite.jobs.overview import overview
from mailsuite.junk.models import Lesson
from mailsuite.queue.models import DeliveryAttempt, QueuedMessage
from mailsuite.records.models import DnsCheck
from mailsuite.server.suite_state import read_state
from mailsuite.store.models import Usage
from mailsuite.tls import certificate_end
from mailsuite.trace.models import Event, RefusalCount, Story
from mailsuite.web.metrics.tally import DayTally, Key

Rows = Iterator[tuple[Key, int]]
SIGNED_IN = "ok"


def _messages(since: datetime, until: datetime) -> Rows:
    rows = Story.objects.using("reader").filter(pk__gte=first_id(since), pk__lt=first_id(until))
    return _counted(rows, "kind", "outcome", "reason")


def _refusals(since: datetime, until: datetime) -> Rows:
    """Those that have a story, and those that came too fast for one each."""
    rows = Story.objects.using("reader").filter(pk__gte=first_id(since), pk__lt=first_id(until))
    told = _counted(rows.exclude(outcome=Story.Outcome.ACCEPTED), "reason")
    gathered = RefusalCount.objects.using("reader").filter(minute__gte=since, minute__lt=until).order_by()
    sums = gathered.values_list("reason").annotate(n=Sum("count"))
    return _summed(chain(told, (((reason,), count) for reason, count in sums)))


def _events(since: datetime, until: datetime) -> Rows:
    rows = Event.objects.using("reader").filter(pk__gte=first_id(since), pk__lt=first_id(until))
    return _counted(rows, "kind", "reason")


def _attempts(since: datetime, until: datetime) -> Rows:
    rows = DeliveryAttempt.objects.using("reader").filter(pk__gte=first_id(since), pk__lt=first_id(until))
    return _counted(rows.exclude(ended_at=None), "outcome")


def _logins(since: datetime, until: datetime) -> Rows:
    rows = Login.objects.using("reader").filter(at__gte=since, at__lt=until).order_by()
    sums = rows.values_list("protocol", "succeeded", "reason").annotate(n=Sum("times"))
    return _summed(((protocol, SIGNED_IN if well else reason), count) for protocol, well, reason, count in sums)


def _counted(rows: QuerySet[Story] | QuerySet[Event] | QuerySet[DeliveryAttempt], *columns: str) -> Rows:
    for *key, count in rows.order_by().values_list(*columns).annotate(n=Count("pk")):
        yield tuple(key), count


def _summed(rows: Iterator[tuple[Key, int]]) -> Rows:
    sums: dict[Key, int] = {}
    for key, count in rows:
        sums[key] = sums.get(key, 0) + count
    return iter(sums.items())


MESSAGES = DayTally(_messages)
REFUSALS = DayTally(_refusals)
EVENTS = DayTally(_events)
ATTEMPTS = DayTally(_attempts)
LOGINS = DayTally(_logins)


def queue(now: datetime) -> dict[str, tuple[int, float]]:
    """By state: how many messages, and for how many seconds the oldest has been there."""
    rows = QueuedMessage.objects.using("reader").filter(settled_at=None)
    waiting, held = Q(held_at=None), Q(held_at__isnull=False)
    found = rows.aggregate(
        waiting=Count("pk", filter=waiting),
        held=Count("pk", filter=held),
        oldest_waiting=Min("created_at", filter=waiting),
        oldest_held=Min("held_at", filter=held),
    )
    return {state: (found[state], _age(found[f"oldest_{state}"], now)) for state in ("waiting", "held")}


def _age(moment: datetime | None, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds()) if moment else 0.0


def bans(now: datetime) -> dict[str, int]:
    """How many are in force, by reason."""
    in_force = Ban.objects.using("reader").filter(Q(ends_at=None) | Q(ends_at__gt=now)).order_by()
    return _by_choice(Ban.Reason.values, in_force.values_list("reason").annotate(n=Count("pk")))


def alarms(now: datetime) -> dict[str, int]:
    """How many are open, by kind."""
    rows = open_alarms(now, None).order_by()
    return _by_choice(Alarm.Kind.values, rows.values_list("kind").annotate(n=Count("pk")))


def mailboxes() -> dict[str, int]:
    """How many there are, by state."""
    rows = Mailbox.objects.using("reader").order_by()
    return _by_choice(Mailbox.State.values, rows.values_list("state").annotate(n=Count("pk")))


def _by_choice(values: list[str], rows: Iterable[tuple[str, int]]) -> dict[str, int]:
    """With a zero for what there is none of, so that an alert's expression always finds its series."""
    return dict.fromkeys(values, 0) | dict(rows)


def stored() -> tuple[int, int]:
    """Messages and octets in all mailboxes."""
    sums = Usage.objects.using("reader").aggregate(messages=Sum("message_count"), octets=Sum("used_octets"))
    return sums["messages"] or 0, sums["octets"] or 0


def dns_scores() -> list[tuple[str, int]]:
    """Of each active domain that was looked at, of 100."""
    looks = DnsCheck.objects.using("reader").filter(domain__state=Domain.State.ACTIVE).exclude(score=None)
    return list(looks.order_by("domain__name").values_list("domain__name", "score"))  # type: ignore[arg-type]


def judgements(now: datetime) -> dict[str, int]:
    """What owners said today, by word."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    rows = Lesson.objects.using("reader").filter(at__gte=midnight).order_by()
    return {"junk": 0, "wanted": 0} | dict(rows.values_list("word").annotate(n=Count("pk")))


def certificate_ends_at() -> datetime | None:
    """When the certificate that is served ends; None when it can't be read."""
    return certificate_end(settings.MAILSUITE.certificate)


def restarts() -> dict[str, int]:
    """How often each service ended unasked and was started again, since `up` began; empty where each runs alone."""
    state = read_state(settings.MAILSUITE.data)
    return state.restarts if state else {}


def jobs() -> dict[str, tuple[float, float, int]]:
    """Of each job that has run: when (Unix time), for how many seconds, and how often it has failed since it worked."""
    runs = {line.job.name: line.run for line in overview()}
    return {name: (run.started_at.timestamp(), run.seconds, run.failures) for name, run in runs.items() if run}
