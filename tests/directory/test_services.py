"""Every change of the directory and what it refuses."""

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.db import connections
from django.test.utils import CaptureQueriesContext

from mailsuite.directory import lookup, parsing
from mailsuite.directory.models import Alias, AliasTarget, Credential, Domain, Mailbox, User
from mailsuite.directory.resolution import MAX_DEPTH, Kind
from mailsuite.directory.version import directory_version, touch_directory
from mailsuite.mail import srs
from mailsuite.mail.address import parse_address
from mailsuite.provisioning import aliases, services
from mailsuite.provisioning.services import ChangeRefused
from mailsuite.secrets import site_keys
from mailsuite.signing import lookup as signing
from mailsuite.signing.keys import make_key_pairs
from mailsuite.signing.models import DkimKey
from mailsuite.store.models import Folder, Usage

PASSWORD = "correct horse battery"


def targets(address):
    return sorted(AliasTarget.objects.filter(alias__address=address).values_list("address", flat=True))


def local(address):
    return [target.address for target in lookup.resolve(address).local]


def test_a_domain_comes_with_keys_and_roles(administrator):
    services.add_domain("Bücher.example", postmaster="me@remote.example")
    assert Domain.objects.get().name == "xn--bcher-kva.example"
    assert (
        targets("postmaster@xn--bcher-kva.example") == targets("abuse@xn--bcher-kva.example") == ["me@remote.example"]
    )
    states = dict(DkimKey.objects.values_list("algorithm", "state"))
    assert states == {"rsa": "active", "ed25519": "pending"}
    assert "PRIVATE KEY" not in "".join(DkimKey.objects.values_list("private_key", flat=True))
    (key,) = signing.dkim_keys("xn--bcher-kva.example")
    assert key.private_key.startswith("-----BEGIN PRIVATE KEY-----")


@pytest.mark.parametrize("name", ["", "nodots", "-x.example", "exa mple.org", "192.0.2.1", "a..example"])
def test_bad_domain_names_are_refused(db, name):
    with pytest.raises(ChangeRefused):
        services.add_domain(name, key_pairs=[])
    assert not Domain.objects.exists()


def test_roles_lead_to_the_first_mailbox_while_the_administrator_has_none(domain, settings):
    assert targets("postmaster@example.org") == ["admin@localhost"]
    assert settings.MAILSUITE.hostname == "localhost"
    services.add_mailbox("ann@example.org", PASSWORD)
    assert targets("postmaster@example.org") == ["ann@example.org"]
    services.add_mailbox("bob@example.org", PASSWORD)
    assert targets("abuse@example.org") == ["ann@example.org"]


def test_a_mailbox_may_take_the_place_of_its_domain_role(domain):
    services.add_mailbox("postmaster@example.org", PASSWORD)
    assert local("postmaster@example.org") == ["postmaster@example.org"]
    assert local("abuse@example.org") == ["postmaster@example.org"]


def test_a_mailbox_comes_with_account_folders_and_quota(administrator):
    services.add_domain("example.org", default_quota_octets=5000, key_pairs=[])
    mailbox_id = services.add_mailbox("Ann@example.org", PASSWORD, name="Ann")
    mailbox = Mailbox.objects.get(pk=mailbox_id)
    assert (mailbox.quota_octets, mailbox.user.email, mailbox.user.name) == (5000, "Ann@example.org", "Ann")
    assert check_password(PASSWORD, mailbox.user.password)
    assert Usage.objects.filter(pk=mailbox_id).exists()
    assert set(Folder.objects.values_list("role", flat=True)) == {"inbox", "sent", "drafts", "trash", "junk", "archive"}


@pytest.mark.parametrize(
    ("address", "password", "words"),
    [
        ("ann@elsewhere.example", PASSWORD, "domain add elsewhere.example"),
        ("ann@example.org", "short", "too weak"),
        ("ann@example.org", "", "needs a password"),
        ("ann@example.org", "x" * 501, "longer than 500 octets"),
        ("ann@example.org", "ü" * 251, "longer than 500 octets"),
        ("ann", PASSWORD, "can't be an address"),
        ("an n@example.org", PASSWORD, "can't be an address"),
        ("info@example.org", PASSWORD, "is an alias"),
    ],
)
def test_refused_mailboxes_say_what_to_do(domain, address, password, words):
    services.add_alias("info@example.org", ["x@remote.example"])
    with pytest.raises(ChangeRefused, match=words):
        services.add_mailbox(address, password)
    assert not Mailbox.objects.exists() and User.objects.count() == 1


def test_weak_passwords_pass_when_asked_for(domain):
    services.add_mailbox("ann@example.org", "short", weak_password_ok=True)


def test_an_administrators_password_is_not_changed_by_a_mailbox_of_that_address(domain):
    boss = User.objects.create_superuser("boss@example.org", PASSWORD)
    with pytest.raises(ChangeRefused, match="administrator"):
        services.add_mailbox("boss@example.org", "another password")
    services.add_mailbox("boss@example.org")
    assert Mailbox.objects.get().user == boss
    assert check_password(PASSWORD, User.objects.get(pk=boss.pk).password)


def test_twice_is_refused_in_any_case(ann):
    with pytest.raises(ChangeRefused, match="already"):
        services.add_mailbox("ANN@EXAMPLE.ORG", PASSWORD)
    with pytest.raises(ChangeRefused, match="already"):
        services.add_domain("EXAMPLE.org", key_pairs=[])


def test_all_app_passwords_of_an_account_are_revoked_at_one_stroke(ann):
    past = datetime.now(UTC) - timedelta(days=1)
    bob = Mailbox.objects.get(pk=services.add_mailbox("bob@example.org", PASSWORD)).user
    for user, label, expires_at in (
        (ann, "phone", None),
        (ann, "laptop", None),
        (ann, "old", past),
        (bob, "his", None),
    ):
        services.add_app_password(user.pk, label, expires_at=expires_at)
    # A new account password leaves them as they are.
    services.set_password("ann@example.org", "another long password")
    assert services.app_passwords_in_force(ann.pk).count() == 2
    assert services.revoke_all_app_passwords(ann.pk) == 2
    assert services.revoke_all_app_passwords(ann.pk) == 0
    assert services.app_passwords_in_force(bob.pk).count() == 1


def test_removed_means_unknown_and_free_for_somebody_else(ann):
    old = Mailbox.objects.get(user=ann)
    services.add_app_password(ann.pk, "phone")
    services.remove_mailbox("ann@example.org")
    assert lookup.resolve("ann@example.org").kind is Kind.UNKNOWN
    assert User.objects.get(pk=ann.pk).removed_at
    assert Credential.objects.get().revoked_at
    new = services.add_mailbox("ann@example.org", "another long password")
    assert new != old.pk
    assert [target.mailbox_id for target in lookup.resolve("ann@example.org").local] == [new]
    assert Mailbox.objects.get(pk=old.pk).state == "removed"


def test_suspended_mailboxes_still_receive(ann):
    services.suspend_mailbox("ann@example.org")
    assert [target.state for target in lookup.resolve("ann@example.org").local] == ["suspended"]
    services.resume_mailbox("ann@example.org")
    assert [target.state for target in lookup.resolve("ann@example.org").local] == ["active"]


def test_a_disabled_and_a_removed_domain(ann):
    services.set_domain_state("example.org", disabled=True)
    assert lookup.resolve("ann@example.org").kind is Kind.DISABLED
    services.set_domain_state("example.org", disabled=False)
    services.remove_domain("example.org")
    assert lookup.resolve("ann@example.org").kind is Kind.UNHOSTED
    services.add_domain("example.org", key_pairs=[])
    assert lookup.resolve("ann@example.org").kind is Kind.UNKNOWN


def test_another_name_of_a_domain(ann):
    services.add_domain("example.net", alias_of="example.org", key_pairs=make_key_pairs())
    assert local("ann@example.net") == ["ann@example.org"]
    assert signing.dkim_keys("example.net")
    assert lookup.may_send_as(ann.pk, "ann@example.net")
    with pytest.raises(ChangeRefused, match="another name of example.org"):
        services.add_mailbox("bob@example.net", PASSWORD)
    with pytest.raises(ChangeRefused, match="another name"):
        services.add_domain("example.com", alias_of="example.net", key_pairs=[])


@pytest.mark.parametrize(
    ("address", "to", "words"),
    [
        ("a@example.org", [], "at least one"),
        ("a@example.org", ["nobody@example.org"], "There is no nobody@example.org"),
        ("a@example.org", ["a@example.org"], "circle"),
        ("a@example.org", ["a+x@example.org"], "circle"),
        ("@example.org", ["typo@example.org"], "circle"),
        ("*@example.org", ["typo@example.org"], "circle"),
        ("sales-*@example.org", ["sales-uk@example.org"], "circle"),
        ("ann@example.org", ["x@remote.example"], "is a mailbox"),
        ("a@remote.example", ["ann@example.org"], "not hosted"),
        ("a@example.org", ["no at sign"], "can't be an address"),
        ("nothing", ["ann@example.org"], "has no @"),
    ],
)
def test_refused_aliases_say_why(ann, address, to, words):
    count = Alias.objects.count()
    with pytest.raises(ChangeRefused, match=words):
        services.add_alias(address, to)
    assert Alias.objects.count() == count


def test_a_circle_over_several_aliases_is_refused(ann):
    services.add_alias("a@example.org", ["ann@example.org"])
    services.add_alias("b@example.org", ["a@example.org"])
    with pytest.raises(ChangeRefused, match="circle"):
        services.change_alias("a@example.org", targets=["b@example.org"])
    assert targets("a@example.org") == ["ann@example.org"]


def test_an_alias_of_aliases_that_leads_to_too_many_is_refused(ann):
    for name in ("a", "b", "c"):
        services.add_alias(f"{name}@example.org", [f"{name}{number}@remote.example" for number in range(400)])
    services.add_alias("two@example.org", ["a@example.org", "b@example.org"])
    with pytest.raises(ChangeRefused, match="more than 1000 addresses: a mailing"):
        services.add_alias("three@example.org", ["two@example.org", "c@example.org"])


def test_kinds_of_aliases(ann):
    for address in ("info@example.org", "@example.org", "sales-*@example.org"):
        services.add_alias(address, ["ann@example.org"])
    kinds = dict(
        Alias.objects.exclude(address__in=["postmaster@example.org", "abuse@example.org"]).values_list(
            "address", "kind"
        )
    )
    assert kinds == {"info@example.org": "address", "@example.org": "catch-all", "sales-*@example.org": "pattern"}
    services.remove_alias("@example.org")
    assert lookup.resolve("whoever@example.org").kind is Kind.UNKNOWN


def test_who_may_send_as_whom(ann):
    services.add_mailbox("bob@example.org", PASSWORD)
    services.add_alias("info@example.org", ["ann@example.org", "bob@example.org"])
    services.add_alias("quiet@example.org", ["ann@example.org"], members_may_send=False)
    services.add_alias("far@example.org", ["info@example.org"])
    services.add_alias("@example.org", ["ann@example.org"])
    services.grant_send_as(ann.pk, "boss@example.org")
    services.grant_send_as(ann.pk, "@partner.example")
    may = {
        address: lookup.may_send_as(ann.pk, address)
        for address in (
            "ann@example.org", "ANN+shop@example.org", "info@example.org", "info+x@example.org", "boss@example.org",
            "anyone@partner.example", "quiet@example.org", "far@example.org", "bob@example.org", "made-up@example.org",
            "ann@remote.example", "postmaster", "", "not an address", "x@sub.partner.example",
        )
    }  # fmt: skip
    assert [address for address, yes in may.items() if yes] == [
        "ann@example.org", "ANN+shop@example.org", "info@example.org", "info+x@example.org", "boss@example.org",
        "anyone@partner.example",
    ]  # fmt: skip


def test_members_of_a_catch_all_send_as_what_nobody_else_receives_when_allowed(ann):
    services.add_mailbox("bob@example.org", PASSWORD)
    services.add_alias("@example.org", ["ann@example.org"], members_may_send=True)
    assert lookup.may_send_as(ann.pk, "made-up@example.org")
    assert not lookup.may_send_as(ann.pk, "bob@example.org")


def test_every_change_is_seen_at_once(ann):
    steps = [
        lambda: services.add_alias("info@example.org", ["ann@example.org"]),
        lambda: services.change_alias("info@example.org", is_active=False),
        lambda: services.remove_alias("info@example.org"),
        lambda: services.change_mailbox("ann@example.org", quota_octets=1),
        lambda: services.set_password("ann@example.org", "another long password"),
        lambda: services.revoke_app_password(services.add_app_password(ann.pk, "phone").credential_id),
        lambda: services.revoke_send_as(services.grant_send_as(ann.pk, "x@example.org")),
        lambda: services.suspend_mailbox("ann@example.org"),
    ]
    for step in steps:
        before = directory_version()
        step()
        assert directory_version() > before
    assert lookup.resolve("ann@example.org").local[0].quota_octets == 1


def test_a_refused_change_leaves_the_version_alone(ann):
    before = directory_version()
    with pytest.raises(ChangeRefused):
        services.add_alias("a@example.org", ["a@example.org"])
    assert directory_version() == before


@pytest.mark.parametrize(
    ("text", "octets"), [("1G", 2**30), ("500m", 500 * 2**20), ("1.5 GiB", 3 * 2**29), ("123", 123), ("none", 0)]
)
def test_quota_words(text, octets):
    assert parsing.quota(text) == octets


@pytest.mark.parametrize("text", ["", "much", "-1", "1E", "1.2.3G", "9999999T"])
def test_words_that_are_no_quota(text):
    with pytest.raises(ChangeRefused):
        parsing.quota(text)


@pytest.mark.parametrize("alias", ["@example.org", "s*@example.org"])
def test_bounces_of_forwarded_mail_go_to_whoever_wrote_and_to_no_catch_all_or_pattern(ann, alias):
    services.add_alias(alias, ["ann@example.org"], members_may_send=True)
    today = datetime.now(UTC).date()
    original = parse_address("eve@elsewhere.test")
    for domain in ("example.org", settings.MAILSUITE.hostname):
        found = lookup.resolve(srs.forward(original, domain, site_keys("srs"), today))
        assert (found.kind, found.local, found.remote) == (Kind.RESOLVED, (), ("eve@elsewhere.test",))
    assert found.domain_id is None
    own = srs.forward(original, "example.org", site_keys("srs"), today)
    assert lookup.resolve(own).domain_id == Domain.objects.get(name="example.org").pk
    assert not lookup.may_send_as(ann.pk, own)
    forged, old = (
        srs.forward(original, "example.org", [b"another secret"], today),
        srs.forward(original, "example.org", site_keys("srs"), today - timedelta(days=srs.LIFE_DAYS + 1)),
    )
    assert [(one.kind, one.reason) for one in map(lookup.resolve, (forged, old))] == [
        (Kind.UNKNOWN, "rewritten-sender-invalid"),
        (Kind.UNKNOWN, "rewritten-sender-expired"),
    ]


def test_a_bounce_to_somebody_who_is_hosted_here_by_now_arrives_here(ann):
    sender = srs.forward(parse_address("ann@example.org"), "example.org", site_keys("srs"), datetime.now(UTC).date())
    assert local(str(sender)) == ["ann@example.org"]
    twice = srs.forward(sender, "example.org", site_keys("srs"), datetime.now(UTC).date())
    assert twice.local_part.startswith("SRS1=") and local(str(twice)) == ["ann@example.org"]


def test_patterns_with_many_stars_are_taken_and_there_is_a_limit_to_how_many(ann, monkeypatch):
    services.add_alias("*a*b*c*d*e*f*g*h@example.org", ["ann@example.org"])
    assert local("1a2b3c4d5e6f7g8h@example.org") == ["ann@example.org"]
    with pytest.raises(ChangeRefused, match="circle"):
        services.add_alias("*i*j*k*l*m*n*o*p@example.org", ["iijklmnop@example.org"])
    monkeypatch.setattr(aliases, "MAX_PATTERNS", 1)
    with pytest.raises(ChangeRefused, match="has 1 patterns already: remove one"):
        services.add_alias("x*@example.org", ["ann@example.org"])


def test_what_is_wrong_with_another_domain_s_aliases_is_not_described(ann):
    services.add_domain("other.example", key_pairs=[])
    services.add_alias("a@example.org", ["ann@example.org"])
    services.add_alias("c@other.example", ["a@example.org"])
    with pytest.raises(ChangeRefused, match="circle: behind a@example.org it comes to a@example.org again"):
        services.change_alias("a@example.org", targets=["c@other.example"])
    services.add_alias("z0@other.example", ["x@remote.example"])
    for number in range(MAX_DEPTH - 1):
        services.add_alias(f"z{number + 1}@other.example", [f"z{number}@other.example"])
    with pytest.raises(ChangeRefused, match="behind one another at an alias of another domain"):
        services.change_alias("a@example.org", targets=[f"z{MAX_DEPTH - 1}@other.example"])


def test_nobody_s_role_mail_comes_into_a_stranger_s_mailbox(ann):
    """Customers' domains: the oldest mailbox of all is ann@example.org."""
    for name in ("first.example", "second.example"):
        services.add_domain(name, key_pairs=[])
    Alias.objects.all().delete()
    touch_directory()

    def reads(address):
        found = lookup.resolve(address)
        assert found.kind is Kind.RESOLVED
        return [target.address for target in found.local] or ["kept"]

    nobody = ["postmaster", f"abuse@{settings.MAILSUITE.hostname}", "postmaster@first.example"]
    assert [reads(address) for address in nobody] == [["kept"]] * 3
    assert reads("postmaster@example.org") == ["ann@example.org"]
    services.add_mailbox("old@first.example", PASSWORD)
    services.add_mailbox("boss@first.example", PASSWORD)
    User.objects.filter(email="boss@first.example").update(is_staff=True)
    Domain.objects.get(name="first.example").administrators.add(User.objects.get(email="boss@first.example"))
    touch_directory()
    assert reads("postmaster@first.example") == ["boss@first.example"]
    assert [reads(address) for address in nobody[:2]] == [["kept"]] * 2
    assert reads("postmaster@second.example") == ["kept"]
    User.objects.filter(email="ann@example.org").update(is_superuser=True)
    touch_directory()
    assert [reads(address) for address in nobody[:2]] == [["ann@example.org"]] * 2
    assert reads("postmaster@second.example") == ["ann@example.org"]
    assert reads("postmaster@first.example") == ["boss@first.example"]


def test_who_reads_a_role_is_asked_of_the_database_once(ann):
    Alias.objects.all().delete()
    touch_directory()
    assert local("postmaster+0@example.org") == ["ann@example.org"]
    with CaptureQueriesContext(connections["reader"]) as asked:
        assert [local(f"postmaster+{number}@example.org") for number in range(1, 6)] == [["ann@example.org"]] * 5
    # Each looks for a mailbox and an alias of that very name.
    assert len([query for query in asked if "version" not in query["sql"]]) == 2 * 5
