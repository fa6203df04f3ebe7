import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.contrib import admin
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.urls import include, path

from mailsuite.provisioning import services
from mailsuite.secrets import FieldCipher
from mailsuite.signing.models import DkimKey
from mailsuite.web.checks import (
    EXAMPLE_HOSTNAME,
    _database,
    _source_addresses,
    check_configuration,
    check_pages,
    check_secrets,
    check_user,
)

PUBLIC = {
    name: (("0.0.0.0", port),)
    for name, port in (
        ("SMTP", 25), ("SUBMISSION", 587), ("SUBMISSIONS", 465), ("IMAP", 143), ("IMAPS", 993),
        ("POP3", 110), ("POP3S", 995), ("HTTP", 80), ("HTTPS", 443),
    )
}  # fmt: skip


def ids(found):
    return [message.id.removeprefix("mailsuite.") for message in found]


@pytest.fixture
def sound(configure, tmp_path):
    """Changes a production setup that nothing is wrong with."""

    def change(**changes):
        values = {
            "production": True, "hostname": "mx.suite.test", "listeners": PUBLIC,
            "tls_cert": tmp_path, "tls_key": tmp_path,
        }  # fmt: skip
        configure(**values | changes)
        return ids(check_configuration(None))

    return change


def test_the_default_setup_is_sound(configure):
    assert ids(check_configuration(None)) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"trusted_proxies": (ip_network("10.0.0.0/8"), ip_network("104.16.0.0/13"))}, []),
        ({"trusted_proxies": (ip_network("0.0.0.0/0"),)}, ["E001"]),
        ({"trusted_proxies": (ip_network("::/0"),)}, ["E001"]),
        ({"trusted_proxies": (ip_network("128.0.0.0/1"),)}, ["E001"]),
        ({"allow_private_hosts": (ip_network("0.0.0.0/0"),)}, ["W006"]),
        ({"allow_private_hosts": (ip_network("fd00::/16"),)}, []),
        ({"production": False}, ["W001"]),
        ({"listeners": PUBLIC | {"HTTPS": ()}}, ["W002"]),
        ({"listeners": PUBLIC | {"HTTPS": ()}, "trusted_proxies": (ip_network("10.0.0.1"),)}, []),
        ({"tls_cert": None, "tls_key": None}, ["W003"]),
        ({"hostname": "localhost"}, ["W004"]),
        ({"hostname": "mail"}, ["W004"]),
        ({"hostname": "mx.example.org"}, ["W004"]),
        ({"listeners": PUBLIC | {"IMAPS": ()}}, ["W005"]),
        ({"listeners": PUBLIC | {"SUBMISSIONS": (), "POP3S": ()}}, ["W005", "W005"]),
        ({"listeners": PUBLIC | {"IMAPS": (), "IMAP": (("127.0.0.1", 143),)}}, []),
        ({"listeners": PUBLIC | {"IMAPS": (), "IMAP": ()}}, []),
    ],
)
def test_dangerous_setups_are_named(sound, changes, found):
    assert sound(**changes) == found


def test_every_message_says_what_to_do(sound, configure):
    sound(trusted_proxies=(ip_network("::/0"),), tls_cert=None, tls_key=None, hostname="localhost")
    assert all(message.hint and message.hint.endswith((".", ")")) for message in check_configuration(None))


def test_the_example_of_the_settings_is_known():
    example = Path(__file__).resolve().parent.parent.parent / "deploy" / "env.example"
    assert f"\nMAILSUITE_HOSTNAME={EXAMPLE_HOSTNAME}\n" in example.read_text()


@pytest.mark.parametrize(
    ("urls", "found"),
    [
        ([path("", include("mailsuite.web.urls"))], []),
        ([path("mail/", include("mailsuite.web.urls"))], ["E003"]),
        ([path("admin/", admin.site.urls)], ["E003"]),
    ],
)
def test_a_site_without_the_pages_is_told(settings, monkeypatch, urls, found):
    monkeypatch.setitem(sys.modules, "site_urls", SimpleNamespace(urlpatterns=urls))
    settings.ROOT_URLCONF = "site_urls"
    assert ids(check_pages(None)) == found


@pytest.fixture
def key(directory):
    services.add_domain("signed.example")
    return DkimKey.objects.filter(domain__name="signed.example").first()


def test_secrets_that_open_are_sound(key):
    assert check_secrets(None) == []


def test_secrets_of_another_installation_are_named(key):
    DkimKey.objects.filter(pk=key.pk).update(state="active", private_key=FieldCipher(["another"]).encrypt("pem"))
    (message,) = check_secrets(None)
    assert ids([message]) == ["E002"]
    assert "DKIM keys" in str(message)
    with pytest.raises(SystemCheckError, match="another root secret"):
        call_command("check")


def test_a_secret_being_rotated_out_still_opens(key, settings):
    DkimKey.objects.filter(pk=key.pk).update(state="active", private_key=FieldCipher(["earlier"]).encrypt("pem"))
    settings.OLD_ROOT_SECRETS = ["earlier"]
    assert check_secrets(None) == []


def test_keys_that_sign_nothing_any_more_may_be_closed(key):
    DkimKey.objects.filter(pk=key.pk).update(state="retired", private_key=FieldCipher(["another"]).encrypt("pem"))
    assert check_secrets(None) == []


def test_a_source_address_that_is_not_this_machine_s():
    sources = (ip_address("127.0.0.1"), ip_address("192.0.2.1"))
    [found] = _source_addresses(SimpleNamespace(source_addresses=sources))
    assert found.id == "mailsuite.W012" and "192.0.2.1" in found.msg


def test_root_is_warned_of(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert ids(check_user(None)) == ["W009"]
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert check_user(None) == []


@pytest.mark.parametrize(
    ("host", "mode", "found"),
    [
        ("db.example.net", None, ["W010"]),
        ("db.example.net", "require", ["W010"]),
        ("127.0.0.1,10.1.2.3", "prefer", ["W010"]),
        ("db.example.net", "verify-full", []),
        ("127.0.0.1", None, []),
        ("/run/postgresql", None, []),
        ("", None, []),
    ],
)
def test_a_database_across_a_network_wants_verified_tls(host, mode, found):
    assert ids(_database({"HOST": host, "OPTIONS": {"sslmode": mode} if mode else {}})) == found
