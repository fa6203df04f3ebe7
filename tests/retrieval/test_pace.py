"""How retrieval parts long work."""

import asyncio

from retrieval.pace import TURN_OCTETS, Pace


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
