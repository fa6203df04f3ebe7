"""Words and figures on the admin's pages, for somebody who is no mail expert."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets, label_for_field
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape
from django.utils.text import capfirst

from mailsuite.access import bans
from mailsuite.access.models import AllowedNetwork, Ban
from mailsuite.console import theme
from mailsuite.console.search import ROWS_OF_EACH
from mailsuite.console.theme import ENTRIES, PAGES
from mailsuite.directory.models import LoginThrottle
from mailsuite.provisioning import services
from mailsuite.transport_security import schedule
from mailsuite.transport_security.admin import LOOK_SECONDS
from mailsuite.transport_security.models import DaneLook, MtaSts
from mailsuite.transport_security.publishing import tlsa_records, why_no_tlsa

NOW = datetime.now(UTC)
SHORT = {("Removed", "domains"), ("Removed", "mailboxes"), ("Removed", "aliases"), ("Settings", "settings")}


def text(response):
    assert response.status_code == 200
    return response.content.decode()


def page(client, name, *arguments):
    return text(client.get(reverse(f"admin:{name}", args=arguments), follow=True))


@pytest.fixture
def policy(domains):
    return MtaSts.objects.create(domain_id=domains["mine.example"], mode="testing", max_age=604_800)


@pytest.fixture
def look(superuser):
    return DaneLook.objects.create(hostname="mx.example.org", at=NOW, state="mismatch", text="No TLSA record matches")


@pytest.mark.parametrize("tab", PAGES, ids=lambda tab: f"{tab.model}:{tab.title}")
def test_a_list_bears_the_name_that_the_menu_gives_it(tab):
    """Tabs of one entry are told apart by the entry: what was removed, and settings, need no more."""
    name = capfirst(str(apps.get_model(tab.model)._meta.verbose_name_plural))
    assert tab.title == name or (tab.title, name.split()[-1]) in SHORT or tab.url


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.title)
def test_the_page_of_an_entry_says_where_one_is(as_superuser, entry):
    first, text_of = entry.tabs[0], text(as_superuser.get(str(entry.tabs[0].link)))
    title = unescape(text_of.partition("<title>")[2].partition("</title>")[0].strip())
    if len(entry.tabs) == 1:
        assert title.startswith(entry.title)
    assert len(entry.tabs) == 1 or re.search(rf'aria-current="page">{re.escape(escape(first.title))}<', text_of)
    assert text_of.count("<main") == 1


def test_a_page_works_out_no_path_of_the_menu_anew(as_superuser, monkeypatch):
    """The theme compares thousands of links on every page."""
    page = reverse("admin:directory_domain_changelist")
    as_superuser.get(page)
    asked = []
    monkeypatch.setattr(theme, "reverse", lambda name: asked.append(name) or reverse(name))
    assert as_superuser.get(page).status_code == 200 and not asked


def test_the_menu_is_short_and_leads_to_every_list(as_superuser):
    listed = {tab.model for tab in PAGES}
    assert listed == {model._meta.label_lower for model in admin.site._registry}
    assert len(ENTRIES) <= 16


@pytest.mark.parametrize("model", list(admin.site._registry), ids=lambda model: model.__name__)
def test_labels_are_words_that_people_know(superuser, model, rf):
    one, request = admin.site._registry[model], rf.get("/")
    request.user = superuser
    shown = [*one.get_list_display(request), *flatten_fieldsets(one.get_fieldsets(request, None))]
    written = {name: field.label or name for name, field in one.form.base_fields.items()}
    known = [name for name in shown if name in written or hasattr(one, name) or hasattr(model, name)]
    labels = {str(written[name] if name in written else label_for_field(name, model, one)).lower() for name in known}
    jargon = {"octets", "rua", "forward path", "reverse path", "org name", "policy domain", "submitter", "is active"}
    assert not {word for word in jargon for label in labels if word in label}
    assert one.intro or not getattr(one, "search_fields", ())


@pytest.mark.parametrize(
    ("query", "status"),
    [("s=ban", 200), ("s=ban&page=1", 200), ("s=ban&page=abc", 404), ("s=ban&page=9", 404), ("s=ban&page=-1", 404)],
)
def test_the_search_of_the_theme_has_no_page_that_fails(as_superuser, query, status):
    assert as_superuser.get(f"/admin/search/?{query}").status_code == status


def found(client, words):
    return set(re.findall(r'data-title="([^"]*)"', text(client.get("/admin/search/", {"s": words, "extended": 1}))))


def test_the_search_finds_pages_by_their_tabs_and_rows_that_one_may_see(as_superuser, domains):
    assert "DANE checks" in found(as_superuser, "dane")
    assert {"theirs.example", "ann@theirs.example", "info@theirs.example"} <= found(as_superuser, "theirs")
    # What was found is remembered by nobody.
    services.remove_mailbox("ann@theirs.example")
    assert "ann@theirs.example" not in found(as_superuser, "theirs")


def test_the_search_of_a_domain_administrator_ends_at_their_domains(as_domain_administrator):
    assert not found(as_domain_administrator, "theirs") and not found(as_domain_administrator, "dane")
    assert "ann@mine.example" in found(as_domain_administrator, "ann")


def test_the_search_asks_for_a_few_rows_of_each_kind(as_superuser, domains):
    for number in range(30):
        services.add_alias(f"x{number}@mine.example", ["ann@mine.example"])
    with CaptureQueriesContext(connection) as asked:
        assert len([name for name in found(as_superuser, "mine") if name.startswith("x")]) <= ROWS_OF_EACH
    searched = [one["sql"] for one in asked if "LIKE" in one["sql"]]
    assert searched and all("LIMIT" in sql for sql in searched)


def test_only_staff_searches(client):
    assert client.get("/admin/search/?s=ban&page=abc").status_code == 302


def test_names_in_titles_keep_their_first_letter(as_superuser, look):
    assert ">mx.example.org" in "".join(page(as_superuser, "transport_security_danelook_change", look.pk).split())


def test_an_empty_list_says_whether_something_can_be_added(as_superuser):
    assert "rows appear by themselves" in page(as_superuser, "abuse_alarm_changelist")
    assert "Add one" in page(as_superuser, "access_ban_changelist")
    found = text(as_superuser.get(reverse("admin:access_ban_changelist"), {"q": "nobody"}))
    assert "Nothing fits" in found and "Add one" not in found


def test_a_policy_is_remembered_for_days(as_superuser, policy):
    url = reverse("admin:transport_security_mtasts_change", args=[policy.pk])
    form = text(as_superuser.get(url))
    assert "Days that senders remember it" in form and 'value="7"' in form
    data = {"mode": "testing", "max_age": "30", "other_hosts": ""}
    as_superuser.post(url, data)
    policy.refresh_from_db()
    assert policy.max_age == 30 * 86_400 and 'value="30"' in text(as_superuser.get(url))
    for wrong in ("0.5", "366", "a week", ""):
        assert "errorlist" in text(as_superuser.post(url, data | {"max_age": wrong})), wrong
    policy.refresh_from_db()
    assert policy.max_age == 30 * 86_400


def test_seconds_of_the_shell_survive_the_form(as_superuser, policy):
    MtaSts.objects.update(max_age=100_000)
    url = reverse("admin:transport_security_mtasts_change", args=[policy.pk])
    assert 'value="1.1574"' in text(as_superuser.get(url))


def test_a_policy_that_nobody_can_fetch_says_what_to_do(as_superuser, policy):
    shown = page(as_superuser, "transport_security_mtasts_change", policy.pk)
    assert "lacks mta-sts.mine.example" in shown and "certbot: -d mta-sts.mine.example" in shown
    assert reverse("admin:directory_domain_records", args=[policy.domain_id]) in shown


def test_the_dane_page_has_the_records_and_a_button(as_superuser, look, monkeypatch):
    shown = page(as_superuser, "transport_security_danelook_change", look.pk)
    records = tlsa_records()
    assert all(escape(record.zone_line) in shown for record in records)
    assert bool(records) == ("Publish these at the name" in shown) != (escape(why_no_tlsa()) in shown)
    assert reverse("admin:transport_security_danelook_do", args=[look.pk, "look"]) in shown
    assert "See what to do" not in page(as_superuser, "index")


def test_dns_is_asked_again_at_once(as_superuser, look, monkeypatch):
    def found(now, seconds):
        assert seconds == LOOK_SECONDS
        return DaneLook.objects.update(state="good", at=now)

    def wait(now, seconds):
        raise TimeoutError

    monkeypatch.setattr(schedule, "look_at_ourselves", wait)
    monkeypatch.setattr("mailsuite.transport_security.admin.read_keys", lambda configuration: None)
    url = reverse("admin:transport_security_danelook_do", args=[look.pk, "look"])
    assert "DNS did not answer within 3 seconds: below is what was seen" in text(as_superuser.post(url, follow=True))
    monkeypatch.setattr(schedule, "look_at_ourselves", found)
    assert "DNS was asked: a record matches the key in use." in text(as_superuser.post(url, follow=True))


def test_a_ban_says_why_and_when_it_ends(as_superuser):
    bans.ban("192.0.2.1", reason=Ban.Reason.BY_HAND, ends_at=None, note="spells out passwords")
    # Of now, and not of when the tests began, which may be long ago; with half an hour for the pages to be made in.
    now = datetime.now(UTC)
    bans.ban("192.0.2.2", reason=Ban.Reason.PASSWORD_GUESSING, ends_at=now + timedelta(hours=2, minutes=30))
    past = {"ends_at": now - timedelta(hours=3, minutes=10), "now": now - timedelta(hours=9)}
    bans.ban("192.0.2.3", reason=Ban.Reason.PROTOCOL_ABUSE, **past)
    says = [
        ("192.0.2.1/32", ["spells out passwords", "when somebody lifts it"]),
        ("192.0.2.2/32", ["guesses passwords", ", in 2\xa0hours"]),
        ("192.0.2.3/32", ["breaks the protocol", ", 3\xa0hours, 1", "minutes ago"]),
    ]
    for subject, words in says:
        shown = page(as_superuser, "access_ban_change", Ban.objects.get(subject=subject).pk)
        assert all(word in shown for word in words) and ">Note<" not in shown


def test_a_throttle_says_who_waits_until_when(as_superuser):
    now = datetime.now(UTC)
    until = now + timedelta(minutes=5)
    row = LoginThrottle.objects.create(
        key="net:192.0.2.1 ann@mine.example", failures=9, window_started_at=now, blocked_until=until
    )
    for shown in (page(as_superuser, "directory_loginthrottle_changelist"),
                  page(as_superuser, "directory_loginthrottle_change", row.pk)):  # fmt: skip
        assert "ann@mine.example, from 192.0.2.1" in shown and "must wait" in shown
        assert f"{until:%Y-%m-%d %H:%M} UTC<" in shown


def test_each_list_of_the_abuse_room_says_what_it_is(as_superuser):
    AllowedNetwork.objects.create(network="192.0.2.0/24")
    for model, model_admin in admin.site._registry.items():
        if model._meta.app_label == "abuse" and getattr(model_admin, "intro", ""):
            assert escape(model_admin.intro) in page(as_superuser, f"abuse_{model._meta.model_name}_changelist")
