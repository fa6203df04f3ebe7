"""The admin's first page: today's traffic, the queue, and what needs attention, for the domains one may see."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from textwrap import shorten
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Min, Q, QuerySet
from django.db.models.functions import TruncHour
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from mailsuite.abuse import telling
from mailsuite.abuse.admin import SUSPEND
from mailsuite.abuse.alarms import open_alarms
from mailsuite.abuse.host_alarms import listing, problems
from mailsuite.abuse.models import Alarm
from mailsuite.adminkit.scoping import scope_of
from mailsuite.console.notices import Notice, Several, joined
from mailsuite.console.stories.badges import recipients_in_short, shares_as_badges
from mailsuite.directory.models import Domain, LoginThrottle, Mailbox
from mailsuite.ids import first_id
from mailsuite.mail.known_replies import BLOCKLISTED
from mailsuite.provisioning import effects
from mailsuite.queue.kept import held
from mailsuite.queue.models import DeliveryAttempt, QueuedMessage
from mailsuite.records.models import DnsCheck
from mailsuite.screening.services import lists_out_of_order
from mailsuite.trace import fates
from mailsuite.trace.models import RefusalCount, Story
from mailsuite.trace.visibility import Scope, visible
from mailsuite.transport_security.models import DaneLook

HOURS = 24
BRIEF = 140
OLD = timedelta(hours=4)
# When none of so many destinations answers, it is no longer their fault.
FEW = 3
REACH = timedelta(hours=6)
NOTICES = 8
LATEST = 8
# Of a kind, when all are asked for.
MOST = 100
# A domain with less has something to do that matters.
WELL_SCORE = 90
# What the list of domains is sorted by.
MAILBOX_COLUMN, DNS_COLUMN = "3", "5"
CHART_HEIGHT = 120
BAR_WIDTH = 22
GAP = 6
OUTCOMES = ("accepted", "deferred", "refused")


def callback(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Adds what the page shows to its context."""
    scope, now = scope_of(request), timezone.now()
    hours = _hourly(scope, now)
    today = Counter[str]()
    for counts in hours.values():
        today.update(counts)
    context.update(
        {
            "title": "Overview",
            "totals": [(outcome, today[outcome], _story_url(outcome)) for outcome in OUTCOMES],
            "chart": _chart(hours),
            "queue": _queue(scope, now),
            **_notice_context(request, scope, now),
            "latest": _latest(scope),
            "is_superuser": scope is None,
        }
    )
    return context


def _hourly(scope: Scope, now: datetime) -> dict[datetime, Counter[str]]:
    """Messages by outcome for each of the last 24 hours."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    hours = {this_hour - timedelta(hours=back): Counter[str]() for back in range(HOURS - 1, -1, -1)}
    first = next(iter(hours))
    stories = visible(Story.objects.using("reader"), scope).filter(pk__gte=first_id(first))
    rows = stories.order_by().annotate(hour=TruncHour("at")).values_list("hour", "outcome").annotate(n=Count("pk"))
    for hour, outcome, count in rows:
        if hour in hours:
            hours[hour][outcome] += count
    if scope is None:
        # Up to this hour: the next may have begun since, or have on another host's clock.
        minutes = RefusalCount.objects.using("reader").filter(
            minute__gte=first, minute__lt=this_hour + timedelta(hours=1)
        )
        for minute, count in minutes.values_list("minute", "count"):
            hours[minute.replace(minute=0)]["refused"] += count
    return hours


def _latest(scope: Scope) -> list[dict[str, Any]]:
    """The newest messages, each with what became of it."""
    stories = list(visible(Story.objects.using("reader"), scope).order_by("-pk")[:LATEST])
    shares = fates.of_stories(stories, scope)
    return [
        {
            "story": story,
            "badges": shares_as_badges(shares.get(story.pk, [])),
            "to": recipients_in_short(shares.get(story.pk, [])),
        }
        for story in stories
    ]


def _chart(hours: dict[datetime, Counter[str]]) -> dict[str, Any]:
    """Bars for an inline SVG: each hour's outcomes on top of one another."""
    highest = max((sum(counts.values()) for counts in hours.values()), default=0) or 1
    bars = []
    for position, (hour, counts) in enumerate(hours.items()):
        top, parts = float(CHART_HEIGHT), []
        for outcome in OUTCOMES:
            height = counts[outcome] * CHART_HEIGHT / highest
            top -= height
            if height:
                parts.append({"outcome": outcome, "y": f"{top:.1f}", "height": f"{height:.1f}"})
        title = f"{hour:%H}:00 – " + ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES)
        label = f"{hour:%H}" if position % 3 == 0 else ""
        bars.append({"x": position * (BAR_WIDTH + GAP), "parts": parts, "title": title, "label": label})
    return {
        "bars": bars,
        "width": HOURS * (BAR_WIDTH + GAP),
        "height": CHART_HEIGHT,
        "bar_width": BAR_WIDTH,
        "highest": highest if any(bar["parts"] for bar in bars) else 0,
    }


def _queue(scope: Scope, now: datetime) -> dict[str, Any]:
    waiting = _of(QueuedMessage.objects.using("reader").filter(settled_at=None), "domain", scope)
    counts = waiting.aggregate(
        total=Count("pk"), held=Count("pk", filter=~Q(held_at=None)), oldest=Min("created_at", filter=Q(held_at=None))
    )
    url = reverse("admin:queue_queuedmessage_changelist")
    return counts | {"url": url, "is_old": bool(counts["oldest"] and now - counts["oldest"] > OLD)}


def _notice_context(request: HttpRequest, scope: Scope, now: datetime) -> dict[str, Any]:
    """The first notices, or all of them, and how many are left out."""
    found = _notices(scope, now)
    shown = found if request.GET.get("notices") == "all" else found[:NOTICES]
    return {"notices": shown, "more_notices": len(found) - len(shown)}


def _notices(scope: Scope, now: datetime) -> list[Notice]:
    """The most pressing first."""
    found = [*_alarm_notices(scope, now), *_queue_notices(scope, now), *_held_notices(scope, now)]
    found += _kept_notices(scope)
    found += _mailbox_notices(scope)
    found += _domain_notices(scope)
    found += _alias_notices(scope)
    if scope is None:
        found += [Notice("bad", f"{problem.subject}.", "", "") for problem in problems(now)]
        found += [*_teller_notices(), *_reach_notices(now), *_screening_notices()]
        found += [*_dane_notices(), *_blocklist_notices(now)]
        blocked = (
            LoginThrottle.objects.using("reader").filter(blocked_until__gt=now, key__startswith="account:").count()
        )
        if blocked:
            url = reverse("admin:directory_loginthrottle_changelist")
            found.append(Notice("waiting", f"Accounts under attack by wrong passwords: {blocked}.", url, "Look"))
    return sorted(joined(found, MOST), key=lambda notice: notice.tone)


def _teller_notices() -> list[Notice]:
    """Whether alarms reach somebody whom the site named for it."""
    url = reverse("admin:abuse_alarmsettings_changelist")
    if telling.named():
        lost = telling.lost()
        text = f"Alarms are told to {', '.join(lost)}, where nobody reads mail any more."
        found = [Notice("bad", _brief(text), url, "Name somebody else")] if lost else []
        for address, reply in telling.refused().items():
            text = f"The last alarm to {address} was refused: {reply}"
            found.append(Notice("bad", _brief(text), url, "Name somebody else"))
        return found
    if readers := telling.readers():
        text = f"Alarms are told to {', '.join(readers)}, and to nobody when they are about that mailbox: name others."
        return [Notice("waiting", text, url, "Name somebody")]
    return [Notice("bad", f"Alarms may reach nobody by mail: {telling.NOBODY}", url, "Name somebody")]


def _screening_notices() -> list[Notice]:
    return [
        Notice(
            "bad",
            f"The DNS list {row} is switched off: {row.last_error}.",
            reverse("admin:screening_dnslist_change", args=[row.pk]),
            "Look",
        )
        for row in lists_out_of_order()
    ]


def _alarm_notices(scope: Scope, now: datetime) -> list[Notice]:
    """A stolen password, perhaps: one notice for each mailbox, with the button that suspends it."""
    by_mailbox = defaultdict[Mailbox, list[Alarm]](list)
    for alarm in open_alarms(now, scope)[: MOST * len(Alarm.Kind)]:
        by_mailbox[alarm.mailbox].append(alarm)
    return [_alarm_notice(mailbox, some) for mailbox, some in list(by_mailbox.items())[:MOST]]


def _alarm_notice(mailbox: Mailbox, alarms: list[Alarm]) -> Notice:
    text = "; ".join(f"{alarm.get_kind_display()} ({alarm.text})" for alarm in alarms)
    page = reverse("admin:abuse_alarm_change", args=[alarms[0].pk])
    if len(alarms) > 1:
        page = reverse("admin:abuse_alarm_changelist", query={"q": mailbox.address})
    suspend = reverse("admin:abuse_alarm_do", args=[alarms[0].pk, SUSPEND.name])
    return Notice("bad", f"{mailbox} {text}.", page, "Look", ("Suspend it", suspend, SUSPEND.confirm))


def _queue_notices(scope: Scope, now: datetime) -> list[Notice]:
    old = _of(QueuedMessage.objects.using("reader"), "domain", scope)
    count = old.filter(settled_at=None, held_at=None, created_at__lt=now - OLD).count()
    if not count:
        return []
    return [
        Notice(
            "waiting",
            f"Messages that wait for more than four hours: {count}.",
            reverse("admin:queue_queuedmessage_changelist"),
            "Open the queue",
        )
    ]


def _held_notices(scope: Scope, now: datetime) -> list[Notice]:
    """Mail of mailboxes that waits for somebody's word; those with an alarm have their notice."""
    held = _of(QueuedMessage.objects.using("reader").filter(settled_at=None), "sender_mailbox__domain", scope)
    held = held.exclude(held_at=None).exclude(sender_mailbox=None).exclude(sender_mailbox__in=_alarmed(scope, now))
    held = held.exclude(sender_mailbox__state=Mailbox.State.REMOVED).order_by()
    counts = held.values_list("sender_mailbox", "sender_mailbox__address").annotate(n=Count("pk")).order_by("-n")
    held_url = reverse("admin:queue_queuedmessage_changelist", query={"state": "held"})
    return [
        Notice(
            "waiting",
            f"Mail of {address} is held until somebody sends or drops it: {count}.",
            reverse("admin:directory_mailbox_change", args=[pk]),
            "Send or drop it",
            several=Several(
                address, "Mail of {count} mailboxes is held until somebody sends or drops it: {names}.", held_url
            ),
        )
        for pk, address, count in counts[:MOST]
    ]


def _kept_notices(scope: Scope) -> list[Notice]:
    """Mail to postmaster@ and abuse@ that waits for somebody to read it."""
    kept = _of(held(QueuedMessage.objects.using("reader")).exclude(domain__state=Domain.State.REMOVED), "domain", scope)
    held_url = reverse("admin:queue_queuedmessage_changelist", query={"state": "held"})
    counts = kept.order_by().values_list("recipients__forward_path", "domain").annotate(n=Count("pk")).order_by("-n")
    return [
        Notice(
            "waiting",
            f"Nobody reads {address}: mail is kept ({count}) until {'an' if domain else 'a site'} administrator has a "
            f"mailbox{' or an alias has that name' if domain else ''}.",
            reverse("admin:queue_queuedmessage_changelist", query={"state": "held", "q": address}),
            "See what is kept",
            several=Several(
                address, "Nobody reads {names}: mail to {count} such addresses is kept until somebody does.", held_url
            ),
        )
        for address, domain, count in counts[:MOST]
    ]


def _alarmed(scope: Scope, now: datetime) -> list[int]:
    return [alarm.mailbox_id for alarm in open_alarms(now, scope)[: MOST * len(Alarm.Kind)]]


def _reach_notices(now: datetime) -> list[Notice]:
    """Whether no host at all answers: many providers block connections to port 25."""
    lately = DeliveryAttempt.objects.using("reader").filter(pk__gte=first_id(now - REACH))
    tried = lately.exclude(ended_at=None).values("recipient__destination").distinct()
    if lately.exclude(code=None).exists() or tried.count() < FEW:
        return []
    url = reverse("admin:queue_deliveryattempt_changelist")
    return [Notice("bad", "No other host could be reached: does the provider block port 25?", url, "Look")]


def _dane_notices() -> list[Notice]:
    look = DaneLook.objects.using("reader").filter(hostname=settings.MAILSUITE.hostname).first()
    if look is None:
        return []
    url = reverse("admin:transport_security_danelook_change", args=[look.pk])
    found = []
    if look.state == DaneLook.State.MISMATCH:
        found.append(
            Notice("bad", "DANE: no TLSA record matches this host's key; mail stays away.", url, "See what to do")
        )
    if not look.resolver_validates:
        found.append(Notice("waiting", "DANE is off for outgoing mail: the resolver does not validate.", url, "Look"))
    return found


def _blocklist_notices(now: datetime) -> list[Notice]:
    found = listing(now)
    if found is None:
        return []
    url = reverse("admin:trace_story_changelist", query={"reason": BLOCKLISTED.reason})
    text = f"This host's address is on a block list, by the word of {found.whose}: {_brief(found.said)}"
    return [Notice("bad", text, url, "See the mail")]


def _mailbox_notices(scope: Scope) -> list[Notice]:
    mailboxes = _of(Mailbox.objects.using("reader").exclude(state=Mailbox.State.REMOVED), "domain", scope)
    full = mailboxes.filter(quota_octets__gt=0, usage__used_octets__gte=F("quota_octets") * 9 / 10)
    full_url = reverse("admin:directory_mailbox_changelist", query={"o": "-3"})
    return [
        Notice(
            "bad",
            f"{mailbox.address} is nearly full.",
            reverse("admin:directory_mailbox_change", args=[mailbox.pk]),
            "Change its quota",
            several=Several(mailbox.address, "{count} mailboxes are nearly full: {names}.", full_url),
        )
        for mailbox in full.order_by("-usage__used_octets")[:MOST]
    ]


def _alias_notices(scope: Scope) -> list[Notice]:
    """Aliases whose mail is refused, since what they led to was removed. Roles are read by somebody all the same."""
    aliases = _of(effects.without_target(), "domain", scope)
    aliases_url = reverse("admin:directory_alias_changelist")
    return [
        Notice(
            "bad",
            f"The alias {alias} leads to nobody any more: its mail is refused.",
            reverse("admin:directory_alias_change", args=[alias.pk]),
            "Say where it goes",
            several=Several(alias.address, "{count} aliases lead to nobody any more: {names}.", aliases_url),
        )
        for alias in aliases.order_by("pk")[:MOST]
    ]


def _domain_notices(scope: Scope) -> list[Notice]:
    domains = _of(Domain.objects.using("reader").filter(state=Domain.State.ACTIVE), "pk", scope)
    if scope is None and not domains.exists():
        return [Notice("bad", "No domain is hosted yet.", reverse("admin:directory_domain_add"), "Add a domain")]
    found = [_empty_notice(domain) for domain in _empty(domains)[:MOST]]
    looks = _of(DnsCheck.objects.using("reader").filter(domain__state=Domain.State.ACTIVE), "domain", scope)
    looks = looks.select_related("domain").order_by("score", "pk")
    found += [_worse_notice(look) for look in looks.exclude(worse_since=None)[:MOST]]
    found += [_step_notice(look) for look in looks.filter(worse_since=None, score__lt=WELL_SCORE)[:MOST]]
    found += [_unseen_notice(domain) for domain in domains.filter(dns_check__isnull=True)[:MOST]]
    return found


def _empty(domains: QuerySet[Domain]) -> QuerySet[Domain]:
    counted = domains.filter(alias_of=None).annotate(n=Count("mailboxes", filter=~Q(mailboxes__state="removed")))
    return counted.filter(n=0)


def _empty_notice(domain: Domain) -> Notice:
    """Of a domain without a mailbox; the form knows which domain it is for."""
    add = reverse("admin:directory_mailbox_add", query={"address": f"@{domain}"})
    several = _several(domain, "{count} domains have no mailbox: {names}.", MAILBOX_COLUMN)
    return Notice("bad", f"{domain} has no mailbox.", add, "Add a mailbox", several=several)


def _worse_notice(look: DnsCheck) -> Notice:
    several = _several(
        look.domain,
        f"The DNS of {{count}} domains ({{names}}) got worse: {_of_any(look, look.worse_text)}",
        kind="worse",
    )
    text = f"The DNS of {look.domain} got worse: {_brief(look.worse_text)}"
    return Notice("bad", text, _records(look.domain_id), "Look", several=several)


def _step_notice(look: DnsCheck) -> Notice:
    text = f"The DNS of {{count}} domains ({{names}}): {_of_any(look, look.next_step)}"
    several = _several(look.domain, text, kind="next step")
    text = f"The DNS of {look.domain}: {_brief(look.next_step)}"
    return Notice("waiting", text, _records(look.domain_id), "See its records", several=several)


def _unseen_notice(domain: Domain) -> Notice:
    several = _several(domain, "The DNS records of {count} domains were not seen yet: {names}.")
    text = f"The DNS records of {domain} were not seen yet."
    return Notice("waiting", text, _records(domain.pk), "Publish and check", several=several)


def _several(domain: Domain, text: str, column: str = DNS_COLUMN, kind: str = "") -> Several:
    """With the list of domains, those concerned first."""
    return Several(domain.name, text, reverse("admin:directory_domain_changelist", query={"o": column}), kind=kind)


def _records(domain_id: int) -> str:
    return reverse("admin:directory_domain_records", args=[domain_id])


def _of_any(look: DnsCheck, text: str) -> str:
    """The text as it is for each domain with the same trouble."""
    return _brief(text.replace(look.domain.name, "DOMAIN"))


def _brief(text: str) -> str:
    """As much as tells what it is about; the page that the notice leads to has it all."""
    return shorten(text, BRIEF, placeholder=" …")


def _of(rows: QuerySet[Any], path: str, scope: Scope) -> QuerySet[Any]:
    return rows if scope is None else rows.filter(**{f"{path}__in": scope})


def _story_url(outcome: str) -> str:
    """The messages of the outcome; those that were accepted became several things, so that is all of them."""
    fate = {"fate": outcome} if outcome in fates.Fate.values else {}
    return reverse("admin:trace_story_changelist", query=fate)
