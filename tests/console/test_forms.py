"""What the admin's forms know, and what they still hold after a refusal."""

import re

import pytest
from django.urls import reverse

from mailsuite.directory.models import Alias, Mailbox
from mailsuite.provisioning import services

PASSWORD = "correct horse battery"
MAILBOX, ALIAS = (reverse(f"admin:directory_{name}_add") for name in ("mailbox", "alias"))


def options(page):
    return re.findall(r"<option[^>]*>([^<]+)</option>", page.content.decode())


@pytest.mark.parametrize(
    ("typed", "domain", "made"),
    [
        ("carol", "mine.example", "carol@mine.example"),
        (" carol ", "theirs.example", "carol@theirs.example"),
        ("carol@mine.example", "theirs.example", "carol@mine.example"),
        ("carol@mine.example", None, "carol@mine.example"),
    ],
)
def test_a_mailbox_is_a_name_and_a_domain_that_is_chosen(as_superuser, domains, typed, domain, made):
    posted = {"address": typed, "password": PASSWORD} | ({"address_domain": domain} if domain else {})
    as_superuser.post(MAILBOX, posted)
    assert set(Mailbox.objects.filter(address__startswith="carol").values_list("address", flat=True)) == {made}


def test_no_name_is_no_catch_all(as_superuser, domains):
    posted = {"address": "", "address_domain": "mine.example", "targets": "ann@mine.example", "is_active": "on"}
    assert "required" in as_superuser.post(ALIAS, posted).content.decode()
    as_superuser.post(ALIAS, posted | {"address": "@mine.example"})
    assert Alias.objects.filter(address="@mine.example").exists()


@pytest.mark.parametrize("typed", ["", "@theirs.example", "x@elsewhere.example", "sales-*"])
def test_a_refused_address_stays_as_it_was_written(as_superuser, domains, typed):
    """A catch-all became nothing, and the chosen domain the first of the list."""
    posted = {"address": typed, "address_domain": "theirs.example", "targets": "no address", "is_active": "on"}
    page = as_superuser.post(ALIAS, posted).content.decode()
    field = re.search(r'<input[^>]*name="address"[^>]*>', page)[0]
    assert f'value="{typed}"' in field if typed else "value=" not in field
    assert "<option selected>theirs.example</option>" in page


def test_a_domain_administrator_chooses_from_their_own(as_domain_administrator):
    services.set_domain_state("mine.example", disabled=False)
    for url in (MAILBOX, ALIAS):
        assert options(as_domain_administrator.get(url)) == ["mine.example"]
        assert not {"theirs.example"} & set(options(as_domain_administrator.get(f"{url}?address=@theirs.example")))
    posted = {"address": "carol", "address_domain": "theirs.example", "password": PASSWORD}
    assert "not one of your domains" in as_domain_administrator.post(MAILBOX, posted).content.decode()


def test_a_refused_form_still_holds_what_was_filled_in(as_superuser, domains):
    posted = {
        "address": "ann",
        "address_domain": "theirs.example",
        "password": PASSWORD,
        "name": "A <b>",
        "quota_octets": "7G",
    }
    answer = as_superuser.post(MAILBOX, posted)
    page = answer.content.decode()
    assert "already" in page and "no-store" in answer["Cache-Control"]
    for value in ("ann", PASSWORD, "A &lt;b&gt;", "7G"):
        assert f'value="{value}"' in page
    assert "<option selected>theirs.example</option>" in page


def test_a_form_never_shows_a_password_that_is_set(as_superuser, domains):
    ann = Mailbox.objects.get(address="ann@mine.example")
    page = as_superuser.get(reverse("admin:directory_mailbox_change", args=[ann.pk])).content.decode()
    [field] = re.findall(r'<input[^>]*name="password"[^>]*>', page)
    assert "value=" not in field and ann.user.password not in page
