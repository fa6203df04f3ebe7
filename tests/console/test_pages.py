"""What a superuser does in the admin, through its forms."""

import dataclasses
import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from mailsuite.access.authentication import authenticate
from mailsuite.access.throttle import NETWORK
from mailsuite.configuration import DEFAULT_QUOTA
from mailsuite.directory import lookup
from mailsuite.directory.models import Alias, Credential, Domain, Login, LoginThrottle, Mailbox, SendAs, User
from mailsuite.directory.resolution import Kind
from mailsuite.directory.version import directory_version
from mailsuite.provisioning import services
from mailsuite.queue.models import Route
from mailsuite.queue.routes import route_password
from mailsuite.signing import lookup as signing
from mailsuite.signing.models import DkimKey
from mailsuite.trace.models import RefusalCount, Story

PASSWORD = "correct horse battery"


def post(client, name, data=None, *arguments):
    return client.post(reverse(f"admin:{name}", args=arguments), data or {}, follow=True)


def text(response):
    return response.content.decode()


def test_a_domain_is_added_and_its_records_are_shown(as_superuser, settings):
    settings.MAILSUITE = dataclasses.replace(settings.MAILSUITE, hostname="mx.host.example")
    response = post(as_superuser, "directory_domain_add", {"name": "Example.org", "default_quota_octets": "1G"})
    assert response.redirect_chain[-1][0].endswith("/records/")
    page = text(response)
    assert all(word in page for word in ("v=spf1 mx -all", "v=DKIM1; k=rsa; p=", "_dmarc.example.org", "data-copy="))
    assert Domain.objects.get().default_quota_octets == 2**30
    post(as_superuser, "directory_domain_add", {"name": "usual.example", "default_quota_octets": ""})
    assert Domain.objects.get(name="usual.example").default_quota_octets == DEFAULT_QUOTA
    assert Alias.objects.filter(address="postmaster@example.org").exists()
    zone = as_superuser.get(response.redirect_chain[-1][0] + "?zone=1")
    assert b"example.org. 3600 IN MX 10 mx.host.example." in zone.content


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"name": "nodots"}, "no whole domain"),
        ({"name": "mine.example"}, "already"),
        ({"name": "new.example", "postmaster": "not an address"}, "be an address"),
        ({"name": "new.example", "default_quota_octets": "lots"}, "no quota"),
    ],
)
def test_a_refused_domain_is_a_mistake_in_the_form(as_superuser, domains, data, says):
    count = Domain.objects.count()
    page = text(post(as_superuser, "directory_domain_add", data))
    assert says in page and f'value="{data["name"]}"' in page
    assert Domain.objects.count() == count


def test_a_mailbox_is_added_changed_suspended_and_removed(as_superuser, domains):
    form = {"address": "carol@mine.example", "password": PASSWORD, "name": "Carol", "quota_octets": "5M"}
    post(as_superuser, "directory_mailbox_add", form)
    carol = Mailbox.objects.get(address="carol@mine.example")
    assert (carol.quota_octets, carol.user.name) == (5 * 2**20, "Carol")
    old = carol.user.password
    for empty in ("", "0"):
        page = post(as_superuser, "directory_mailbox_change", {"name": "C", "quota_octets": empty}, carol.pk)
        assert "none for no limit" in text(page) and Mailbox.objects.get(pk=carol.pk).quota_octets == 5 * 2**20
    post(as_superuser, "directory_mailbox_change", {"name": "C", "quota_octets": "none", "password": ""}, carol.pk)
    carol.refresh_from_db()
    assert (carol.name, carol.quota_octets, User.objects.get(pk=carol.user_id).password) == ("C", 0, old)
    form = {"name": "C", "quota_octets": "none", "password": "another long password"}
    post(as_superuser, "directory_mailbox_change", form, carol.pk)
    assert User.objects.get(pk=carol.user_id).password != old
    post(as_superuser, "directory_mailbox_do", {}, carol.pk, "suspend")
    assert Mailbox.objects.get(pk=carol.pk).state == "suspended"
    post(as_superuser, "directory_mailbox_changelist", {"action": "resume", "_selected_action": [carol.pk]})
    assert Mailbox.objects.get(pk=carol.pk).state == "active"
    post(as_superuser, "directory_mailbox_do", {}, carol.pk, "remove")
    assert lookup.resolve("carol@mine.example").kind is Kind.UNKNOWN


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"address": "x@unhosted.example", "password": PASSWORD}, "not hosted here"),
        ({"address": "x@mine.example", "password": "short"}, "too weak"),
        ({"address": "x@mine.example", "password": ""}, "needs a password"),
        ({"address": "ann@mine.example", "password": PASSWORD}, "already"),
        ({"address": "info@mine.example", "password": PASSWORD}, "is an alias"),
        ({"address": "root@localhost", "password": PASSWORD}, "not hosted here"),
        ({"address": "", "password": PASSWORD}, "be an address"),
    ],
)
def test_a_refused_mailbox_is_a_mistake_in_the_form(as_superuser, domains, data, says):
    assert says in text(post(as_superuser, "directory_mailbox_add", data))
    assert Mailbox.objects.count() == 4


def test_a_mailbox_shows_its_last_login_in_plain_writing(as_superuser, domains):
    ann = Mailbox.objects.get(address="ann@mine.example")
    at = timezone.now().replace(2026, 11, 24, 0, 19, 7, 38075)
    Login.objects.create(user=ann.user, address_key=ann.address_key, at=at, protocol="imap", succeeded=True)
    page = text(as_superuser.get(reverse("admin:directory_mailbox_change", args=[ann.pk])))
    assert "2026-11-24 00:19 UTC<" in re.sub(r"\s+<", "<", page) and "38075" not in page


def test_nothing_is_changed_by_following_a_link(as_superuser, domains):
    mailbox = Mailbox.objects.get(address="ann@mine.example")
    response = as_superuser.get(reverse("admin:directory_mailbox_do", args=[mailbox.pk, "suspend"]))
    assert response.status_code == 405
    assert Mailbox.objects.get(pk=mailbox.pk).state == "active"


def test_aliases(as_superuser, domains):
    form = {"address": "team@mine.example", "targets": "ann@mine.example\nx@remote.example", "is_active": "on"}
    post(as_superuser, "directory_alias_add", form)
    alias = Alias.objects.get(address="team@mine.example")
    assert alias.targets.count() == 2 and not alias.members_may_send
    page = text(
        post(as_superuser, "directory_alias_change", {"targets": "team@mine.example", "is_active": "on"}, alias.pk)
    )
    assert "circle" in page and alias.targets.count() == 2
    post(as_superuser, "directory_alias_change", {"targets": "bob@mine.example"}, alias.pk)
    alias.refresh_from_db()
    assert not alias.is_active and alias.targets.get().address == "bob@mine.example"
    post(as_superuser, "directory_alias_delete", {"post": "yes"}, alias.pk)
    assert Alias.objects.get(pk=alias.pk).removed_at and lookup.resolve("team@mine.example").kind is Kind.UNKNOWN


def test_routes_keep_their_password_secret(as_superuser):
    form = {
        "pattern": "*", "scheme": "smtps", "host": "Smart.example", "port": "465", "username": "me",
        "new_password": "s3cret", "is_active": "on",
    }  # fmt: skip
    post(as_superuser, "queue_route_add", form)
    route = Route.objects.get()
    assert (route.host, route_password(route)) == ("smart.example", "s3cret")
    page = text(as_superuser.get(reverse("admin:queue_route_change", args=[route.pk])))
    assert "s3cret" not in page and route.password not in page
    post(as_superuser, "queue_route_change", form | {"new_password": "", "port": "587"}, route.pk)
    route.refresh_from_db()
    assert (route.port, route_password(route)) == (587, "s3cret")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"pattern": "bad pattern"}, "be a domain"),
        ({"host": "a b"}, "be a host"),
        ({"host": "1.2.3.456"}, "be a host"),
        ({"host": ""}, "required"),
        ({"port": "99999"}, "be a port"),
        ({"port": "0"}, "be a port"),
        ({"new_password": "x"}, "needs a user name"),
    ],
)
def test_a_refused_route_is_a_mistake_in_the_form(as_superuser, data, says):
    form = {"pattern": "*", "scheme": "smtp", "host": "smart.example", "port": "25", "is_active": "on"} | data
    assert says in text(post(as_superuser, "queue_route_add", form))
    assert not Route.objects.exists()


def test_accounts(as_superuser, superuser, domains):
    form = {"email": "new@localhost", "password": PASSWORD, "name": "New", "is_staff": "on"}
    post(as_superuser, "directory_user_add", form)
    user = User.objects.get(email="new@localhost")
    assert (user.is_staff, user.is_superuser, user.is_active) == (True, False, True)
    page = text(post(as_superuser, "directory_user_change", {"is_active": "on"}, superuser.pk))
    assert "last superuser" in page and User.objects.get(pk=superuser.pk).is_superuser
    post(as_superuser, "directory_user_change", {"name": "Newer", "password": "another long password"}, user.pk)
    changed = User.objects.get(pk=user.pk)
    assert not changed.is_active and changed.credential_version == user.credential_version + 1


def test_app_passwords_are_shown_once_and_revoked(as_superuser, domains):
    ann = User.objects.get(email="ann@mine.example")
    response = post(as_superuser, "directory_credential_add", {"user": ann.pk, "label": "phone", "scopes": ["imap"]})
    row, page = Credential.objects.get(), text(response)
    assert row.scopes == "imap" and "it is shown only this once" in page
    # In this answer alone: no cookie carries it, no session keeps it, no cache either.
    [password] = re.findall(r'id="made"[^>]*>([^<]+)<', page)
    assert authenticate(ann.email, password, protocol="imap", client_address="192.0.2.1").succeeded
    assert not any(password in morsel.value for morsel in as_superuser.cookies.values())
    assert password not in str(dict(as_superuser.session)) and "no-store" in response["Cache-Control"]
    assert password not in text(as_superuser.get(reverse("admin:directory_credential_changelist")))
    assert row.digest not in text(as_superuser.get(reverse("admin:directory_credential_change", args=[row.pk])))
    post(as_superuser, "directory_credential_do", {}, row.pk, "revoke")
    row.refresh_from_db()
    assert row.revoked_at


@pytest.mark.parametrize("who", ["as_superuser", "as_domain_administrator"])
def test_a_mailbox_s_page_revokes_the_app_passwords_of_its_account(request, domains, who):
    client, ann = request.getfixturevalue(who), Mailbox.objects.get(address="ann@mine.example")
    url = reverse("admin:directory_mailbox_change", args=[ann.pk])
    assert "Revoke app passwords" not in text(client.get(url))
    for label in ("phone", "laptop"):
        services.add_app_password(ann.user_id, label)
    page = text(client.get(url))
    assert (
        "2 in force" in page and reverse("admin:directory_credential_changelist", query={"q": ann.user.email}) in page
    )
    page = text(post(client, "directory_mailbox_do", {}, ann.pk, "revoke_app_passwords"))
    assert "App passwords of ann@mine.example that are void now: 2." in page and "Revoke app passwords" not in page
    assert not services.app_passwords_in_force(ann.user_id).exists()


def test_app_passwords_of_an_account_beyond_the_domains_are_not_its_administrator_s_to_revoke(
    as_domain_administrator, domains
):
    ann, other = Mailbox.objects.get(address="ann@mine.example"), Mailbox.objects.get(address="ann@theirs.example")
    Mailbox.objects.filter(pk=other.pk).update(user=ann.user)
    services.add_app_password(ann.user_id, "phone")
    page = text(as_domain_administrator.get(reverse("admin:directory_mailbox_change", args=[ann.pk])))
    assert "another account&#x27;s" in page and "in force" not in page
    page = text(post(as_domain_administrator, "directory_mailbox_do", {}, ann.pk, "revoke_app_passwords"))
    assert "is not yours to change" in page
    assert services.app_passwords_in_force(ann.user_id).count() == 1


def test_what_one_page_says_of_a_field_is_not_said_on_another(as_superuser, domains):
    ann = Mailbox.objects.get(address="ann@mine.example")
    mailbox = "directory_mailbox", ann.pk, ("Leave empty to keep it.", "empty for the domain")
    account = "directory_user", ann.user_id, ("Leave empty to keep it.", "At least ten characters.")
    for name, pk, (of_one, of_new) in (mailbox, account):
        changed = text(as_superuser.get(reverse(f"admin:{name}_change", args=[pk])))
        added = text(as_superuser.get(reverse(f"admin:{name}_add")))
        assert of_one in changed and of_new not in changed
        assert of_new in added and of_one not in added


def test_send_as(as_superuser, domains):
    ann = User.objects.get(email="ann@mine.example")
    post(as_superuser, "directory_sendas_add", {"user": ann.pk, "address": "@theirs.example"})
    assert lookup.may_send_as(ann.pk, "anyone@theirs.example")
    post(as_superuser, "directory_sendas_delete", {"post": "yes"}, SendAs.objects.get().pk)
    assert not lookup.may_send_as(ann.pk, "anyone@theirs.example")


def test_dkim_keys_show_their_public_half_alone(as_superuser, domains):
    key = DkimKey.objects.get(domain=domains["mine.example"], algorithm="ed25519")
    page = text(as_superuser.get(reverse("admin:signing_dkimkey_change", args=[key.pk])))
    assert key.selector in page and key.private_key[:40] not in page
    post(as_superuser, "signing_dkimkey_do", {}, key.pk, "activate")
    assert [one.algorithm for one in signing.dkim_keys("mine.example")] == ["rsa", "ed25519"]


def test_a_throttle_is_lifted(as_superuser, django_user_model):
    row = LoginThrottle.objects.create(
        key="net:192.0.2.1",
        failures=NETWORK.allowed + 5,
        window_started_at=timezone.now(),
        blocked_until=timezone.now(),
    )
    post(as_superuser, "directory_loginthrottle_do", {}, row.pk, "lift")
    assert not LoginThrottle.objects.exists()


def test_the_first_page_says_what_needs_attention(as_superuser):
    assert "No domain is hosted yet" in text(as_superuser.get(reverse("admin:index")))
    services.add_domain("example.org", key_pairs=[])
    assert "has no mailbox" in text(as_superuser.get(reverse("admin:index")))


def test_refusals_of_an_hour_that_has_just_begun_break_no_page(as_superuser):
    """The row may be written between the moment that the page shows and its reading."""
    coming = timezone.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    for minute, count in ((coming, 1), (coming - timedelta(minutes=1), 41)):
        RefusalCount.objects.create(network="192.0.2.0/24", reason="unknown-recipient", minute=minute, count=count)
    page = text(as_superuser.get(reverse("admin:index")))
    assert re.search(r"<strong>41</strong>\s*<i class=\"ms-refused\">", page)


def test_a_refusal_before_there_was_a_sender_shows_its_client_and_reason(as_superuser):
    story = Story.objects.create(
        kind="inbound", outcome="refused", reason="unknown-recipient", at=timezone.now(), client_address="192.0.2.7"
    )
    for url in (reverse("admin:index"), reverse("admin:trace_story_changelist"), story_url(story)):
        page = text(as_superuser.get(url))
        assert "192.0.2.7" in page and "unknown-recipient" in page.lower() and "&lt;&gt;" not in page, url


def story_url(story):
    return reverse("admin:trace_story_change", args=[story.pk])


def test_passwords_changed_past_our_services_count(superuser):
    """As manage.py changepassword does."""
    before, version = superuser.credential_version, directory_version()
    superuser.set_password("another long password")
    superuser.save()
    assert User.objects.get(pk=superuser.pk).credential_version > before
    assert directory_version() != version


def test_an_administrators_own_password_is_changed_where_guesses_are_slowed(as_superuser):
    for answer in (as_superuser.get("/admin/password_change/"), as_superuser.post("/admin/password_change/", {})):
        assert (answer.status_code, answer["Location"]) == (302, "/password")


@pytest.mark.parametrize(
    ("page", "query"), [("directory_mailbox", {"domain__id__exact": "9" * 30}), ("access_ban", {"reason__exact": "\0"})]
)
def test_a_filter_that_makes_no_sense_is_no_error_of_ours(as_superuser, domains, page, query):
    """Each is one to one of the databases."""
    answer = as_superuser.get(reverse(f"admin:{page}_changelist"), query)
    assert (answer.status_code, answer.get("Location", "").partition("?")[2]) in ((200, ""), (302, "e=1"))
    assert b"ann@mine.example" not in answer.content
