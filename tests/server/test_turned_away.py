"""A crowd at the door is told of by its number."""

import asyncio

from mailsuite.server import turned_away
from mailsuite.server.turned_away import TOLD_ONE_BY_ONE, TurnedAway


def test_the_first_of_a_network_and_reason_are_told_one_by_one_and_the_rest_as_a_number():
    async def scene():
        rest = []
        door = TurnedAway(lambda *told: rest.append(told))
        told = [door.note(f"192.0.2.{number % 5}", "full") for number in range(1000)]
        assert told == [True] * TOLD_ONE_BY_ONE + [False] * (1000 - TOLD_ONE_BY_ONE)
        assert door.note("198.51.100.1", "full") and door.note("192.0.2.1", "too many") and rest == []
        door.end_minute()
        assert rest == [("192.0.2.0", "full", 1000 - TOLD_ONE_BY_ONE)]
        assert door.note("192.0.2.1", "full")
        door.end_minute()
        assert len(rest) == 1

    asyncio.run(scene())


def test_the_minute_ends_by_itself(monkeypatch):
    monkeypatch.setattr(turned_away, "MINUTE_SECONDS", 0.0)

    async def scene():
        ended = asyncio.Event()
        door = TurnedAway(lambda address, reason, count: ended.set())
        for _ in range(TOLD_ONE_BY_ONE + 1):
            door.note("192.0.2.1", "full")
        async with asyncio.timeout(10):
            await ended.wait()

    asyncio.run(scene())


def test_of_very_many_networks_the_rest_is_told_together(monkeypatch):
    monkeypatch.setattr(turned_away, "MOST_NETWORKS", 3)

    async def scene():
        rest = []
        door = TurnedAway(lambda *told: rest.append(told))
        for number in range(100):
            door.note(f"192.0.{number}.1", "full")
        door.end_minute()
        assert [count for *_, count in rest] == [97 - TOLD_ONE_BY_ONE]

    asyncio.run(scene())
