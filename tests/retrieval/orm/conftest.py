"""A mailbox over the real database, with the store's operations run in place of its service."""

import asyncio

import pytest
from django.db import connections
from open_mailbox import PASSWORD, DirectClient, login
from stored_mail import store_mail_in

from mailsuite.access import authentication
from mailsuite.access.password_hasher import Argon2idHasher
from mailsuite.directory.cache import CACHE
from mailsuite.provisioning import services
from retrieval.orm.backend import Backend


@pytest.fixture(autouse=True)
def surroundings(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    monkeypatch.setattr(Argon2idHasher, "time_cost", 1)
    monkeypatch.setattr(Argon2idHasher, "memory_cost", 8)
    authentication._dummy_hash.cache_clear()
    CACHE.clear()
    authentication.forget_logins()
    store_mail_in(settings, settings.MAILSUITE.blobs)
    services.add_domain("example.org", key_pairs=[])
    services.add_mailbox("ann@example.org", PASSWORD)


@pytest.fixture
def inside(settings):
    """`inside(scene)` runs a coroutine function with a logged-in store and its backend, in an event loop."""

    def inside(scene):
        async def run():
            backend = Backend(settings.MAILSUITE, DirectClient())
            try:
                _, store = await login(backend)
                assert store is not None
                await scene(store, backend)
            finally:
                await backend.close()
                connections.close_all()

        asyncio.run(run())

    return inside
