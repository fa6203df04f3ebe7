"""What ends with a removal, and what comes back by restoring."""

from datetime import UTC, datetime, timedelta

import pytest
from django.apps import apps
from django.db.models import Model

from mailsuite.access.authentication import Authentication, authenticate, session_is_valid
from mailsuite.access.login_log import is_known_good
from mailsuite.access.throttle import Attempt, record_failure
from mailsuite.directory import lookup
from mailsuite.directory.models import (
    KEPT_REMOVED,
    Alias,
    AliasTarget,
    Credential,
    Domain,
    Login,
    LoginThrottle,
    Mailbox,
    SendAs,
    User,
)
from mailsuite.directory.resolution import Kind
from mailsuite.provisioning import aliases, restoring, services
from mailsuite.provisioning.services import ChangeRefused
from mailsuite.store.models import Folder
from mailsuite.web.backend import PasswordBackend

PASSWORD = "correct horse battery"
OTHER_PASSWORD = "another long password"
NOW = datetime.now(UTC)

# Of each relation to an account, a mailbox or a domain: whether removing ends it, or whether it stays with the row,
# which nobody who gets the address next has. A new relation needs a decision here.
ENDS, STAYS = "ends", "stays with the removed row"
DECISIONS = {
    "admin.LogEntry.user": STAYS,
    "directory.User.groups": STAYS,
    "directory.User.user_permissions": STAYS,
    "directory.Domain.alias_of": STAYS,
    "directory.Domain.administrators": ENDS,
    "directory.Mailbox.domain": STAYS,
    "directory.Mailbox.user": STAYS,
    "directory.Alias.domain": STAYS,
    "directory.SendAs.user": ENDS,
    "directory.Credential.user": ENDS,
    "directory.Login.user": STAYS,
    "directory.KnownNetwork.user": STAYS,
    "directory.AccountEvent.user": STAYS,
    "signing.DkimKey.domain": STAYS,
    "records.DomainPolicy.domain": STAYS,
    "records.DnsCheck.domain": STAYS,
    "records.Observation.domain": STAYS,
    "transport_security.MtaSts.domain": STAYS,
    "screening.Rule.domain": STAYS,
    "screening.Rule.mailbox": STAYS,
    "screening.SenderPause.mailbox": STAYS,
    "store.Usage.mailbox": STAYS,
    "store.Folder.mailbox": STAYS,
    "store.Subscription.mailbox": STAYS,
    "store.Message.mailbox": STAYS,
    "store.PartialCopy.mailbox": STAYS,
    "store.MaildropLease.mailbox": STAYS,
    "store.DepartedMessage.mailbox": STAYS,
    "queue.QueuedMessage.sender_mailbox": STAYS,
    "queue.QueuedMessage.domain": STAYS,
    "trace.Story.sender_domain": STAYS,
    "trace.Story.sender_mailbox": STAYS,
    "trace.Event.domain": STAYS,
    "trace.Event.mailbox": STAYS,
    "trace.StoryRecipient.domain": STAYS,
    "junk.Judgement.mailbox": STAYS,
    "junk.Lesson.mailbox": STAYS,
    "junk.Sender.mailbox": STAYS,
    "junk.WordTable.mailbox": STAYS,
    "abuse.SendingCap.mailbox": STAYS,
    "abuse.SendingDay.mailbox": STAYS,
    "abuse.SentRecipient.mailbox": STAYS,
    "abuse.Alarm.mailbox": STAYS,
    "reports.IncomingReport.domain": STAYS,
    "reports.DmarcReport.domain": STAYS,
    "reports.DmarcDay.domain": STAYS,
    "reports.FailureReport.domain": STAYS,
    "reports.TlsReport.domain": STAYS,
    "reports.ReportSettings.submitter": STAYS,
}
# Of each column that holds an address or a domain's name as text.
BY_TEXT = {
    "directory.AliasTarget.address_key": ENDS,
    "directory.SendAs.address_key": ENDS,
    "directory.LoginThrottle.key": ENDS,
}


def relations() -> set[str]:
    holders: tuple[type[Model], ...] = (User, Mailbox, Domain)
    return {
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        for field in (*model._meta.fields, *model._meta.many_to_many)
        if field.is_relation
        and model._meta.proxy is False
        and (field.related_model in holders or model is User and field in model._meta.many_to_many)
    }


@pytest.fixture
def rich(ann):
    """Ann with all that an account and an address can have; her administrator's rights are over example.org."""
    services.add_mailbox("bob@example.org", PASSWORD)
    bob = User.objects.get(email="bob@example.org")
    services.add_app_password(ann.pk, "phone")
    services.grant_send_as(ann.pk, "press@example.org")
    services.grant_send_as(bob.pk, "ann@example.org")
    services.grant_send_as(bob.pk, "ann+shop@example.org")
    services.add_alias("team@example.org", ["ann@example.org", "bob@example.org"])
    services.add_alias("only@example.org", ["ann+only@example.org"])
    User.objects.filter(pk=ann.pk).update(is_staff=True)
    Domain.objects.get().administrators.add(ann)
    record_failure(Attempt("192.0.2.9", "ann@example.org"), NOW)
    Login.objects.create(
        user=ann, address_key="ann@example.org", at=NOW, protocol="imap", client_address="192.0.2.1", succeeded=True
    )
    return ann


def test_every_relation_to_a_holder_is_decided():
    assert relations() == set(DECISIONS)
    for name in BY_TEXT:
        model, _, field = name.rpartition(".")
        assert apps.get_model(model)._meta.get_field(field)


def is_left(user: User) -> list[str]:
    """Which of the relations that end are still there, of this account or by its address."""
    found = {
        "directory.Domain.administrators": user.administered_domains.exists(),
        "directory.SendAs.user": SendAs.objects.filter(user=user).exists(),
        "directory.Credential.user": Credential.objects.filter(user=user, revoked_at=None).exists(),
        "directory.AliasTarget.address_key": AliasTarget.objects.filter(
            address_key__startswith="ann", removed_at=None
        ).exists(),
        "directory.SendAs.address_key": SendAs.objects.filter(address_key__startswith="ann").exists(),
        "directory.LoginThrottle.key": LoginThrottle.objects.filter(key__contains="ann@").exists(),
    }
    assert set(found) == {name for name, decision in (DECISIONS | BY_TEXT).items() if decision == ENDS}
    return [name for name, left in found.items() if left]


def test_removing_a_mailbox_ends_what_it_gave(rich):
    assert len(is_left(rich)) == 6
    services.remove_mailbox("ann@example.org")
    assert is_left(rich) == []
    gone = User.objects.get(pk=rich.pk)
    assert gone.removed_at and not gone.is_staff
    assert not PasswordBackend().user_can_authenticate(gone)
    # The throttle's count of the network itself is not the account's.
    assert LoginThrottle.objects.filter(key="net:192.0.2.9").exists()


def test_removing_a_domain_ends_what_it_gave(rich):
    AliasTarget.objects.update(removed_at=NOW)  # aliases go with their domain
    services.remove_domain("example.org")
    assert is_left(rich) == []
    assert not SendAs.objects.exists()


@pytest.mark.parametrize("remove", [services.remove_mailbox, lambda address: services.remove_domain("example.org")])
def test_an_address_given_anew_is_a_new_account(rich, remove):
    version = User.objects.get(pk=rich.pk).credential_version
    session = Authentication(rich.pk, rich.mailboxes.get().pk, "ann@example.org", credential_version=version)
    assert session_is_valid(session)
    remove("ann@example.org")
    assert not session_is_valid(session)
    if not Domain.objects.filter(state="active").exists():
        services.add_domain("example.org", key_pairs=[])
    services.add_mailbox("ann@example.org", OTHER_PASSWORD)
    new = User.objects.get(address_key="ann@example.org")
    assert new.pk != rich.pk and not new.is_staff
    assert not new.administered_domains.exists() and not new.send_as.exists() and not new.credentials.exists()
    assert is_known_good(rich.pk, "192.0.2.1", NOW) and not is_known_good(new.pk, "192.0.2.1", NOW)
    assert not lookup.may_send_as(new.pk, "press@example.org") and not lookup.may_send_as(new.pk, "team@example.org")
    assert not [one for one in lookup.resolve("team@example.org").local if one.address == "ann@example.org"]
    for password, succeeds in ((PASSWORD, False), (OTHER_PASSWORD, True)):
        found = authenticate("ann@example.org", password, protocol="imap", client_address="192.0.2.77")
        assert found.succeeded is succeeds
    # And what has the address now keeps the old one from coming back.
    with pytest.raises(ChangeRefused):
        restoring.restore_mailbox(Mailbox.objects.get(user=rich).pk)


def test_a_domain_hosted_anew_is_another_one(rich):
    old = Domain.objects.get()
    services.remove_domain("example.org")
    services.add_domain("example.org", key_pairs=[])
    new = Domain.objects.exclude(pk=old.pk).get()
    assert not new.administrators.exists() and not old.administrators.exists()
    assert lookup.hosted_domain("example.org").domain_id == new.pk
    with pytest.raises(ChangeRefused, match="hosted here already"):
        services.restore_domain(old.pk)


def test_an_account_with_another_mailbox_gives_up_the_name_that_is_removed(ann):
    services.add_mailbox("info@example.org", owner="ann@example.org")
    services.add_app_password(ann.pk, "phone")
    services.remove_mailbox("ann@example.org")
    kept = User.objects.get(pk=ann.pk)
    assert (kept.email, kept.removed_at) == ("info@example.org", None)
    assert services.app_passwords_in_force(ann.pk).exists()
    services.add_mailbox("ann@example.org", OTHER_PASSWORD)
    found = authenticate("info@example.org", PASSWORD, protocol="imap", client_address="192.0.2.77")
    assert found.user_id == ann.pk
    assert Mailbox.objects.get(address_key="ann@example.org").user_id != ann.pk


def test_a_superusers_account_stays(domain, administrator):
    services.add_mailbox("root@example.org", owner="admin@localhost")
    services.remove_mailbox("root@example.org")
    assert User.objects.get(pk=administrator.pk).removed_at is None


def test_an_account_that_was_switched_off_is_not_switched_on_by_a_mailbox(domain):
    user = User.objects.create_user("carol@example.org", PASSWORD, is_active=False)
    with pytest.raises(ChangeRefused, match="switched off"):
        services.add_mailbox("carol@example.org", OTHER_PASSWORD)
    assert not User.objects.get(pk=user.pk).is_active


def test_a_mailbox_comes_back_as_it_was(rich):
    before, session = Mailbox.objects.get(user=rich), rich.get_session_auth_hash()
    folders = set(Folder.objects.filter(mailbox=before).values_list("pk", flat=True))
    services.remove_mailbox("ann@example.org")
    assert lookup.resolve("only@example.org").kind is Kind.UNKNOWN
    assert restoring.find_removed_mailbox("ANN@example.org") == before.pk
    assert services.restore_mailbox(before.pk) == "ann@example.org"
    mailbox = Mailbox.objects.get(pk=before.pk)
    assert (mailbox.state, mailbox.address_key, mailbox.removed_at) == ("active", "ann@example.org", None)
    assert set(Folder.objects.filter(mailbox=before).values_list("pk", flat=True)) == folders
    assert [one.mailbox_id for one in lookup.resolve("only@example.org").local] == [before.pk]
    assert len(lookup.resolve("team@example.org").local) == 2
    assert authenticate("ann@example.org", PASSWORD, protocol="imap", client_address="192.0.2.77").user_id == rich.pk
    # What was ended stays ended.
    assert User.objects.get(pk=rich.pk).get_session_auth_hash() != session
    assert not services.app_passwords_in_force(rich.pk).exists() and not SendAs.objects.exists()
    assert not User.objects.get(pk=rich.pk).is_staff and not Domain.objects.get().administrators.exists()


def test_a_suspended_mailbox_comes_back_suspended(ann):
    services.suspend_mailbox("ann@example.org")
    services.remove_mailbox("ann@example.org")
    services.restore_mailbox(restoring.find_removed_mailbox("ann@example.org"))
    assert Mailbox.objects.get().state == "suspended"


def test_a_mailbox_whose_address_is_in_use_comes_back_under_another(ann):
    services.remove_mailbox("ann@example.org")
    old = restoring.find_removed_mailbox("ann@example.org")
    services.add_mailbox("ann@example.org", OTHER_PASSWORD)
    with pytest.raises(ChangeRefused, match="already"):
        services.restore_mailbox(old)
    assert services.restore_mailbox(old, as_address="ann.old@example.org") == "ann.old@example.org"
    assert User.objects.get(pk=ann.pk).email == "ann.old@example.org"
    found = authenticate("ann.old@example.org", PASSWORD, protocol="imap", client_address="192.0.2.77")
    assert found.mailbox_id == old


def test_an_account_of_that_name_is_named_and_may_take_it(ann):
    services.remove_mailbox("ann@example.org")
    old = restoring.find_removed_mailbox("ann@example.org")
    other = User.objects.create_user("ann@example.org", OTHER_PASSWORD)
    with pytest.raises(ChangeRefused, match="--owner ann@example.org"):
        services.restore_mailbox(old)
    services.restore_mailbox(old, owner="ann@example.org")
    assert Mailbox.objects.get(pk=old).user == other


def test_a_domain_comes_back_with_what_went_with_it(rich):
    services.add_domain("example.net", alias_of="example.org", key_pairs=[])
    services.remove_mailbox("bob@example.org")
    old = Domain.objects.get(name="example.org")
    services.remove_domain("example.org")
    assert lookup.resolve("ann@example.org").kind is Kind.UNHOSTED
    found = services.restore_domain(restoring.find_removed_domain("example.org"))
    # postmaster@, abuse@, team@ and only@; Bob was removed before.
    assert (found.mailboxes, found.aliases, found.left) == (1, 4, [])
    assert [one.address for one in lookup.resolve("ann@example.net").local] == ["ann@example.org"]
    assert [one.address for one in lookup.resolve("team@example.org").local] == ["ann@example.org"]
    assert lookup.resolve("bob@example.org").kind is Kind.UNKNOWN
    assert not Domain.objects.get(pk=old.pk).administrators.exists()


def test_a_mailbox_of_a_removed_domain_waits_for_it(ann):
    services.remove_domain("example.org")
    with pytest.raises(ChangeRefused, match="restore the domain first"):
        services.restore_mailbox(restoring.find_removed_mailbox("ann@example.org"))


def test_an_alias_comes_back_with_its_targets(rich):
    services.add_alias("far@example.org", ["team@example.org"])
    services.remove_alias("team@example.org")
    assert lookup.resolve("team@example.org").kind is Kind.UNKNOWN
    assert lookup.resolve("far@example.org").kind is Kind.UNKNOWN
    services.restore_alias(restoring.find_removed_alias("team@example.org"))
    assert len(lookup.resolve("far@example.org").local) == 2


def test_an_alias_whose_address_is_in_use_is_refused(rich):
    services.remove_alias("team@example.org")
    old = restoring.find_removed_alias("team@example.org")
    services.add_alias("team@example.org", ["bob@example.org"])
    with pytest.raises(ChangeRefused, match="there already"):
        services.restore_alias(old)
    assert Alias.objects.get(pk=old).removed_at


def test_targets_that_went_survive_a_change_of_the_alias(rich):
    services.remove_mailbox("ann@example.org")
    services.change_alias("team@example.org", targets=["bob@example.org", "x@remote.example"])
    services.restore_mailbox(restoring.find_removed_mailbox("ann@example.org"))
    assert len(lookup.resolve("team@example.org").local) == 2


def test_who_comes_back_is_not_on_another_domain_s_list_that_was_written_without(rich):
    services.add_domain("example.net", key_pairs=[])
    services.add_mailbox("cat@example.net", OTHER_PASSWORD)
    for name in ("kept", "written"):
        services.add_alias(f"{name}@example.net", ["ann@example.org", "cat@example.net"])
    services.remove_mailbox("ann@example.org")
    services.change_alias("written@example.net", targets=["cat@example.net"])
    services.restore_mailbox(restoring.find_removed_mailbox("ann@example.org"))
    assert len(lookup.resolve("kept@example.net").local) == 2
    assert [one.address for one in lookup.resolve("written@example.net").local] == ["cat@example.net"]


def test_an_account_comes_back_under_no_name_of_another_domain(ann):
    services.add_domain("example.net", key_pairs=[])
    services.add_mailbox("also@example.net", owner="ann@example.org")
    for address in ("also@example.net", "ann@example.org"):
        services.remove_mailbox(address)
    services.restore_mailbox(restoring.find_removed_mailbox("also@example.net"))
    assert (User.objects.get(pk=ann.pk).email, User.objects.get(pk=ann.pk).address_key) == ("also@example.net",) * 2
    services.add_mailbox("ann@example.org", OTHER_PASSWORD)


def test_no_more_patterns_come_back_than_a_domain_may_have(ann, monkeypatch):
    monkeypatch.setattr(aliases, "MAX_PATTERNS", 1)
    services.add_alias("a-*@example.org", ["ann@example.org"])
    services.remove_alias("a-*@example.org")
    services.add_alias("b-*@example.org", ["ann@example.org"])
    with pytest.raises(ChangeRefused, match="1 patterns already"):
        services.restore_alias(restoring.find_removed_alias("a-*@example.org"))


def test_a_mailbox_for_an_account_without_one_is_opened_by_no_old_app_password(domain, administrator):
    boss = User.objects.create_user("boss@example.org", PASSWORD)
    old = services.add_app_password(boss.pk, "telephone").password
    services.grant_send_as(boss.pk, "press@example.org")
    services.add_mailbox("boss@example.org", OTHER_PASSWORD)
    answer = authenticate("boss@example.org", old, protocol="imap", client_address="192.0.2.77")
    assert not answer.succeeded and not SendAs.objects.exists()
    # One that has a mailbox keeps them.
    kept = services.add_app_password(boss.pk, "telephone").password
    services.add_mailbox("more@example.org", OTHER_PASSWORD, owner="boss@example.org")
    assert authenticate("boss@example.org", kept, protocol="imap", client_address="192.0.2.77").succeeded


def test_what_is_older_than_thirty_days_stays_removed(ann):
    services.remove_mailbox("ann@example.org")
    Mailbox.objects.update(removed_at=datetime.now(UTC) - KEPT_REMOVED - timedelta(minutes=1))
    with pytest.raises(ChangeRefused, match="30 days are over"):
        services.restore_mailbox(Mailbox.objects.get().pk)
    with pytest.raises(ChangeRefused, match="is kept"):
        restoring.find_removed_mailbox("ann@example.org")


def test_removing_a_domain_takes_queries_by_the_slice(ann, django_assert_max_num_queries):
    for number in range(8):
        services.add_mailbox(f"m{number}@example.org", PASSWORD)
    with django_assert_max_num_queries(30):
        services.remove_domain("example.org")
    assert not Mailbox.objects.exclude(state="removed").exists()
