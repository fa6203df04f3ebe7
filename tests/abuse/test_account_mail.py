"""Owners are told by mail, once, of a new password, an app password, and a sign-in from a new network."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mailsuite.abuse import account_mail, telling
from mailsuite.access import authentication, login_log
from mailsuite.directory import account_events
from mailsuite.directory.account_events import LEARNING, MOST_ROAMING
from mailsuite.directory.models import AccountEvent, KnownNetwork, User
from mailsuite.mail.client_network import Reach, network_around
from mailsuite.provisioning import services
from mailsuite.provisioning.accounts import change_account
from mailsuite.store.models import Message
from mailsuite.trace.models import Story
from mailsuite.writer.storage import mail_storage

NOW = datetime.now(UTC)
PASSWORD = "correct horse battery"


@pytest.fixture
def ann(bans):
    mail_storage().prepare()
    User.objects.create_superuser("root@localhost", PASSWORD)
    services.add_domain("example.org", key_pairs=[])
    services.add_mailbox("ann@example.org", PASSWORD)
    AccountEvent.objects.all().delete()
    return User.objects.get(email="ann@example.org")


def mails(user):
    """The decoded bodies, with their subjects, in the order of filing."""
    found = []
    for message in Message.objects.filter(folder__mailbox__user=user).order_by("pk").select_related("content"):
        with mail_storage().open(message.content.blob) as blob:
            found.append((message.content.subject, " ".join(blob.read().decode().replace("=\r\n", "").split())))
    return found


def sign_in(user, address, protocol="imap", password=PASSWORD, at=NOW):
    login_log.forget_gathered()
    found = authentication.authenticate(user.email, password, protocol=protocol, client_address=address, now=at)
    assert found.succeeded


def learned(user, address="192.0.2.1", ago=LEARNING):
    KnownNetwork.objects.create(
        user=user, network=network_around(address, Reach.HOLDER),
        first_seen_at=NOW - ago, last_seen_at=NOW - ago,
    )  # fmt: skip


def test_each_act_is_told_with_who_did_it(ann):
    hashed = services.hash_password("another long password")
    services.set_user_password(ann.pk, hashed, by=account_events.OWNER, client_address="192.0.2.7")
    assert account_mail.tell(NOW) == 1
    services.add_app_password(ann.pk, "Phone\nof Ann", scopes=["imap"], by="the administrator root@localhost")
    services.set_password("ann@example.org", "yet another password")
    flags = {"name": "", "is_active": True, "is_staff": False, "is_superuser": False}
    change_account(ann.pk, password_hash=hashed, by="the administrator root@localhost", **flags)
    user = User.objects.get(pk=ann.pk)
    user.set_password("as manage.py changepassword does")
    user.save()
    assert account_mail.tell(NOW) == 1 and account_mail.tell(NOW) == 0
    (first, one), (second, several) = mails(ann)
    assert first == "Your password was changed" and second == "What happened to your account"
    assert "the password was changed by you, from 192.0.2.7." in one and "roam" not in one
    assert "the app password" in several and "Phone of Ann" in several and "(for IMAP) was made by the admin" in several
    assert several.count("the password was changed by an administrator.") == 2
    assert "changed by the administrator root@localhost." in several
    assert Story.objects.filter(kind="notification", reason="account").count() == 2


def test_where_mail_goes_is_told(ann):
    services.forward_mailbox("ann@example.org", [f"x{number}@remote.example" for number in range(5)], keep=False)
    services.rename_mailbox("ann@example.org", "anna@example.org", by="the administrator root@localhost")
    account_mail.tell(NOW)
    [(_, text)] = mails(ann)
    assert "mail to ann@example.org goes on to x0@remote.example, x1@remote.example, x2@remote.example and 2" in text
    assert "and 2 more, and none is kept; done by an administrator." in text
    assert "ann@example.org is anna@example.org now; done by the administrator root@localhost." in text


def test_a_sign_in_from_a_new_network_is_told_once(ann):
    learned(ann)
    phone = services.add_app_password(ann.pk, "Phone").password
    AccountEvent.objects.all().delete()
    sign_in(ann, "192.0.2.200")
    assert not AccountEvent.objects.exists()
    sign_in(ann, "198.51.100.7", "web")
    sign_in(ann, "198.51.100.8", "smtp")
    sign_in(ann, "2001:db8:1:2::1", password=phone)
    sign_in(ann, "2001:db8:1:3::9")
    sign_in(ann, "::ffff:192.0.2.5")
    sign_in(ann, "127.0.0.1")
    assert [event.what for event in AccountEvent.objects.order_by("pk")] == [
        "198.51.100.0/24, on the web pages",
        "2001:db8:1::/48, by IMAP with the app password “Phone”",
    ]
    assert account_mail.tell(NOW) == 1
    [(_, text)] = mails(ann)
    assert "from the network 198.51.100.0/24, on the web pages, from 198.51.100.7." in text
    assert "Programs that roam" in text


def test_first_sign_ins_are_learned_in_silence(ann):
    for number in range(5):
        sign_in(ann, f"203.0.{number}.1")
    learned(ann, ago=timedelta(days=6))
    sign_in(ann, "198.51.100.7", "web")
    assert not AccountEvent.objects.exists() and KnownNetwork.objects.count() == 7


def test_a_roaming_program_is_told_of_a_few_times_and_the_web_always(ann):
    learned(ann)
    for number in range(MOST_ROAMING + 3):
        sign_in(ann, f"203.0.{number}.1")
    assert AccountEvent.objects.count() == MOST_ROAMING
    sign_in(ann, "198.51.100.7", "web")
    assert AccountEvent.objects.count() == MOST_ROAMING + 1


def test_neither_a_failure_nor_a_refusal_makes_a_network_known(ann):
    learned(ann)
    answer = authentication.authenticate("ann@example.org", "wrong", protocol="web", client_address="198.51.100.7")
    assert not answer.succeeded and KnownNetwork.objects.count() == 1


def test_a_network_is_known_until_nobody_came_from_it_for_long(ann):
    learned(ann, ago=account_events.KEPT)
    sign_in(ann, "192.0.2.9")
    assert account_events.forget_old(NOW + timedelta(days=80)) == 0
    assert account_events.forget_old(NOW + account_events.KEPT + timedelta(days=1)) == 1


def test_a_busy_program_costs_one_look_a_day(ann, django_capture_on_commit_callbacks):
    learned(ann)
    for expected in (1, 0, 0):
        with django_capture_on_commit_callbacks(execute=True), CaptureQueriesContext(connection) as queries:
            account_events.signed_in(ann.pk, "imap", "192.0.2.1", None, NOW)
        assert len(queries) == expected
    with CaptureQueriesContext(connection) as queries:
        account_events.signed_in(ann.pk, "imap", "192.0.2.1", None, NOW + timedelta(days=1))
    assert len(queries) == 1


def test_nobody_is_flooded_and_nothing_is_lost(ann, monkeypatch):
    monkeypatch.setattr(account_events, "MOST_A_DAY", 12)
    monkeypatch.setattr(account_mail, "MOST_EVENTS", 4)
    for _ in range(20):
        services.add_app_password(ann.pk, "x")
        account_mail.tell(NOW)
    assert AccountEvent.objects.count() == 12
    assert len(mails(ann)) == account_mail.MAILS_A_DAY
    while account_mail.tell(NOW + timedelta(days=1, seconds=1)):
        continue
    assert len(mails(ann)) == account_mail.MAILS_A_DAY + 2
    assert not AccountEvent.objects.filter(told_at=None).exists()


def test_a_clock_that_was_ahead_keeps_nobody_from_being_told(ann):
    """Networks, events and mails of 20 days to come are none that count."""
    ahead = NOW + timedelta(days=20)
    learned(ann, ago=-timedelta(days=20))
    for _ in range(account_mail.MAILS_A_DAY):
        services.add_app_password(ann.pk, "x")
        account_mail.tell(ahead)
    AccountEvent.objects.update(at=ahead, kind="sign-in")
    sign_in(ann, "203.0.113.7")
    assert account_mail.tell(NOW) == 1


def test_a_mail_is_filed_once_whatever_breaks(ann, monkeypatch):
    services.add_app_password(ann.pk, "x")
    real = account_mail.file_notice

    def away(operation):
        raise OSError("the disk is away")

    def broken(operation):
        real(operation)
        raise OSError("and then it broke")

    for execute in (away, broken, real, real):
        monkeypatch.setattr(account_mail, "file_notice", execute)
        account_mail.tell(NOW)
    assert len(mails(ann)) == 1 and not AccountEvent.objects.filter(told_at=None).exists()


def test_one_account_s_trouble_keeps_no_other_from_its_mail(ann, monkeypatch):
    services.add_mailbox("bob@example.org", PASSWORD)
    bob = User.objects.get(email="bob@example.org")
    for user in (ann, bob):
        services.add_app_password(user.pk, "x")
    real = account_mail.file_notice
    monkeypatch.setattr(
        account_mail, "file_notice", lambda op: real(op) if "bob" in op.local[0].address else real(None)
    )
    account_mail.tell(NOW)
    assert len(mails(bob)) == 1 and not mails(ann)


def test_of_an_administrator_without_a_mailbox_is_told_where_alarms_go(ann):
    telling.name(["ann@example.org"])
    services.add_app_password(User.objects.get(email="root@localhost").pk, "x")
    assert account_mail.tell(NOW) == 1 and account_mail.tell(NOW) == 0
    [(subject, text)] = mails(ann)
    assert subject == "The administrator's account root@localhost" and "to the account root@localhost:" in text


def test_an_account_without_a_mailbox_has_nobody_to_tell(ann):
    nobody = User.objects.create_user("nobody@localhost", PASSWORD)
    services.add_app_password(nobody.pk, "x")
    assert account_mail.tell(NOW) == 0
    assert not AccountEvent.objects.filter(told_at=None).exists()
