"""Each page of the admin has one heading of its own, and what can be pressed says what it is."""

import re

import pytest
from django.urls import reverse

from mailsuite.console.theme import PAGES
from mailsuite.directory.models import Domain, Mailbox
from mailsuite.reports.models import DmarcReport

HEADING = re.compile(r"<h1\b[^>]*>(.*?)</h1>", re.DOTALL)


def headings(client, url):
    page = client.get(url, follow=True)
    assert page.status_code == 200, url
    found = [re.sub(r"<[^>]+>|\s+", " ", inner).strip() for inner in HEADING.findall(page.content.decode())]
    assert page.content.decode().count("<main") == 1, url
    return found


def pages_of_rows(everything):
    domain, mailbox = Domain.objects.get(name="mine.example"), Mailbox.objects.get(address="bob@mine.example")
    yield reverse("admin:trace_story_change", args=[everything.pk])
    yield reverse("admin:reports_dmarcreport_change", args=[DmarcReport.objects.first().pk])
    yield reverse("admin:reports_domain", args=[domain.pk])
    for row in (domain, mailbox):
        name = f"admin:directory_{row._meta.model_name}"
        yield from (reverse(f"{name}_{page}", args=[row.pk]) for page in ("change", "history"))
        yield reverse(f"{name}_ask", args=[row.pk, "remove"])
    yield from (reverse(f"admin:directory_{model}_add") for model in ("domain", "mailbox", "alias"))
    yield reverse("admin:directory_domain_records", args=[domain.pk])
    yield from (reverse(name) for name in ("admin:index", "guide", "delivery-test"))
    yield from (reverse("guide-chapter", args=[name]) for name in ("dns", "reference"))


def test_each_page_has_one_heading(as_superuser, everything):
    for url in [*pages_of_rows(everything), *(str(page.link) for page in PAGES[::6])]:
        found = headings(as_superuser, url)
        assert len(found) == 1 and found[0], (url, found)


def test_a_domain_administrator_has_one_too(as_domain_administrator, everything):
    for url in (reverse("admin:index"), reverse("admin:directory_mailbox_changelist")):
        assert len(headings(as_domain_administrator, url)) == 1


@pytest.mark.parametrize(("name", "shown"), [("root@localhost", "root@localhost"), ("mine.example", "mine.example")])
def test_an_address_keeps_its_first_letter(as_superuser, everything, superuser, name, shown):
    row = superuser if "@" in name else Domain.objects.get(name=name)
    page = as_superuser.get(reverse(f"admin:directory_{row._meta.model_name}_change", args=[row.pk])).content.decode()
    assert shown in page and shown.capitalize() not in page
