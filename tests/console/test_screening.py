"""The screening pages: rules within one's domains, and what is the site's."""

import pytest
from django.urls import reverse

from mailsuite.directory.models import Mailbox
from mailsuite.screening.models import DnsList, GreylistEntry, Rule, ScreeningSettings, SenderPause

RULE = {"action": "block", "subject": "sender", "value": "Eve@Mail.Example", "note": "no more"}


def post(client, name, data, *arguments):
    return client.post(reverse(f"admin:screening_{name}", args=arguments), data)


def test_a_domain_administrator_writes_rules_of_own_domains_and_mailboxes(as_domain_administrator, domains):
    ann = Mailbox.objects.get(address="ann@mine.example")
    assert post(as_domain_administrator, "rule_add", RULE | {"domain": domains["mine.example"]}).status_code == 302
    assert post(as_domain_administrator, "rule_add", RULE | {"mailbox": ann.pk}).status_code == 302
    assert set(Rule.objects.values_list("value", "domain__name", "mailbox__address")) == {
        ("eve@mail.example", "mine.example", None),
        ("eve@mail.example", None, "ann@mine.example"),
    }
    page = as_domain_administrator.get(reverse("admin:screening_rule_changelist")).content.decode()
    assert "eve@mail.example" in page and "mine.example" in page


@pytest.mark.parametrize(
    "change, words",
    [
        ({}, "A rule for the whole site is its administrators"),
        ({"value": "mail.example"}, "look at the domain instead"),
        ({"subject": "network", "value": "0.0.0.0/0"}, "too much of the internet"),
    ],
)
def test_what_can_be_no_rule_is_said_in_the_form(as_domain_administrator, domains, change, words):
    given = RULE | ({"domain": domains["mine.example"]} if change else {}) | change
    response = post(as_domain_administrator, "rule_add", given)
    assert response.status_code == 200 and words in response.content.decode()
    assert not Rule.objects.exists()


def test_a_superuser_writes_rules_for_the_site_and_removes_them(as_superuser):
    assert post(as_superuser, "rule_add", RULE).status_code == 302
    rule = Rule.objects.get()
    page = as_superuser.get(reverse("admin:screening_rule_changelist")).content.decode()
    assert "the whole site" in page
    post(as_superuser, "rule_change", RULE | {"action": "junk"}, rule.pk)
    rule.refresh_from_db()
    assert rule.action == "junk"
    post(as_superuser, "rule_delete", {"post": "yes"}, rule.pk)
    assert not Rule.objects.exists()


def test_a_pause_of_a_mailbox(as_domain_administrator):
    ann = Mailbox.objects.get(address="ann@mine.example")
    assert post(as_domain_administrator, "senderpause_add", {"mailbox": ann.pk, "minutes": 15}).status_code == 302
    row = SenderPause.objects.get()
    post(as_domain_administrator, "senderpause_change", {"minutes": 5000}, row.pk)
    row.refresh_from_db()
    assert row.minutes == 15


def test_the_settings_are_one_page(as_superuser):
    response = as_superuser.get(reverse("admin:screening_screeningsettings_changelist"))
    assert response.status_code == 302
    data = {"junk_score": "1.5", "reject_score": "4", "greylist_minutes": "2", "first_sender_pause_minutes": "0"}
    assert as_superuser.post(response["Location"], data).status_code == 302
    row = ScreeningSettings.objects.get()
    assert (row.junk_score, row.reject_score, row.greylists_doubtful) == (1.5, 4.0, False)
    page = as_superuser.post(response["Location"], data | {"junk_score": "9"})
    assert "not above the sum" in page.content.decode()


def test_dns_lists(as_superuser):
    given = {"name": "BL", "zone": "bl.test", "kind": "block", "weight": "1", "asks_ipv4": "on", "is_active": "on"}
    assert post(as_superuser, "dnslist_add", given).status_code == 302
    row = DnsList.objects.get(name="BL")
    assert row.is_active and row.state == "untested"
    page = as_superuser.get(reverse("admin:screening_dnslist_changelist")).content.decode()
    assert "Spamhaus ZEN" in page and "asked, not tested yet" in page
    refused = post(as_superuser, "dnslist_add", given | {"name": "x", "zone": "x.test", "weight": "0"})
    assert "weight has to be above 0" in refused.content.decode()
    DnsList.objects.filter(pk=row.pk).update(state="error", last_error="it answers 127.255.255.254")
    assert "BL is switched off: it answers 127.255.255.254" in as_superuser.get("/admin/").content.decode()


def test_the_greylist(as_superuser, domains):
    row = GreylistEntry.objects.create(
        kind="greylisted", key="k", network="192.0.2.0/24", recipient="ann@mine.example",
        first_seen_at="2026-01-01T00:00Z", last_seen_at="2026-01-01T00:00Z",
    )  # fmt: skip
    page = as_superuser.get(reverse("admin:screening_greylistentry_changelist")).content.decode()
    assert "asked to come again" in page
    post(as_superuser, "greylistentry_do", {}, row.pk, "let_pass")
    row.refresh_from_db()
    assert row.passed_at
