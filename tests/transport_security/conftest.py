import pytest
from django.db import connections

from mailsuite.directory.cache import CACHE
from mailsuite.directory.models import Domain
from mailsuite.provisioning import services


@pytest.fixture
def database(db):
    """The reader sees what the test's own transaction has written."""
    reader, connections["reader"] = connections["reader"], connections["default"]
    CACHE.clear()
    yield
    connections["reader"] = reader


@pytest.fixture
def domain(database):
    services.add_domain("example.org", key_pairs=[])
    return Domain.objects.get(name="example.org")
