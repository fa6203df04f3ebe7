"""Removing, restoring, forwarding and renaming by the admin's pages, for whom they are."""

import pytest
from django.urls import reverse

from mailsuite.directory import lookup
from mailsuite.directory.models import Alias, Domain, Mailbox, User
from mailsuite.directory.resolution import Kind
from mailsuite.provisioning import restoring, services

ANN, BOB, FOREIGN = "ann@mine.example", "bob@mine.example", "ann@theirs.example"
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def proved(monkeypatch):
    """The password was given just now."""
    monkeypatch.setattr("mailsuite.adminkit.proof.is_fresh", lambda request: True)


def mailbox(address):
    return Mailbox.objects.get(address_key=address)


def url(name, *arguments):
    return reverse(f"admin:directory_{name}", args=arguments)


def page(client, name, *arguments):
    response = client.get(url(name, *arguments))
    return response.content.decode() if response.status_code == 200 else str(response.status_code)


def act(client, kind, row, verb, **given):
    return client.post(url(f"{kind}_do", row.pk, verb), given, follow=True).content.decode()


def test_a_mailbox_is_removed_and_restored(as_superuser, domains):
    services.add_alias("team@mine.example", [ANN, BOB])
    ann = mailbox(ANN)
    assert url("mailbox_ask", ann.pk, "remove") in page(as_superuser, "mailbox_change", ann.pk)
    asked = page(as_superuser, "mailbox_ask", ann.pk, "remove")
    for words in ("team@mine.example", "info@mine.example", "postmaster@mine.example", "account ann@mine.example goes"):
        assert words in asked
    # A page changes nothing, nor does a link to the act.
    assert as_superuser.get(url("mailbox_do", ann.pk, "remove")).status_code == 405 and mailbox(ANN)
    assert "is removed. For 30 days" in act(as_superuser, "mailbox", ann, "remove")
    assert ANN in page(as_superuser, "removedmailbox_changelist")
    assert page(as_superuser, "mailbox_change", ann.pk) != 200
    assert "comes back with its password" in page(as_superuser, "removedmailbox_ask", ann.pk, "restore")
    assert "is there again" in act(as_superuser, "removedmailbox", ann, "restore", address=ANN)
    assert mailbox(ANN).pk == ann.pk and len(lookup.resolve("team@mine.example").local) == 2


def test_a_conflict_is_told_and_another_address_gets_round_it(as_superuser, domains):
    ann = mailbox(ANN)
    services.remove_mailbox(ANN)
    services.add_mailbox(ANN, PASSWORD)
    assert "already" in act(as_superuser, "removedmailbox", ann, "restore", address=ANN)
    assert "is there again" in act(as_superuser, "removedmailbox", ann, "restore", address="old@mine.example")
    assert mailbox("old@mine.example").pk == ann.pk


def test_a_domain_is_removed_and_restored(as_superuser, domains):
    mine = Domain.objects.get(name="mine.example")
    asked = page(as_superuser, "domain_ask", mine.pk, "remove")
    assert "Mailboxes that go with it (2)" in asked and "Aliases that go with it (3)" in asked
    act(as_superuser, "domain", mine, "remove")
    assert "mine.example" in page(as_superuser, "removeddomain_changelist")
    assert ANN not in page(as_superuser, "removedmailbox_changelist")
    assert "mailboxes (2)" in page(as_superuser, "removeddomain_ask", mine.pk, "restore")
    assert "mailboxes: 2, aliases: 3" in act(as_superuser, "removeddomain", mine, "restore")
    assert lookup.resolve(ANN).kind is Kind.RESOLVED


def test_an_alias_is_removed_and_restored(as_superuser, domains):
    info = Alias.objects.get(address="info@mine.example")
    assert "no longer goes to ann@mine.example" in page(as_superuser, "alias_delete", info.pk)
    as_superuser.post(url("alias_delete", info.pk), {"post": "yes"})
    assert "info@mine.example" in page(as_superuser, "removedalias_changelist")
    assert "there again" in act(as_superuser, "removedalias", info, "restore")
    assert lookup.resolve("info@mine.example").local


def test_an_alias_that_leads_to_nobody_is_a_notice(as_superuser, domains):
    services.remove_mailbox(ANN)
    overview = as_superuser.get(reverse("admin:index")).content.decode()
    assert "The alias info@mine.example leads to nobody" in overview
    assert "alias postmaster@mine.example" not in overview and "info@theirs.example" not in overview
    assert lookup.resolve("postmaster@mine.example").kind is Kind.RESOLVED


def test_mail_is_forwarded_by_the_mailboxs_page(as_superuser, domains):
    ann = mailbox(ANN)
    act(as_superuser, "mailbox", ann, "forward", targets="x@remote.example\nbob@mine.example", keep="on")
    assert "x@remote.example" in page(as_superuser, "mailbox_ask", ann.pk, "forward")
    found = lookup.resolve(ANN)
    assert (len(found.local), found.remote) == (2, ("x@remote.example",))
    # It is the mailbox's matter, and no alias of the list.
    assert page(as_superuser, "alias_change", Alias.objects.get(kind="forward").pk) == "302"
    act(as_superuser, "mailbox", ann, "forward", targets="x@remote.example")
    assert not lookup.resolve(ANN).local
    assert "no copy stays" in page(as_superuser, "mailbox_change", ann.pk)
    assert "There is no nobody" in act(as_superuser, "mailbox", ann, "forward", targets="nobody@mine.example")
    assert "stays in it" in act(as_superuser, "mailbox", ann, "forward", targets="")


def test_a_mailbox_gets_another_address(as_superuser, domains):
    ann = mailbox(ANN)
    assert "Mail programs then must sign in" in page(as_superuser, "mailbox_ask", ann.pk, "rename")
    assert "must sign in as anna@" in act(as_superuser, "mailbox", ann, "rename", address="anna@mine.example")
    assert lookup.resolve(ANN).local[0].address == "anna@mine.example"
    refused = act(as_superuser, "mailbox", ann, "rename", address="no at")
    assert "be an address" in refused and 'name="address" value="no at"' in refused


def test_domain_administrators_restore_what_is_theirs(as_domain_administrator, domains):
    gone = [mailbox(ANN), mailbox(FOREIGN)]
    for row in gone:
        services.remove_mailbox(row.address)
    for name in ("info@mine.example", "info@theirs.example"):
        services.remove_alias(name)
    client = as_domain_administrator
    assert ANN in page(client, "removedmailbox_changelist") and FOREIGN not in page(client, "removedmailbox_changelist")
    assert "info@theirs.example" not in page(client, "removedalias_changelist")
    assert client.get(url("removeddomain_changelist")).status_code == 403
    foreign_alias = restoring.find_removed_alias("info@theirs.example")
    for kind, pk in (("removedmailbox", gone[1].pk), ("removedalias", foreign_alias)):
        assert client.get(url(f"{kind}_ask", pk, "restore")).status_code == 404
        assert client.post(url(f"{kind}_do", pk, "restore"), {"address": ANN}).status_code == 404
    assert "not one of your domains" in act(client, "removedmailbox", gone[0], "restore", address="a@theirs.example")
    assert "is there again" in act(client, "removedmailbox", gone[0], "restore", address=ANN)


def test_a_removal_names_no_alias_of_another_customer(as_domain_administrator, domains):
    services.add_alias("secret@theirs.example", [ANN])
    services.grant_send_as(User.objects.get(email=FOREIGN).pk, ANN)
    asked = page(as_domain_administrator, "mailbox_ask", mailbox(ANN).pk, "remove")
    assert "others&#x27; domains lead there no more (1)" in asked and "may no more: 1" in asked
    assert "theirs.example" not in asked


def test_a_domain_administrator_changes_no_account_that_is_not_theirs(as_domain_administrator, domains):
    services.add_domain("other.example", key_pairs=[])
    ann = mailbox(ANN)
    User.objects.filter(pk=ann.user_id).update(is_staff=True)
    for verb, given in (("remove", {}), ("rename", {"address": "anna@mine.example"})):
        assert "not yours to change" in act(as_domain_administrator, "mailbox", ann, verb, **given)
    bob = mailbox(BOB)
    assert "not one of your domains" in act(
        as_domain_administrator, "mailbox", bob, "rename", address="bob@theirs.example"
    )
    assert mailbox(ANN).state == "active" and mailbox(BOB)
