"""Whose password is looked at next, at the doors for people."""

import asyncio

from smtpd_service.inbound import directory_view
from smtpd_service.inbound.directory_view import OrmDirectory


def test_who_signs_in_first_does_not_wait_for_a_crowd_of_guessers(monkeypatch):
    tried = []
    monkeypatch.setattr(directory_view, "_ask", lambda question: question())
    monkeypatch.setattr(directory_view, "_login", lambda name, password, address: tried.append(name))
    monkeypatch.setattr(directory_view.os, "cpu_count", lambda: 2)

    async def scene():
        directory = OrmDirectory()
        names = {f"guess {number}": "198.51.100.1" for number in range(50)} | {"honest": "203.0.113.1"}
        await asyncio.gather(*(directory.login(name, "x", address) for name, address in names.items()))

    asyncio.run(scene())
    assert len(tried) == 51
    assert tried.index("honest") <= 2
