"""Mailboxes whose mail goes on, mailboxes with another address, and domains that take no mail for now."""

import pytest

from mailsuite.access.authentication import authenticate
from mailsuite.directory import lookup
from mailsuite.directory.models import Alias, AliasTarget, Mailbox, User
from mailsuite.directory.resolution import Kind
from mailsuite.provisioning import restoring, services
from mailsuite.provisioning.services import ChangeRefused
from mailsuite.store.models import Folder

PASSWORD = "correct horse battery"
ANN, BOB, FRIEND = "ann@example.org", "bob@example.org", "x@remote.example"


@pytest.fixture
def bob(ann):
    services.add_mailbox(BOB, PASSWORD)
    return User.objects.get(email=BOB)


def ways(address):
    """Mailboxes here and addresses elsewhere that get mail for the address."""
    found = lookup.resolve(address)
    return sorted(target.address for target in found.local), list(found.remote)


def test_with_or_without_a_copy(ann, bob):
    services.forward_mailbox(ANN, [FRIEND, BOB])
    assert ways(ANN) == ([ANN, BOB], [FRIEND])
    assert services.forwarding_of(Mailbox.objects.get(user=ann)) == ([FRIEND, BOB], True)
    services.forward_mailbox(ANN, [FRIEND], keep=False)
    assert ways(ANN) == ([], [FRIEND])
    services.stop_forwarding(ANN)
    assert ways(ANN) == ([ANN], [])
    assert services.forwarding_of(Mailbox.objects.get(user=ann)) == ([], True)
    with pytest.raises(ChangeRefused, match="not forwarded"):
        services.stop_forwarding(ANN)


def test_the_story_tells_the_way_and_the_detail_stays(ann):
    services.forward_mailbox(ANN, [FRIEND])
    found = lookup.resolve("ann+lists@example.org")
    [step] = found.chain
    assert (step.by, step.address, step.targets) == ("forward", "ann+lists@example.org", (FRIEND, ANN))
    assert [target.detail for target in found.local] == ["lists"]


def test_what_leads_to_the_mailbox_goes_on_too(ann, bob):
    services.add_alias("team@example.org", [ANN, BOB])
    services.forward_mailbox(ANN, [FRIEND], keep=False)
    assert ways("team@example.org") == ([BOB], [FRIEND])
    services.add_domain("example.net", alias_of="example.org", key_pairs=[])
    assert ways("ann@example.net") == ([], [FRIEND])


@pytest.mark.parametrize("keep", [True, False])
def test_circles_are_refused_and_lose_nothing(ann, bob, keep):
    services.forward_mailbox(ANN, [BOB], keep=keep)
    with pytest.raises(ChangeRefused, match="circle"):
        services.forward_mailbox(BOB, [ANN], keep=keep)
    with pytest.raises(ChangeRefused, match="circle"):
        services.add_alias("team@example.org", [ANN])
        services.forward_mailbox(BOB, ["team@example.org"], keep=keep)
    with pytest.raises(ChangeRefused, match="other than its own"):
        services.forward_mailbox(BOB, ["Bob@example.org"])
    # Two that were saved at once, say.
    alias = Alias.objects.create(domain=bob.mailboxes.get().domain, kind="forward", address=BOB, address_key=BOB)
    for target in (ANN, BOB):
        AliasTarget.objects.create(alias=alias, address=target, address_key=target)
    services.touch_directory()
    assert BOB in ways(ANN)[0] and BOB in ways(BOB)[0]


@pytest.mark.parametrize(
    ("targets", "words"),
    [(["nobody@example.org"], "There is no nobody"), ([], "goes on to"), (["no at"], "can't be an address")],
)
def test_refused_forwards_say_why(ann, targets, words):
    with pytest.raises(ChangeRefused, match=words):
        services.forward_mailbox(ANN, targets)
    assert ways(ANN) == ([ANN], [])


def test_a_mailbox_keeps_what_would_go_on_to_nobody(ann, bob):
    services.forward_mailbox(ANN, [BOB], keep=False)
    services.remove_mailbox(BOB)
    assert ways(ANN) == ([ANN], [])
    services.restore_mailbox(restoring.find_removed_mailbox(BOB))
    assert ways(ANN) == ([BOB], [])


def test_a_forward_gives_nobody_the_right_to_send(ann, bob):
    services.forward_mailbox(ANN, [BOB], keep=False)
    assert lookup.may_send_as(ann.pk, ANN) and not lookup.may_send_as(bob.pk, ANN)


def test_a_forward_goes_and_comes_back_with_its_mailbox(ann):
    services.forward_mailbox(ANN, [FRIEND])
    services.remove_mailbox(ANN)
    services.add_mailbox(ANN, PASSWORD)
    assert ways(ANN) == ([ANN], [])
    old = restoring.find_removed_mailbox(ANN)
    assert services.restore_mailbox(old, as_address="old@example.org")
    assert ways("old@example.org") == (["old@example.org"], [FRIEND])


def test_a_forward_is_no_alias_to_the_services_of_aliases(ann):
    services.forward_mailbox(ANN, [FRIEND])
    for change in (lambda: services.remove_alias(ANN), lambda: services.change_alias(ANN, is_active=False)):
        with pytest.raises(ChangeRefused, match="no alias"):
            change()
    with pytest.raises(ChangeRefused, match="is a mailbox"):
        services.add_alias(ANN, [FRIEND])


def test_another_address(ann, bob):
    mailbox = Mailbox.objects.get(user=ann)
    folders = set(Folder.objects.filter(mailbox=mailbox).values_list("pk", flat=True))
    services.add_alias("team@example.org", ["ann+team@example.org", BOB])
    services.add_alias("info@example.org", [ANN])
    services.forward_mailbox(ANN, [FRIEND])
    app_password = services.add_app_password(ann.pk, "phone").password
    services.rename_mailbox(ANN, "Anna@example.org")
    for address in ("anna@example.org", ANN, "info@example.org"):
        assert ways(address) == (["Anna@example.org"], [FRIEND])
    assert ways("team@example.org") == (["Anna@example.org", BOB], [FRIEND])
    assert [one.detail for one in lookup.resolve("team@example.org").local if one.mailbox_id == mailbox.pk] == ["team"]
    for address in ("anna@example.org", ANN, "info@example.org"):
        assert lookup.may_send_as(ann.pk, address)
    assert set(Folder.objects.filter(mailbox=mailbox).values_list("pk", flat=True)) == folders
    for password in (PASSWORD, app_password):
        found = authenticate("anna@example.org", password, protocol="imap", client_address="192.0.2.1")
        assert (found.user_id, found.mailbox_id) == (ann.pk, mailbox.pk)
    assert not authenticate(ANN, PASSWORD, protocol="imap", client_address="192.0.2.1").succeeded


def test_another_domain(ann):
    services.add_domain("example.com", key_pairs=[])
    services.rename_mailbox(ANN, "ann@example.com")
    assert ways(ANN) == (["ann@example.com"], [])
    assert Mailbox.objects.get().domain.name == "example.com"


def test_the_same_address_in_other_letters_is_no_alias(ann):
    services.rename_mailbox(ANN, "Ann@example.org")
    assert Mailbox.objects.get().address == "Ann@example.org"
    assert not Alias.objects.filter(address_key=ANN).exists()


def test_refused_addresses(ann, bob):
    services.add_alias("info@example.org", [BOB])
    User.objects.create_user("clerk@example.org", PASSWORD)
    for new, words in (
        (BOB, "already"),
        ("info@example.org", "is an alias"),
        ("ann@unhosted.example", "not hosted"),
        ("clerk@example.org", "another account"),
    ):
        with pytest.raises(ChangeRefused, match=words):
            services.rename_mailbox(ANN, new)
    assert ways(ANN) == ([ANN], [])


def test_what_aliases_lead_to_a_disabled_domain_waits_in_the_queue(ann):
    services.add_domain("example.com", key_pairs=[])
    services.add_mailbox("carol@example.com", PASSWORD)
    services.add_alias("team@example.org", ["carol@example.com", ANN])
    services.set_domain_state("example.com", disabled=True)
    assert lookup.resolve("carol@example.com").kind is Kind.DISABLED
    assert ways("team@example.org") == ([ANN], ["carol@example.com"])
    services.set_domain_state("example.com", disabled=False)
    assert ways("team@example.org") == ([ANN, "carol@example.com"], [])
