"""Fixtures of accounts that sign in: the rooms that need them name them in their conftest.py."""

import pytest
from django.db import connections

from mailsuite.access import authentication, login_log
from mailsuite.access.password_hasher import Argon2idHasher
from mailsuite.directory.cache import CACHE
from mailsuite.directory.models import User
from mailsuite.provisioning import services

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def one_connection(db):
    """The reader sees what the test's own transaction has written."""
    reader, connections["reader"] = connections["reader"], connections["default"]
    CACHE.clear()
    authentication.forget_logins()
    login_log.forget_gathered()
    yield
    connections["reader"] = reader


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch):
    monkeypatch.setattr(Argon2idHasher, "time_cost", 1)
    monkeypatch.setattr(Argon2idHasher, "memory_cost", 8)
    authentication._dummy_hash.cache_clear()


@pytest.fixture
def administrator():
    return User.objects.create_superuser("admin@localhost", PASSWORD)


@pytest.fixture
def domain(administrator):
    """example.org, hosted."""
    services.add_domain("example.org", key_pairs=[])
    return "example.org"


@pytest.fixture
def ann(domain):
    """The user of ann@example.org."""
    services.add_mailbox("ann@example.org", PASSWORD)
    return User.objects.get(email="ann@example.org")
