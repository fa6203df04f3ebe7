"""Fixtures of the tests of pages: a hosted domain, somebody with a mailbox in it, a browser that they signed in at."""

import dataclasses

import pytest
from django.conf import settings as django_settings
from django.db import connections

from mailsuite.access import authentication, login_log, throttle
from mailsuite.access.password_hasher import Argon2idHasher
from mailsuite.directory.cache import CACHE
from mailsuite.directory.models import User
from mailsuite.provisioning import services

PASSWORD = "correct horse battery"


@pytest.fixture
def directory(db, monkeypatch):
    """example.org, hosted. The reader sees what the test's own transaction has written; hashing is quick."""
    reader, connections["reader"] = connections["reader"], connections["default"]
    CACHE.clear()
    authentication.forget_logins()
    login_log.forget_gathered()
    monkeypatch.setattr(authentication, "_repeats", throttle.Repeats())
    monkeypatch.setattr(Argon2idHasher, "time_cost", 1)
    monkeypatch.setattr(Argon2idHasher, "memory_cost", 8)
    authentication._dummy_hash.cache_clear()
    User.objects.create_superuser("admin@localhost", PASSWORD)
    services.add_domain("example.org", key_pairs=[])
    yield
    connections["reader"] = reader


@pytest.fixture
def ann(directory):
    """The user of ann@example.org, whose password is PASSWORD."""
    services.add_mailbox("ann@example.org", PASSWORD, name="Ann", quota_octets=10 * 2**20)
    return User.objects.get(email="ann@example.org")


@pytest.fixture
def signed_in(client, ann):
    """A browser in which Ann has signed in."""
    client.force_login(ann)
    return client


@pytest.fixture
def configure(settings):
    """`configure(production=True)` changes what the environment has configured."""

    def change(**changes):
        settings.MAILSUITE = dataclasses.replace(django_settings.MAILSUITE, **changes)

    return change
