import pytest
from django.db import connections
from queued_mail import enqueue, forget_the_directory

from mailsuite.access import authentication, login_log
from mailsuite.access.ban_list import BAN_LIST
from mailsuite.access.password_hasher import Argon2idHasher
from mailsuite.directory.cache import CACHE

__all__ = ["enqueue", "forget_the_directory"]


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch):
    monkeypatch.setattr(Argon2idHasher, "time_cost", 1)
    monkeypatch.setattr(Argon2idHasher, "memory_cost", 8)
    authentication._dummy_hash.cache_clear()


@pytest.fixture
def bans(db):
    """The gate, with the reader seeing what the test's own transaction has written."""
    reader, connections["reader"] = connections["reader"], connections["default"]
    CACHE.clear()
    authentication.forget_logins()
    login_log.forget_gathered()
    BAN_LIST.forget()
    yield BAN_LIST
    BAN_LIST.forget()
    connections["reader"] = reader
