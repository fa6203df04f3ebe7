"""What belongs to a domain or a mailbox, beside its form: its mail, addresses, rules, devices, who signed in.

All of it as the lists of the admin show it to the person who looks, and a few rows of each with the way to the list.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Max, Model, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from mailsuite.adminkit.scoping import scope_of
from mailsuite.console.stories import search
from mailsuite.console.stories.badges import shares_as_badges
from mailsuite.directory.models import Alias, Credential, Domain, Login, Mailbox, User
from mailsuite.records.models import DnsCheck
from mailsuite.screening.models import Rule
from mailsuite.signing.models import DkimKey
from mailsuite.store.models import Folder, Message
from mailsuite.trace import fates
from mailsuite.trace.models import Event, Story

SHOWN = 5
# Among so many of an address's newest events the last of each kind is looked for.
LATELY = 200
PROTOCOLS = {"imap": "IMAP", "pop3": "POP3", "smtp": "sending", "web": "web pages"}


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    url: str = ""
    note: str = ""
    at: datetime | None = None
    badges: SafeString | None = None

    @property
    def ago(self) -> str:
        """How long ago that was, roughly."""
        ago = timesince(self.at, depth=1) if self.at else ""
        return "just now" if ago.startswith("0") else f"{ago} ago"


@dataclass(frozen=True, slots=True)
class Part:
    """A card: some lines, or `nothing`; `links` lead to all of it, and to what can be added."""

    title: str
    lines: tuple[Line, ...]
    nothing: str
    links: tuple[tuple[str, str], ...] = ()


def parts_of(request: HttpRequest, row: Any) -> list[Part]:
    """The cards for a row of either kind; none for others, and for what was removed."""
    if getattr(row, "state", "") == "removed":
        return []
    if isinstance(row, Mailbox):
        return [
            _messages(request, row.address),
            *_of_account(request, row),
            _last_mail(row),
            _aliases(
                request,
                visible(request, Alias).filter(targets__address_key=row.address_key, targets__removed_at=None),
                row.address,
                row.domain.name,
            ),
            _rules(request, visible(request, Rule).filter(mailbox=row), "mailbox", row.pk, row.address),
        ]
    if isinstance(row, Domain):
        return [
            _messages(request, row.name),
            _mailboxes(request, row),
            _aliases(request, visible(request, Alias).filter(domain=row), f"@{row.name}", row.name),
            _records(request, row),
            _rules(request, visible(request, Rule).filter(domain=row), "domain", row.pk, row.name),
        ]
    return []


def visible(request: HttpRequest, model: type[Model]) -> QuerySet[Any]:
    """The rows that the model's own list shows to the person."""
    one = admin.site.get_model_admin(model)
    return one.get_queryset(request) if one.has_view_permission(request) else model._default_manager.none()


def _messages(request: HttpRequest, words: str) -> Part:
    """The newest, each with what became of it."""
    scope = scope_of(request)
    stories = list(search.matching(Story.objects.using("reader"), words, scope)[:SHOWN])
    shares = fates.of_stories(stories, scope)
    badges = {pk: shares_as_badges(some) for pk, some in shares.items()}
    lines = tuple(
        Line(story.what, _change(story), "" if story.pk in badges else story.outcome, story.at, badges.get(story.pk))
        for story in stories
    )
    return Part("Messages", lines, "No mail yet.", (("All messages", _list("trace_story", q=words)),))


def _of_account(request: HttpRequest, mailbox: Mailbox) -> list[Part]:
    """What is its account's; nothing where that reaches beyond what the person may know."""
    is_seen = visible(request, User).filter(pk=mailbox.user_id).exists()
    return [_devices(request, mailbox), _sign_ins(request, mailbox)] if is_seen else []


def _devices(request: HttpRequest, mailbox: Mailbox) -> Part:
    """The app passwords in force, each of which is a program or device."""
    found = visible(request, Credential).filter(user=mailbox.user_id, revoked_at=None)
    lines = tuple(
        Line(one.label, _change(one), one.scopes.replace(",", ", "), one.last_used_at)
        for one in found.order_by("-last_used_at")[:SHOWN]
    )
    links = (
        ("All app passwords", _list("directory_credential", q=mailbox.user.email)),
        ("Add one", reverse("admin:directory_credential_add", query={"user": mailbox.user_id})),
    )
    return Part("Devices", lines, "No app passwords: programs use the account's own.", links)


def _sign_ins(request: HttpRequest, mailbox: Mailbox) -> Part:
    """The last time by each way in."""
    logins = visible(request, Login).filter(user=mailbox.user_id, succeeded=True).order_by()
    last = logins.values("protocol").annotate(last=Max("at")).order_by("-last")
    lines = tuple(Line(PROTOCOLS.get(one["protocol"], one["protocol"]), at=one["last"]) for one in last)
    links = (("All logins", _list("directory_login", q=mailbox.user.email)),)
    return Part("Last signed in", lines, "Nobody has signed in yet.", links)


def _last_mail(mailbox: Mailbox) -> Part:
    """The last time by each way that mail takes: to the mailbox, to a program, from it, into a folder by a program."""
    lines = sorted(_last_lines(mailbox), key=lambda line: str(line.at), reverse=True)
    return Part("Last mail", tuple(lines), "None yet.")


def _last_lines(mailbox: Mailbox) -> Iterator[Line]:
    events = Event.objects.using("reader").filter(address_key=mailbox.address_key).order_by("-id")[:LATELY]
    last: dict[str, Event] = {}
    for event in events:
        last.setdefault(event.kind, event)
    for kind, text in (("filed", "Received"), ("fetched", "First fetched")):
        if newest := last.get(kind):
            yield Line(text, reverse("admin:trace_story_change", args=[newest.story_id]), newest.text, newest.at)
    sent = Story.objects.using("reader").filter(sender_key=mailbox.address_key).order_by("-id")[:LATELY]
    if story := next((one for one in sent if one.kind == Story.Kind.SUBMISSION), None):
        yield Line("Sent", _change(story), story.outcome if story.outcome != "accepted" else "", story.at)
    # The newest of each folder, by its index.
    messages = Message.objects.filter(folder=OuterRef("pk")).order_by("-uid")
    folders = (
        Folder.objects.using("reader")
        .filter(mailbox=mailbox)
        .annotate(story=Subquery(messages.values("story_id")[:1]), at=Subquery(messages.values("save_date")[:1]))
    )
    put = [(at, name) for name, story, at in folders.values_list("name", "story", "at") if at and story is None]
    if put:
        at, name = max(put)
        yield Line("Saved by a mail program", "", name, at)


def _mailboxes(request: HttpRequest, domain: Domain) -> Part:
    found = visible(request, Mailbox).filter(domain=domain)
    lines = tuple(
        Line(one.address, _change(one), "" if one.state == Mailbox.State.ACTIVE else one.state, one.login_at)
        for one in found.order_by("address_key")[:SHOWN]
    )
    links = (
        (f"All {found.count()} mailboxes", _list("directory_mailbox", domain__id__exact=domain.pk)),
        ("Add one", reverse("admin:directory_mailbox_add", query={"address": f"@{domain.name}"})),
    )
    return Part("Mailboxes", lines, "None yet.", links)


def _aliases(request: HttpRequest, aliases: QuerySet[Alias], words: str, domain: str) -> Part:
    found = aliases.distinct().order_by("address_key")[:SHOWN]
    lines = tuple(Line(one.address, _change(one), "" if one.is_active else "off") for one in found)
    links = (
        ("All aliases", _list("directory_alias", q=words)),
        ("Add one", reverse("admin:directory_alias_add", query={"address": f"@{domain}"})),
    )
    return Part("Aliases", lines, "None.", links)


def _records(request: HttpRequest, domain: Domain) -> Part:
    """Its DNS, keys and reports."""
    return Part("DNS, keys and reports", tuple(_record_lines(request, domain)), "")


def _record_lines(request: HttpRequest, domain: Domain) -> Iterator[Line]:
    look = DnsCheck.objects.filter(domain=domain).first()
    score = f"{look.score} %" if look and look.score is not None else "not seen yet"
    yield Line("DNS records", reverse("admin:directory_domain_records", args=[domain.pk]), score)
    keys = visible(request, DkimKey).filter(domain=domain)
    yield Line("DKIM keys", _list("signing_dkimkey", q=domain.name), f"{keys.filter(state='active').count()} sign")
    yield Line("Reports about it", reverse("admin:reports_domain", args=[domain.pk]))


def _rules(request: HttpRequest, rules: QuerySet[Rule], field: str, pk: int, words: str) -> Part:
    found = rules.order_by("-pk")[:SHOWN]
    lines = tuple(Line(str(one.value), _change(one), one.action) for one in found)
    links = (
        ("All rules", _list("screening_rule", q=words)),
        ("Add one", reverse("admin:screening_rule_add", query={field: pk})),
    )
    return Part("Rules", lines, "No rules of its own.", links)


def _change(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def _list(name: str, **query: Any) -> str:
    return reverse(f"admin:{name}_changelist", query=query)
