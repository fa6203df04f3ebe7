import pytest
from django.db import connections

from mailsuite.directory import authentication, login_log, services
from mailsuite.directory.cache import CACHE
from mailsuite.directory.models import Domain, User
from mailsuite.directory.passwords import Argon2idHasher
from mailsuite.records.services import make_key_pairs

PASSWORD = "correct horse battery"
KEY_PAIRS = make_key_pairs()


@pytest.fixture(autouse=True)
def one_connection(db, monkeypatch):
    """The reader sees what the test's own transaction has written; passwords are hashed quickly."""
    reader, connections["reader"] = connections["reader"], connections["default"]
    monkeypatch.setattr(Argon2idHasher, "time_cost", 1)
    monkeypatch.setattr(Argon2idHasher, "memory_cost", 8)
    authentication._dummy_hash.cache_clear()
    CACHE.clear()
    authentication.forget_logins()
    login_log.forget_gathered()
    yield
    connections["reader"] = reader


@pytest.fixture
def superuser():
    return User.objects.create_superuser("root@localhost", PASSWORD)


@pytest.fixture
def domains(superuser):
    """Two domains with the same things in each; their ids by name."""
    for name in ("mine.example", "theirs.example"):
        services.add_domain(name, key_pairs=KEY_PAIRS)
        for local_part in ("ann", "bob"):
            services.add_mailbox(f"{local_part}@{name}", PASSWORD)
        services.add_alias(f"info@{name}", [f"ann@{name}"])
    return dict(Domain.objects.values_list("name", "pk"))


@pytest.fixture
def as_superuser(client, superuser):
    client.force_login(superuser)
    return client


@pytest.fixture
def as_domain_administrator(client, domains):
    """A client signed in as who administers mine.example alone."""
    boss = User.objects.create_user("boss@localhost", PASSWORD, is_staff=True)
    boss.administered_domains.add(domains["mine.example"])
    client.force_login(boss)
    return client
