"""Who works long lets others work too."""

import asyncio

from mailsuite.turns import AT_ONCE, Turns


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
