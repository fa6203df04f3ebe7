"""Who works long lets others work too, and it is by key whose turn it is, however often and how early one of them
asked."""

import asyncio

import pytest

from mailsuite import turns as turns_module
from mailsuite.turns import AT_ONCE, FairTurns, Turns


def test_a_pass_of_the_loop_does_so_many_steps_at_most_and_all_get_theirs():
    async def crowd():
        turns, passes, done = Turns(), [0], []

        async def session(name):
            for _ in range(3):
                await turns.take()
                passes[-1] += 1
                done.append(name)

        async def count_passes():
            while len(done) < 60:
                passes.append(0)
                await asyncio.sleep(0)

        async with asyncio.timeout(10):
            await asyncio.gather(count_passes(), *(session(number) for number in range(20)))
        return passes, done

    passes, done = asyncio.run(crowd())
    assert sorted(done) == sorted([*range(20)] * 3)
    # A pass may begin amid what the counter takes for one.
    assert max(passes) <= 2 * AT_ONCE


def test_who_gives_up_waiting_costs_nobody_a_turn():
    async def crowd():
        turns = Turns()
        for _ in range(AT_ONCE):
            await turns.take()
        waiting = [asyncio.create_task(turns.take()) for _ in range(AT_ONCE + 1)]
        await asyncio.sleep(0)
        for task in waiting[:AT_ONCE]:
            task.cancel()
        async with asyncio.timeout(10):
            await waiting[-1]

    asyncio.run(crowd())


def test_a_step_of_another_network_does_not_wait_for_a_crowd_of_one():
    async def scene():
        turns, done = Turns(), []

        async def session(key):
            await turns.take(key)
            done.append(key)

        crowd = [asyncio.create_task(session("crowd")) for _ in range(50 * AT_ONCE)]
        while len(done) < 10 * AT_ONCE:  # noqa: ASYNC110
            await asyncio.sleep(0)
        before = len(done)
        await session("honest")
        await asyncio.gather(*crowd)
        return done.index("honest") - before

    assert asyncio.run(scene()) <= 2 * AT_ONCE


def test_keys_take_turns():
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
    monkeypatch.setattr(turns_module, "REMEMBERED", 10)

    async def scene():
        turns = FairTurns(1)

        async def work(key):
            async with turns.turn(key):
                await asyncio.sleep(0)
                assert len(turns._line._served) <= 10

        await asyncio.gather(*map(work, range(100)))
        assert not turns._line._waiting

    asyncio.run(scene())
