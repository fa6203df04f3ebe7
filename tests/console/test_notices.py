"""The first page says the same trouble of many once."""

import pytest
from django.urls import reverse

from mailsuite.console import dashboard
from mailsuite.console.directory.domains import DomainAdmin
from mailsuite.console.notices import Notice, Several, joined
from mailsuite.directory.models import Domain, Mailbox
from mailsuite.provisioning import services
from mailsuite.records.models import DnsCheck

DOMAINS = [f"customer-{number:02}.example" for number in range(27)]


@pytest.fixture
def customers(superuser):
    for name in DOMAINS:
        services.add_domain(name, key_pairs=[])


def notices(client):
    page = client.get(reverse("admin:index"), {"notices": "all"})
    return [(notice.text, notice.url) for notice in page.context["notices"]]


def test_twenty_seven_domains_without_a_mailbox_are_one_notice(as_superuser, customers):
    found = [one for one in notices(as_superuser) if "no mailbox" in one[0]]
    names = "customer-00.example, customer-01.example, customer-02.example and 24 more"
    domains = reverse("admin:directory_domain_changelist")
    assert found == [(f"27 domains have no mailbox: {names}.", f"{domains}?o=3")]
    services.add_mailbox("a@customer-00.example", "correct horse battery")
    assert f"26 domains have no mailbox: {', '.join(DOMAINS[1:4])} and 23 more." in dict(notices(as_superuser))


def test_a_single_one_leads_to_where_it_is_mended(as_superuser):
    services.add_domain("alone.example", key_pairs=[])
    [url] = [url for text, url in notices(as_superuser) if text == "alone.example has no mailbox."]
    assert "<option selected>alone.example</option>" in as_superuser.get(url).content.decode()


def test_dns_that_wants_the_same_of_each_domain_is_one_notice(as_superuser, customers):
    for domain in Domain.objects.all():
        step = f"Publish MX at {domain}: 10 mx.suite.test." if domain.pk % 9 else "Publish something else."
        DnsCheck.objects.create(domain=domain, score=10, next_step=step)
    found = [text for text, _ in notices(as_superuser) if "DNS" in text]
    assert len(found) == 2 and any("Publish MX at DOMAIN: 10 mx.suite.test." in text for text in found)


def test_mailboxes_that_are_nearly_full_are_one_notice_for_whom_they_concern(as_domain_administrator, domains):
    for mailbox in Mailbox.objects.select_related("usage"):
        Mailbox.objects.filter(pk=mailbox.pk).update(quota_octets=10)
        type(mailbox.usage).objects.filter(pk=mailbox.usage.pk).update(used_octets=10)
    texts = [text for text, _ in notices(as_domain_administrator)]
    assert "2 mailboxes are nearly full: ann@mine.example, bob@mine.example." in texts


def test_what_differs_or_was_cut_off_says_so():
    alike = [
        Notice("bad", f"{name} is full", "", "", several=Several(name, "{count}: {names}", "/")) for name in "abcd"
    ]
    other = Notice("bad", "another", "", "")
    assert [one.text for one in joined([*alike, other, other], most=4)] == ["4 or more: a, b, c and 1 more", "another"]
    assert joined(alike[:1], most=4) == alike[:1]


def test_each_count_of_a_search_that_was_cut_off_says_so():
    """Two troubles among the first hundred of a thousand domains were counted as if these were all."""
    found = [
        Notice("bad", "", "", "", several=Several(f"{number}", f"{{count}} {number % 2}", "/", kind="step"))
        for number in range(5)
    ]
    assert [one.text for one in joined(found, most=5)] == ["3 or more 0", "2 or more 1"]
    assert [one.text for one in joined(found, most=6)] == ["3 0", "2 1"]


@pytest.mark.parametrize(
    ("column", "name"), [(dashboard.MAILBOX_COLUMN, "mailbox_count"), (dashboard.DNS_COLUMN, "records_link")]
)
def test_lists_that_notices_lead_to_begin_with_those_concerned(column, name):
    assert DomainAdmin.list_display[int(column) - 1] == name
