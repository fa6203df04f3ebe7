"""Acts that do harm ask for the password again where it was given some time ago, and go on with what was posted."""

import html
import re
import time

import pytest
from django.contrib import admin
from django.urls import reverse

from mailsuite.adminkit import proof
from mailsuite.adminkit.scoping import ACT, DELETE, ScopedAdmin
from mailsuite.directory.models import Alias, Credential, Domain, LoginThrottle, Mailbox, User
from mailsuite.provisioning import services
from mailsuite.queue.models import Route
from mailsuite.signing.models import DkimKey

PASSWORD = "correct horse battery"


@pytest.fixture
def old_session(as_superuser, monkeypatch):
    """A superuser's browser that has been open for an hour."""
    monkeypatch.setattr("mailsuite.web.own_password.time.sleep", lambda seconds: None)
    age(as_superuser, 3600)
    return as_superuser


def age(client, seconds):
    session = client.session
    session["proved_at"] = time.time() - seconds
    session.save()


def url(name, *arguments):
    return reverse(f"admin:{name}", args=arguments)


def confirmed(client, answer, password):
    """Posts what the page holds, with the password, as a browser does."""
    page = answer.content.decode()
    form = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page):
        form.setdefault(html.unescape(name), []).append(html.unescape(value))
    form.pop("csrfmiddlewaretoken", None)
    action = html.unescape(re.search(r'<form method="post" action="([^"]+)" class="ms-ask"', page)[1])
    return client.post(action, form | {"proving_password": password})


def acts():
    """What is posted, and how to see that it was done."""
    ann = Mailbox.objects.get(address="ann@mine.example")
    mine = Domain.objects.get(name="mine.example")
    services.add_domain("spare.example", key_pairs=[])
    spare = Domain.objects.get(name="spare.example")
    key = DkimKey.objects.filter(domain=mine, algorithm="ed25519").first()
    info = Alias.objects.get(address="info@mine.example")
    return {
        "set a password": (url("directory_mailbox_change", ann.pk),
            {"name": "Ann", "quota_octets": "1G", "password": "quite another <&\"' one"},
            lambda: User.objects.get(pk=ann.user_id).password != ann.user.password),
        "make an app password": (url("directory_credential_add"),
            {"user": ann.user_id, "label": "phone", "scopes": ["imap", "smtp"]},
            lambda: Credential.objects.filter(label="phone", scopes="smtp imap").exists()),
        "make a superuser": (url("directory_user_change", ann.user_id),
            {"name": "Ann", "is_active": "on", "is_superuser": "on"},
            lambda: User.objects.get(pk=ann.user_id).is_superuser),
        "make an administrator": (url("directory_domain_change", mine.pk),
            {"default_quota_octets": "1G", "administrators": [str(ann.user_id)]},
            lambda: mine.administrators.filter(pk=ann.user_id).exists()),
        "make a route": (url("queue_route_add"),
            {"pattern": "*", "scheme": "smtps", "host": "smart.example", "port": "465",
            "username": "u", "new_password": "secret", "is_active": "on"}, Route.objects.exists),
        "have an alias lead elsewhere": (url("directory_alias_change", info.pk),
            {"targets": "ann@mine.example\nx@far.example", "is_active": "on"}, lambda: info.targets.count() == 2),
        "make a catch-all": (url("directory_alias_add"),
            {"address": "@mine.example", "targets": "x@far.example", "is_active": "on"},
            lambda: Alias.objects.filter(address_key="@mine.example").exists()),
        "rename": (url("directory_mailbox_do", ann.pk, "rename"), {"address": "anna@mine.example"},
            lambda: Mailbox.objects.get(pk=ann.pk).address == "anna@mine.example"),
        "have another domain be one of several": (url("directory_domain_change", spare.pk),
            {"default_quota_octets": "1G", "alias_of": str(mine.pk)},
            lambda: Domain.objects.get(pk=spare.pk).alias_of_id == mine.pk),
        "delete an alias": (url("directory_alias_delete", info.pk), {"post": "yes"},
            lambda: not Alias.objects.filter(address_key="info@mine.example").exists()),
        "suspend several": (url("directory_mailbox_changelist") + "?q=ann",
            {"action": "suspend", "_selected_action": [str(ann.pk)]},
            lambda: Mailbox.objects.get(pk=ann.pk).state == "suspended"),
        "use a key": (url("signing_dkimkey_do", key.pk, "activate"), {},
            lambda: DkimKey.objects.get(pk=key.pk).state == "active"),
        "make a key": (url("directory_domain_records", mine.pk), {"do": "rotate"},
            lambda: DkimKey.objects.filter(domain=mine).count() > 2),
        "remove a domain": (url("directory_domain_do", mine.pk, "remove"), {},
            lambda: Domain.objects.get(pk=mine.pk).state == "removed"),
    }  # fmt: skip


def test_each_is_asked_for_and_then_done_with_what_was_posted(old_session, domains):
    for name, (address, form, is_done) in acts().items():
        age(old_session, 3600)
        answer = old_session.post(address, form)
        assert answer.status_code == 403 and b"Your password, please" in answer.content, name
        assert not is_done(), name
        assert "no-store" in answer["Cache-Control"]
        if name == "set a password":
            answer = confirmed(old_session, answer, "a wrong password")
            assert answer.status_code == 403 and b"not your current password" in answer.content and not is_done()
        assert confirmed(old_session, answer, PASSWORD).status_code in (200, 302), name
        assert is_done(), name


def test_a_fresh_proof_is_enough_and_a_time_to_come_is_none(as_superuser, domains):
    ann = Mailbox.objects.get(address="ann@mine.example")
    address = url("directory_mailbox_do", ann.pk, "remove")
    for seconds in (-3600, proof.LASTS_SECONDS + 1):
        age(as_superuser, seconds)
        assert as_superuser.post(address).status_code == 403
    session = as_superuser.session
    del session["proved_at"]
    session.save()
    assert as_superuser.post(address).status_code == 403
    age(as_superuser, proof.LASTS_SECONDS - 5)
    assert as_superuser.post(address).status_code == 302
    assert Mailbox.objects.get(pk=ann.pk).state == "removed"


def test_guesses_are_slowed_as_sign_ins_are(old_session, domains):
    ann = Mailbox.objects.get(address="ann@mine.example")
    address = url("directory_mailbox_do", ann.pk, "remove")
    for number in range(7):
        answer = old_session.post(address, {"proving_password": f"guess {number}"})
    assert b"too many wrong passwords" in answer.content
    assert LoginThrottle.objects.filter(key__contains="root@localhost").exists()
    assert old_session.post(address, {"proving_password": PASSWORD}).status_code == 403


def test_what_ends_an_attack_asks_for_nothing(old_session, domains):
    ann = Mailbox.objects.get(address="ann@mine.example")
    assert old_session.post(url("directory_mailbox_do", ann.pk, "suspend")).status_code == 302
    assert Mailbox.objects.get(pk=ann.pk).state == "suspended"
    info = Alias.objects.get(address="info@mine.example")
    assert old_session.post(url("directory_alias_change", info.pk), {"targets": "ann@mine.example"}).status_code == 302
    assert not Alias.objects.get(pk=info.pk).is_active
    services.add_app_password(ann.user_id, "lost")
    credential = Credential.objects.get()
    assert old_session.post(url("directory_credential_do", credential.pk, "revoke")).status_code == 302
    assert Credential.objects.get().revoked_at


def test_nobody_is_asked_who_may_not_do_it(as_domain_administrator, domains):
    age(as_domain_administrator, 3600)
    for address in (
        url("directory_domain_do", domains["mine.example"], "remove"),
        url("queue_route_add"),
        url("directory_user_add"),
    ):
        answer = as_domain_administrator.post(address, {"proving_password": "x"})
        assert answer.status_code == 403 and b"Your password, please" not in answer.content
    theirs = Mailbox.objects.get(address="ann@theirs.example")
    assert as_domain_administrator.post(url("directory_mailbox_do", theirs.pk, "remove")).status_code == 404


def test_every_admin_asks_before_it_deletes_or_changes_many():
    kinds = {
        "remove",
        "forward",
        "rename",
        "restore",
        "release_held",
        "drop_held",
        "resume",
        "release",
        "drop",
        "fail",
        "disable",
    }
    for one in admin.site._registry.values():
        assert isinstance(one, ScopedAdmin)
        may = one.superusers_may | one.domain_administrators_may
        assert DELETE not in may or DELETE in one.asks_password, one
        assert not one.actions or ACT in one.asks_password, one
        assert all(verb.asks_password for verb in one.verbs if verb.name in kinds), one
