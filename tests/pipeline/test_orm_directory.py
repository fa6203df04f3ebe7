"""What the SMTP service asks the directory, and for how long it believes the answer."""

import asyncio

from mailsuite.pipeline import orm_directory
from mailsuite.pipeline.orm_directory import OrmDirectory
from mailsuite.store import usage


def test_what_a_mailbox_holds_is_asked_for_once_in_some_seconds(monkeypatch):
    now, held, asked = [100.0], {1: 0, 2: 0}, []

    def used_octets(mailbox_ids):
        asked.append(list(mailbox_ids))
        return {one: held[one] for one in mailbox_ids}

    monkeypatch.setattr(orm_directory.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(usage, "used_octets", used_octets)

    async def run():
        directory = OrmDirectory(is_exhausted=lambda mailbox_id: False)
        assert await directory.used_octets([1]) == {1: 0}
        held.update({1: 7, 2: 7})
        assert await directory.used_octets([1, 2]) == {1: 0, 2: 7} == await directory.used_octets([2, 1])
        now[0] += orm_directory.USED_SECONDS
        assert await directory.used_octets([1, 2]) == {1: 7, 2: 7}

    asyncio.run(run())
    assert asked == [[1], [2], [1, 2]]
