"""A domain administrator sees and changes nothing of other domains: by any URL of the admin, read or posted."""

import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.core import serializers
from django.urls import reverse

from mailsuite.abuse.models import AlarmSettings, SendingSettings
from mailsuite.access.models import AllowedNetwork, Ban
from mailsuite.adminkit.scoping import ScopedAdmin
from mailsuite.directory.models import Credential, Domain, Login, LoginThrottle, Mailbox, RemovedDomain, SendAs, User
from mailsuite.ids import new_id
from mailsuite.jobs.models import JobRun
from mailsuite.junk.models import Sender, WordTable
from mailsuite.provisioning import services
from mailsuite.queue.models import DeliveryAttempt, QueuedMessage, Route
from mailsuite.reports.models import (
    DmarcReport,
    IncomingReport,
    OutgoingReport,
    ReportExclusion,
    ReportSettings,
    TlsReport,
)
from mailsuite.screening.models import DnsList, GreylistEntry, Rule, ScreeningSettings
from mailsuite.signing.models import DkimKey
from mailsuite.trace.models import Story
from mailsuite.transport_security.models import DaneLook, KnownPolicy, MtaSts

PASSWORD = "correct horse battery"
FOREIGN = "theirs.example"
# What belongs to the site as a whole.
SUPERUSERS_ONLY = (
    Ban,
    AllowedNetwork,
    AlarmSettings,
    SendingSettings,
    *(Route, LoginThrottle, DnsList, GreylistEntry, ScreeningSettings, KnownPolicy, DaneLook),
    *(OutgoingReport, ReportExclusion, ReportSettings, RemovedDomain, JobRun),
)
NOT_COMPARED = {"sessions.session", "admin.logentry", "directory.directoryversion"}


def model_urls(model, *, rows):
    """Every URL of a model's admin: its lists, its forms, and those of the rows."""
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    urls = [reverse(f"{name}_changelist"), reverse(f"{name}_add")]
    verbs = [verb.name for verb in admin.site._registry[model].verbs]
    for row in rows:
        urls += [reverse(f"{name}_{page}", args=[row.pk]) for page in ("change", "history", "delete")]
        urls += [reverse(f"{name}_do", args=[row.pk, verb]) for verb in verbs]
        pages = getattr(admin.site._registry[model], "verb_pages", {})
        urls += [reverse(f"{name}_ask", args=[row.pk, verb]) for verb in pages]
        if model is Domain:
            urls += [reverse("admin:directory_domain_records", args=[row.pk])]
            urls += [reverse("admin:reports_domain", args=[row.pk])]
            urls += [reverse("admin:reports_source", args=[row.pk]) + f"?name=shop.{row}"]
        if model is IncomingReport:
            urls += [reverse("admin:reports_incomingreport_raw", args=[row.pk])]
    if model is DmarcReport:
        urls.insert(0, reverse("admin:reports_overview"))
    return urls


def models():
    return list(admin.site._registry)


def is_foreign(row):
    """Whether the row belongs to the other domain, told from the row itself."""
    match row:
        case Domain():
            return row.name == FOREIGN
        case Mailbox() | DkimKey() | QueuedMessage() | MtaSts() | DmarcReport() | IncomingReport() | TlsReport():
            return row.domain.name == FOREIGN
        case DeliveryAttempt():
            return row.recipient.message.domain.name == FOREIGN
        case Credential() | SendAs():
            return FOREIGN in row.user.email
        case Story():
            return bool(row.sender_domain) and row.sender_domain.name == FOREIGN
        case one if isinstance(one, SUPERUSERS_ONLY):
            return True
        case Sender() | WordTable():
            return row.mailbox is None or row.mailbox.domain.name == FOREIGN
        case Rule():
            home = row.domain or (row.mailbox and row.mailbox.domain)
            return home is None or home.name == FOREIGN
        case User():
            return row.is_staff or FOREIGN in row.email
        case Login():
            return FOREIGN in row.address_key
    return FOREIGN in str(row)


def is_listed(row):
    """What is removed has lists of its own."""
    return row._meta.proxy or getattr(row, "removed_at", None) is None


def rows(model, *, foreign):
    found = [row for row in model.objects.all() if is_foreign(row) is foreign and is_listed(row)]
    assert found or model in SUPERUSERS_ONLY, f"the test has no {model.__name__}"
    return found


def snapshot():
    """Every row of every table, but for what signing in and the log of the admin write."""
    found = {}
    for model in apps.get_models():
        if model._meta.label_lower in NOT_COMPARED or model._meta.label_lower.startswith("auth."):
            continue
        for row in serializers.serialize("python", model._default_manager.all()):
            row["fields"].pop("last_login", None)
            found[row["model"], row["pk"]] = row["fields"]
    return found


def shows_foreign(response):
    """The place in the page where another domain shows."""
    page = response.content.decode(errors="replace")
    at = page.find(FOREIGN)
    return page[max(0, at - 200) : at + 100] if at >= 0 else ""


def test_every_admin_is_scoped():
    assert [model for model, one in admin.site._registry.items() if not isinstance(one, ScopedAdmin)] == []


# All models in one test each, since the rows cost more than the questions, and none of these may change any.


@pytest.mark.usefixtures("everything")
def test_pages_of_own_rows_and_lists_show_nothing_foreign(as_domain_administrator):
    for model in models():
        for url in model_urls(model, rows=rows(model, foreign=False)):
            response = as_domain_administrator.get(url)
            assert response.status_code in (200, 302, 403, 405), url
            assert not shows_foreign(response), url


@pytest.mark.usefixtures("everything")
def test_foreign_rows_open_by_no_url(as_domain_administrator):
    for model in models():
        for row in rows(model, foreign=True):
            for url in model_urls(model, rows=[row])[2:]:
                response = as_domain_administrator.get(url)
                assert response.status_code in (302, 403, 404, 405), url
                assert not shows_foreign(response), url


@pytest.mark.usefixtures("everything")
def test_posting_to_foreign_rows_changes_nothing(as_domain_administrator):
    before = snapshot()
    for model in models():
        for row in rows(model, foreign=True):
            fields = {name: str(value) for name, value in vars(row).items() if not name.startswith("_")}
            for data in ({"post": "yes"}, fields | {"name": "changed", "label": "changed", "quota_octets": "1"}):
                for url in model_urls(model, rows=[row])[2:]:
                    response = as_domain_administrator.post(url, data)
                    assert response.status_code in (302, 403, 404, 405), url
                    assert not shows_foreign(response), url
        assert snapshot() == before, model


@pytest.mark.usefixtures("everything")
def test_actions_on_foreign_rows_do_nothing(as_domain_administrator):
    before = snapshot()
    for model in models():
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        ids = [row.pk for row in rows(model, foreign=True)]
        for action in ("delete_selected", *admin.site._registry[model].actions):
            as_domain_administrator.post(url, {"action": action, "_selected_action": ids})
        assert snapshot() == before, model


@pytest.mark.usefixtures("everything")
def test_what_is_posted_about_foreign_rows_is_refused(as_domain_administrator, domains):
    ann = User.objects.get(email=f"ann@{FOREIGN}")
    root = User.objects.get(email="root@localhost")
    own = User.objects.get(email="ann@mine.example")
    shared = Mailbox.objects.get(address="ann.too@mine.example")
    roots = Mailbox.objects.get(address="root@mine.example")
    mine = domains["mine.example"]
    posts = [
        ("directory_mailbox_add", [], {"address": f"new@{FOREIGN}", "password": PASSWORD}),
        ("directory_mailbox_add", [], {"address": "new@unhosted.example", "password": PASSWORD}),
        ("directory_mailbox_change", [shared.pk], {"name": "x", "quota_octets": "1M", "password": PASSWORD}),
        ("directory_mailbox_change", [roots.pk], {"name": "x", "quota_octets": "1M", "password": PASSWORD}),
        ("directory_alias_add", [], {"address": f"new@{FOREIGN}", "targets": "ann@mine.example"}),
        ("directory_alias_add", [], {"address": f"@{FOREIGN}", "targets": "ann@mine.example"}),
        ("directory_credential_add", [], {"user": ann.pk, "label": "x", "scopes": ["imap"]}),
        ("directory_credential_add", [], {"user": root.pk, "label": "x", "scopes": ["imap"]}),
        ("directory_sendas_add", [], {"user": ann.pk, "address": "x@mine.example"}),
        ("directory_sendas_add", [], {"user": own.pk, "address": f"ann@{FOREIGN}"}),
        ("directory_sendas_add", [], {"user": own.pk, "address": f"@{FOREIGN}"}),
        ("directory_domain_add", [], {"name": "new.example"}),
        ("directory_domain_do", [mine, "remove"], {}),
        ("directory_domain_do", [mine, "disable"], {}),
        ("directory_user_add", [], {"email": "new@localhost", "password": PASSWORD, "is_superuser": "on"}),
        ("directory_user_change", [own.pk], {"is_superuser": "on", "is_active": "on", "password": PASSWORD}),
        ("screening_rule_add", [], {"action": "allow", "subject": "sender", "value": "x@remote.example"}),
        (
            "screening_rule_add",
            [],
            {"action": "allow", "subject": "sender", "value": "x@remote.example", "domain": domains[FOREIGN]},
        ),
        ("screening_senderpause_add", [], {"mailbox": ann.mailboxes.get(address=ann.email).pk, "minutes": 5}),
        ("screening_dnslist_add", [], {"name": "x", "zone": "x.example", "weight": "1", "asks_ipv4": "on"}),
        ("queue_route_add", [], {"pattern": "*", "host": "evil.example", "port": "25", "scheme": "smtp"}),
    ]
    before = snapshot()
    for name, arguments, data in posts:
        response = as_domain_administrator.post(reverse(f"admin:{name}", args=arguments), data)
        assert response.status_code in (200, 403), name
        assert snapshot() == before, (name, data)


@pytest.mark.usefixtures("everything")
def test_a_domain_cannot_be_handed_on_or_tied_to_another(as_domain_administrator, domains):
    boss = User.objects.get(email="boss@localhost")
    form = {
        "description": "fine", "default_quota_octets": "none", "alias_of": domains[FOREIGN],
        "administrators": [boss.pk, User.objects.get(email="ann@mine.example").pk],
    }  # fmt: skip
    as_domain_administrator.post(reverse("admin:directory_domain_change", args=[domains["mine.example"]]), form)
    domain = Domain.objects.get(name="mine.example")
    assert (domain.description, domain.alias_of, list(domain.administrators.all())) == ("fine", None, [boss])


@pytest.mark.usefixtures("everything")
def test_own_things_can_be_changed(as_domain_administrator):
    mailbox = Mailbox.objects.get(address="bob@mine.example")
    add = {"address": "new@mine.example", "password": PASSWORD}
    as_domain_administrator.post(reverse("admin:directory_mailbox_add"), add)
    assert Mailbox.objects.filter(address="new@mine.example").exists()
    as_domain_administrator.post(reverse("admin:directory_mailbox_do", args=[mailbox.pk, "suspend"]))
    mailbox.refresh_from_db()
    assert mailbox.state == "suspended"
    form = {"address": "team@mine.example", "targets": "ann@mine.example", "is_active": "on"}
    as_domain_administrator.post(reverse("admin:directory_alias_add"), form)
    own = User.objects.get(email="ann@mine.example")
    form = {"user": own.pk, "label": "tablet", "scopes": ["imap"]}
    as_domain_administrator.post(reverse("admin:directory_credential_add"), form)
    assert Credential.objects.filter(label="tablet").exists()


@pytest.mark.usefixtures("everything")
def test_completion_filters_and_searches_find_nothing_foreign(as_domain_administrator, domains):
    for model, one in admin.site._registry.items():
        meta = model._meta
        for field in [*one.autocomplete_fields, "user", "domain", "alias_of"]:
            query = {"app_label": meta.app_label, "model_name": meta.model_name, "field_name": field, "term": ""}
            response = as_domain_administrator.get(reverse("admin:autocomplete"), query)
            assert FOREIGN not in response.content.decode() and b"root@localhost" not in response.content
        url = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
        queries = [
            {"domain__id__exact": domains[FOREIGN]}, {"domain__name": FOREIGN}, {"q": "ann"}, {"q": "theirs"},
            {"q": "letter"}, {"state": "all"}, {"o": "1"}, {"all": ""}, {"e": "1"},
        ]  # fmt: skip
        for query in queries:
            response = as_domain_administrator.get(url, query)
            page = response.content.decode()
            # What was asked for stands in the page's own search field and links.
            for value in query.values():
                page = page.replace(f'value="{value}"', "").replace(f"={value}", "")
            assert FOREIGN not in page, (url, query)


@pytest.mark.sqlite_only
@pytest.mark.usefixtures("everything")
def test_all_links_lead_to_own_pages(as_domain_administrator):
    """Follows every link from the first page on."""
    seen, waiting = set(), [reverse("admin:index")]
    while waiting:
        url = waiting.pop()
        if url in seen or "logout" in url:
            continue
        seen.add(url)
        response = as_domain_administrator.get(url)
        assert response.status_code in (200, 302, 403, 405), url
        assert not shows_foreign(response), url
        if response.status_code == 200 and "html" in response["Content-Type"]:
            links = re.findall(r'href="([^"#]+)"', response.content.decode())
            links = [link.replace("&amp;", "&") for link in links]
            base = url.partition("?")[0]
            links = [base + link if link.startswith("?") else link for link in links]
            # Of the many ways to filter and sort a list, each one by itself.
            links = [link for link in links if not ("?" in link and "?" in url) and "check=1" not in link]
            waiting += [link for link in links if link.startswith("/admin/")]
    assert len(seen) > 60


def test_a_story_is_told_to_each_side_by_its_own_part(as_domain_administrator, everything):
    page = as_domain_administrator.get(reverse("admin:trace_story_change", args=[everything.pk])).content.decode()
    assert "filed ann@mine.example" in page and FOREIGN not in page


def test_from_where_others_users_send_is_not_told(as_domain_administrator, everything, domains):
    Story.objects.filter(pk=everything.pk).update(
        kind="submission", client_address="192.0.2.77", client_name="laptop", sender_domain=domains[FOREIGN]
    )
    for url in (reverse("admin:index"), *model_urls(Story, rows=[everything])):
        response = as_domain_administrator.get(url)
        assert b"192.0.2.77" not in response.content and b"laptop" not in response.content, url


def test_somebody_without_domains_and_a_mailbox_owner_get_nothing(client, domains):
    idle = User.objects.create_user("idle@localhost", PASSWORD, is_staff=True)
    for user, status in ((idle, 403), (User.objects.get(email="ann@mine.example"), 302)):
        client.force_login(user)
        for model in admin.site._registry:
            for url in model_urls(model, rows=[]):
                assert client.get(url).status_code == status, url


def test_another_name_of_an_own_domain_is_in_scope(as_domain_administrator):
    services.add_domain("mine.too.example", alias_of="mine.example", key_pairs=[])
    page = as_domain_administrator.get(reverse("admin:directory_domain_changelist")).content.decode()
    assert "mine.too.example" in page


def test_ids_of_the_other_domain_are_guessed_in_vain(as_domain_administrator, everything):
    number = new_id()
    assert as_domain_administrator.get(reverse("admin:trace_story_change", args=[number])).status_code == 302
