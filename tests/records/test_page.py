"""The page of a domain's records: it shows the last look, never looks by itself, and keeps to one's own domains."""

import dataclasses

import pytest
from django.urls import reverse

from mailsuite.directory.models import User
from mailsuite.records import background
from mailsuite.records.checking import check_domain
from mailsuite.records.models import DnsCheck, DomainPolicy
from mailsuite.signing.models import DkimKey

pytestmark = pytest.mark.usefixtures("same_connection")


@pytest.fixture
def page(domain, client, admin_user, monkeypatch):
    """`page()` is the page's text, `page(do="check")` what comes after a button; looks run at once."""
    client.force_login(admin_user)
    monkeypatch.setattr(background, "run_aside", background._run)
    monkeypatch.setattr(background.connections, "close_all", lambda: None)
    url = reverse("admin:directory_domain_records", args=[domain.pk])

    def get(query="", **post):
        response = client.post(url, post, follow=True) if post else client.get(url + query)
        assert response.status_code == 200
        return response.content.decode()

    return get


def test_it_asks_dns_only_when_told_to(server, page):
    assert "not looked yet" in page() and server.questions == []
    text = page(do="check")
    asked = len(server.questions)
    assert asked and ">missing<" in text and "Publish MX at example.org: 10 mx.host.test." in text
    page()
    page("?tab=history")
    page("?zone=1")
    assert len(server.questions) == asked


def test_a_machine_without_a_public_name_is_told_that_before_all_else(site, domain, page):
    site.MAILSUITE = dataclasses.replace(site.MAILSUITE, hostname="localhost")
    text = page()
    assert "no name that others can look up (localhost)" in text and "set MAILSUITE_HOSTNAME" in text
    assert "10 localhost." not in text and "Publish the records below" not in text
    assert text.index("<h2>This host</h2>") < text.index("<h2>Sending mail that is believed</h2>")


def test_it_turns_green(publish, domain, page):
    publish()
    text = page(do="check")
    assert "All is well" in text and ">100</text>" in text and ">missing<" not in text


def test_history_tells_what_was_there(server, publish, domain, page):
    publish()
    check_domain(domain)
    server.records["example.org", "MX"] = ["10 elsewhere.example."]
    check_domain(domain)
    text = page("?tab=history")
    assert "10 elsewhere.example." in text and "10 mx.host.test." in text
    assert "by its own name servers and the public" in text
    assert ">changed<" in text


def test_history_begins_with_what_is_there(server, publish, domain, page):
    publish(lambda record: record.type == "MX")
    check_domain(domain)
    text = page("?tab=history")
    assert "10 mx.host.test." in text and "nothing there" not in text
    del server.records["example.org", "MX"]
    check_domain(domain)
    assert "nothing there" in page("?tab=history")


def test_names_for_panels_that_add_the_domain_themselves(domain, page):
    text = page()
    assert ">@</code>" in text and ">_dmarc</code>" in text and "where the form adds example.org itself" in text
    # MX, SPF and CAA stand at the domain; what belongs to another zone has no such name.
    assert ">mx.host.test</code>" in text and text.count(">@</code>") == 3


def test_what_fails_is_open(publish, page):
    publish(lambda record: not record.name.startswith("mta-sts."))
    text = page(do="check")
    assert ">fails<" in text and "Senders look for the policy at mta-sts.example.org" in text


def test_whether_a_look_is_under_way(domain, page):
    assert page("?state=1") == '{"running": false}'
    DnsCheck.objects.create(domain=domain, started_at="2026-11-24T12:00:00Z")
    assert page("?state=1") == '{"running": true}' and 'data-running="?state=1"' in page()


def test_buttons(server, domain, page):
    assert "Publish the new DKIM key" in page(do="rotate")
    assert "waits for its record" in page(do="rotate")
    assert "signed by Ed25519" in page(do="ed25519")
    assert DkimKey.objects.get(algorithm="ed25519").state == "active"
    assert "stage quarantine-trial" in page(do="advance")
    assert "back at the stage none" in page(do="retreat")
    page(do="mode", mode="parked")
    page(do="rotation", months="6")
    policy = DomainPolicy.objects.get()
    assert (policy.mode, policy.rotation_months, policy.dmarc_stage) == ("parked", 6, "none")
    assert "is none of" in page(do="mode", mode="sideways")


def test_a_look_that_fails_can_be_begun_again(domain, page, monkeypatch, caplog):
    monkeypatch.setattr(background, "finish_check", lambda domain: 1 / 0)
    page(do="check")
    assert DnsCheck.objects.get().started_at is None and "failed" in caplog.text


def test_nobody_posts_to_others_domains(domain, client):
    boss = User.objects.create_user("boss@localhost", "correct horse battery", is_staff=True)
    client.force_login(boss)
    url = reverse("admin:directory_domain_records", args=[domain.pk])
    for do in ("check", "rotate", "advance", "mode"):
        assert client.post(url, {"do": do, "mode": "parked"}).status_code in (302, 403, 404)
    assert not DnsCheck.objects.exists() and not DomainPolicy.objects.exists()
    client.force_login(User.objects.create_superuser("root@localhost", "correct horse battery"))
    assert client.post(url, {"do": "__class__"}).status_code == 404


def test_lists_and_overview_tell_the_score(server, domain, client, admin_user):
    client.force_login(admin_user)
    check_domain(domain)
    assert "5 %" in client.get(reverse("admin:directory_domain_changelist")).content.decode()
    assert "The DNS of example.org: Publish MX" in client.get(reverse("admin:index")).content.decode()
