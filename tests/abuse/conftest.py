import pytest
from django.db import connections
from queued_mail import enqueue, forget_the_directory

from mailsuite.abuse.gate import GATE
from mailsuite.directory import authentication, login_log
from mailsuite.directory.cache import CACHE
from mailsuite.directory.passwords import Argon2idHasher

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
    GATE.forget()
    yield GATE
    GATE.forget()
    connections["reader"] = reader
