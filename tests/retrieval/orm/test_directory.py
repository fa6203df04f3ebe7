"""Logins: refused, void after a change, and in turns when there is a crowd of them."""

import asyncio
import os

import pytest
from open_mailbox import PASSWORD, login

from mailsuite.access import authentication
from mailsuite.provisioning import services
from retrieval.orm.directory import OrmDirectory

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])


def test_wrong_password(inside):
    async def scene(store, backend):
        answer, nothing = await login(backend, "wrong")
        assert (answer.principal, answer.reason, nothing) == (None, "wrong", None)

    inside(scene)


@pytest.mark.parametrize(
    "change",
    [
        lambda: services.suspend_mailbox("ann@example.org"),
        lambda: services.remove_mailbox("ann@example.org"),
        lambda: services.set_password("ann@example.org", "another good password"),
        lambda: services.set_domain_state("example.org", disabled=True),
    ],
    ids=["suspended", "removed", "password", "domain"],
)
def test_login_becomes_void(inside, monkeypatch, change):
    monkeypatch.setattr("retrieval.orm.backend.VERSION_SECONDS", 0)

    async def scene(store, backend):
        assert await store.still_valid()
        services.add_mailbox("bystander@example.org", PASSWORD)
        assert await store.still_valid()
        change()
        assert not await store.still_valid()

    inside(scene)


def test_who_signs_in_first_does_not_wait_for_a_crowd_of_guessers(monkeypatch, inside):
    tried = []

    def authenticate(name, *_, **__):
        tried.append(name)
        return authentication.Authentication(reason="wrong-credentials")

    async def scene(store, backend):
        monkeypatch.setattr("retrieval.orm.directory.authenticate", authenticate)
        names = {f"guess {number}": "198.51.100.1" for number in range(50)} | {"honest": "203.0.113.1"}
        directory = OrmDirectory(backend)
        await asyncio.gather(
            *(directory.login(name, "x", protocol="imap", client_address=address) for name, address in names.items())
        )

    inside(scene)
    assert len(tried) == 51
    assert tried.index("honest") <= (os.cpu_count() or 1)
