"""How a session gives others their turn: by the work that it has done, not by how its answer happens to be cut."""

from collections.abc import Generator

TURN_OCTETS = 512 * 1024  # some milliseconds
STEP_OCTETS = 64  # what one look at a message, a name or a flag costs, whatever is looked at


class _Turn:
    """To be awaited: the event loop goes round once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Pace:
    """Work counted in octets looked at. `turns` is how often others had theirs, `longest` the most that was done in
    one go: at most TURN_OCTETS and what was spent at once."""

    __slots__ = ("_octets", "longest", "turns")

    def __init__(self) -> None:
        self._octets = self.longest = self.turns = 0

    async def spend(self, octets: int) -> None:
        """Call it after each piece of work, with what that cost; let pieces be small."""
        self._octets += octets
        if self._octets < TURN_OCTETS:
            return
        self.longest = max(self.longest, self._octets)
        self._octets = 0
        self.turns += 1
        await _Turn()

    async def steps(self, count: int) -> None:
        """Spends so many looks at something small, a message or a name."""
        await self.spend(count * STEP_OCTETS)
