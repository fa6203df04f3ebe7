"""Whose turn it is: by mailbox, however often and how early one of them asked."""

import asyncio

import pytest

from mailsuite.server import fair_turns
from mailsuite.server.fair_turns import FairTurns
from retrieval.pace import TURN_OCTETS, Pace


def test_mailboxes_take_turns():
    served = []

    async def scene():
        turns = FairTurns(1)

        async def work(mailbox_id):
            async with turns.turn(mailbox_id):
                served.append(mailbox_id)
                await asyncio.sleep(0)

        await asyncio.gather(*(work(mailbox_id) for mailbox_id in [1, 1, 1, 1, 2, 2, 3]))

    asyncio.run(scene())
    assert served == [1, 2, 3, 1, 2, 1, 1]


@pytest.mark.parametrize("told_already", [False, True])
def test_who_goes_away_while_waiting_holds_no_turn(told_already):
    async def scene():
        turns = FairTurns(1)

        async def wait():
            async with turns.turn(2):
                pass

        async with turns.turn(1):
            waiting = asyncio.ensure_future(wait())
            await asyncio.sleep(0)
            if not told_already:
                waiting.cancel()
                await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(1), turns.turn(3):
            return

    asyncio.run(scene())


def test_pace_gives_others_their_turn_by_work_done():
    seen = []

    async def scene():
        pace = Pace()

        async def other():
            while True:
                seen.append(pace.turns)
                await asyncio.sleep(0)

        others = asyncio.ensure_future(other())
        for _ in range(100):
            await pace.spend(TURN_OCTETS // 10)
        await pace.steps(3)
        others.cancel()
        assert pace.turns == 9 and pace.longest < TURN_OCTETS * 1.1

    asyncio.run(scene())
    assert len(seen) == 9


def test_who_comes_for_the_first_time_does_not_wait_for_a_crowd():
    served = []

    async def scene():
        turns = FairTurns(1)

        async def work(key, times):
            for _ in range(times):
                async with turns.turn(key):
                    served.append(key)
                    await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            for guesser in range(100):
                tasks.create_task(work(guesser, 3))
            while len(served) < 150:  # noqa: ASYNC110
                await asyncio.sleep(0)
            tasks.create_task(work("honest", 1))

    asyncio.run(scene())
    assert served.index("honest") <= 152


def test_little_is_remembered_of_who_had_a_turn(monkeypatch):
    monkeypatch.setattr(fair_turns, "REMEMBERED", 10)

    async def scene():
        turns = FairTurns(1)

        async def work(key):
            async with turns.turn(key):
                await asyncio.sleep(0)
                assert len(turns._served) <= 10

        await asyncio.gather(*map(work, range(100)))
        assert not turns._waiting

    asyncio.run(scene())
