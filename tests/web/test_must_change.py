"""A password that somebody else knows opens, on the web, nothing but the page where another one is chosen."""

import io

import pytest
from django.core.management import call_command
from django.urls import reverse

from mailsuite.access import authentication
from mailsuite.directory.models import Mailbox, User
from mailsuite.provisioning import services
from mailsuite.provisioning.mailbox_import import import_mailboxes
from mailsuite.supervisor.prepare import _ensure_administrator

PASSWORD = "correct horse battery"
OWN = "a password of my own"


@pytest.fixture
def eve(directory):
    services.add_mailbox("eve@example.org", PASSWORD, must_change=True)
    return User.objects.get(email="eve@example.org")


def sign_in(client, name, password=PASSWORD):
    return client.post("/sign-in", {"username": name, "password": password}, follow=True)


def choose(client, old=PASSWORD, new=OWN):
    return client.post("/password", {"old_password": old, "new_password": new, "repeated": new})


def test_every_page_leads_to_the_password_until_it_is_changed(client, eve):
    page = sign_in(client, eve.email)
    assert page.redirect_chain[-1][0] == "/password" and b"Choose your own password" in page.content
    assert b"Your mail</a>" not in page.content
    for url in ("/", "/app-passwords", "/junk", "/rules", "/sign-ins", "/admin/", "/admin/password_change/"):
        for answer in (client.get(url), client.post(url)):
            assert (answer.status_code, answer["Location"]) == (302, "/password"), url
    assert b"choose another one" in choose(client, new=PASSWORD).content
    answer = choose(client)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert client.get("/").status_code == 200
    assert not User.objects.get(pk=eve.pk).must_change_password


def test_one_may_leave(client, eve):
    sign_in(client, eve.email)
    assert client.post("/sign-out")["Location"] == "/sign-in"
    assert client.get("/sign-in").status_code == 200


def test_mail_programs_are_let_in_by_it(eve):
    for protocol in ("imap", "smtp", "pop3"):
        found = authentication.authenticate(eve.email, PASSWORD, protocol=protocol, client_address="192.0.2.1")
        assert found.succeeded


def test_the_first_administrator_chooses_a_password_and_goes_on_to_the_admin(client, directory):
    User.objects.filter(is_superuser=True).delete()
    email, password = _ensure_administrator("mx.example.org")
    for url in (reverse("admin:login"), "/admin/"):
        client.post(url, {"username": email, "password": password})
    assert client.get("/admin/")["Location"] == "/password"
    assert choose(client, password)["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_whoever_sets_a_password_of_somebody_else_in_the_admin_has_it_changed(client, ann):
    root = User.objects.get(is_superuser=True)
    client.force_login(root)
    form = {"address": "dan@example.org", "password": PASSWORD, "must_change": "on", "quota_octets": "1G"}
    client.post(reverse("admin:directory_mailbox_add"), form)
    assert User.objects.get(email="dan@example.org").must_change_password
    box = Mailbox.objects.get(address="ann@example.org")
    change = reverse("admin:directory_mailbox_change", args=[box.pk])
    client.post(change, form)
    assert User.objects.get(pk=ann.pk).must_change_password
    client.post(change, {"password": OWN, "quota_octets": "1G"})
    assert not User.objects.get(pk=ann.pk).must_change_password
    account = reverse("admin:directory_user_change", args=[ann.pk])
    client.post(account, {"password": PASSWORD, "must_change": "on", "is_active": "on"})
    assert User.objects.get(pk=ann.pk).must_change_password
    assert b"to be changed at the next sign-in" in client.get(account).content
    own = {"password": OWN, "must_change": "on", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    client.post(reverse("admin:directory_user_change", args=[root.pk]), own)
    assert not User.objects.get(pk=root.pk).must_change_password
    client.force_login(User.objects.get(pk=root.pk))
    page = client.get(reverse("admin:directory_mailbox_add")).content.decode()
    assert 'name="must_change"' in page and "checked" in page.partition('name="must_change"')[2][:400]


def test_in_the_shell_one_asks_for_it(eve, monkeypatch):
    def run(*words, typed=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        call_command(*words, stdout=io.StringIO())

    run("mailbox", "password", eve.email, "--password-stdin", typed=OWN)
    assert not User.objects.get(pk=eve.pk).must_change_password
    run("mailbox", "password", eve.email, "--password-stdin", "--must-change", typed=OWN)
    assert User.objects.get(pk=eve.pk).must_change_password
    run("mailbox", "add", "fay@example.org", "--password-stdin", "--must-change", typed=OWN)
    assert User.objects.get(email="fay@example.org").must_change_password
    import_mailboxes([f"gus@example.org,{OWN}"], must_change=True)
    assert User.objects.get(email="gus@example.org").must_change_password
    user = User.objects.get(pk=eve.pk)
    user.set_password(OWN)
    user.save()
    assert not User.objects.get(pk=eve.pk).must_change_password
