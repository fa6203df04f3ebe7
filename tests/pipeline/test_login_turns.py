"""Whose password is looked at next, at the doors for people."""

import asyncio

from mailsuite.pipeline import orm_directory
from mailsuite.pipeline.orm_directory import OrmDirectory


def test_who_signs_in_first_does_not_wait_for_a_crowd_of_guessers(monkeypatch):
    tried = []
    monkeypatch.setattr(orm_directory, "_login", lambda name, password, address: tried.append(name))
    monkeypatch.setattr(orm_directory.os, "cpu_count", lambda: 2)

    async def scene():
        directory = OrmDirectory(is_exhausted=lambda mailbox_id: False)
        names = {f"guess {number}": "198.51.100.1" for number in range(50)} | {"honest": "203.0.113.1"}
        await asyncio.gather(*(directory.login(name, "x", address) for name, address in names.items()))

    asyncio.run(scene())
    assert len(tried) == 51
    assert tried.index("honest") <= 2
