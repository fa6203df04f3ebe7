"""Who may connect, and who has to go for whom: one component for all services that strangers reach.

    if denial := admission.deny(address): say so and close
    admission.enter(connection, address)      # from the accept on, before TLS: a handshake costs
    admission.progressed(connection)          # it did what it came for, for instance brought a message
    admission.vouch(connection, account)      # somebody has logged in
    admission.leave(connection)

Counted are connections in total, strangers' of one client and of the network around it (mailsuite.mail.client_network),
and those of one account: forty colleagues behind one address are no crowd. How many connections a client or network
begins within a minute is bounded as well. A full house does not shut the door: the longest idle stranger gives way to
the newcomer, of those the one whose network holds most; an account's newest connection likewise sends away its longest
idle one. A client's NOOP is no progress. Under pressure strangers have less time. Loopback is counted in total alone
(probes, programs of this host, benches), and so are `spared` addresses (named proxies, behind which are many). Not for
several threads.
"""

import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from mailsuite.mail.client_network import Network, Reach, client_ip, client_network, holder_network
from mailsuite.server.octets import OctetBudget

logger = logging.getLogger(__name__)

# A network around a client may hold so many clients' connections: firms and carriers spread over a few addresses.
WIDER_TIMES = 4
# How often within a minute a client may come anew, in terms of how many connections it may hold.
COMES_A_MINUTE_TIMES = 20
MOST_NETWORKS = 20_000  # of which it is known; then all begin anew
# What a stranger has under pressure to come to the point. Postfix gives 10 seconds for each command then.
PRESSED_SECONDS = 20.0
# Who has logged in may be silent by right; under pressure, and only where no stranger can go, not for ever.
KNOWN_IDLE_SECONDS = 600.0
# How many of the longest idle ones are looked at for one newcomer.
LOOKED_AT = 64
# How many that were told to go may still be closing.
MAX_LEAVING = 100


class Reason(Enum):
    BANNED = auto()
    TOTAL = auto()
    CLIENT = auto()


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a client is not let in; `ban` is what `banned` said of it."""

    reason: Reason
    ban: Any = None


class Admitted(Protocol):
    def may_give_way(self) -> bool:
        """Whether nothing is under way that would be lost."""
        ...

    def give_way(self) -> None:
        """Say so and close, within a second or two."""
        ...


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Counts are of this process. `per_client` is also what one account may hold."""

    total: int
    per_client: int

    @property
    def per_wider_network(self) -> int:
        """How many connections the network around a client may hold."""
        return self.per_client * WIDER_TIMES

    def share(self, workers: int) -> "AdmissionLimits":
        """One worker's part of a host's limits."""
        return AdmissionLimits(max(1, self.total // workers), max(1, self.per_client // workers))

    def within(self, sockets: int) -> "AdmissionLimits":
        """These limits, with no more connections than the process may have sockets."""
        return AdmissionLimits(min(self.total, sockets), self.per_client)


C = TypeVar("C", bound=Admitted)


class Admission(Generic[C]):
    """The connections of one kind in one process. `banned` tells what keeps an address out, if anything does."""

    def __init__(
        self,
        limits: AdmissionLimits,
        *,
        banned: Callable[[str], Any] = lambda address: None,
        spared: Callable[[str], bool] = lambda address: False,
        budget: OctetBudget | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits, self._banned, self._spared, self._budget, self._clock = limits, banned, spared, budget, clock
        # Since when without progress; the longest ones first, but for those that were amid something when looked at.
        self._strangers: OrderedDict[C, float] = OrderedDict()
        self._known: OrderedDict[C, float] = OrderedDict()
        # What each counts for: its networks, or its account.
        self._keys: dict[C, tuple[Hashable, ...]] = {}
        self._counts: Counter[Hashable] = Counter()
        self._came: Counter[Network] = Counter()  # within the minute
        self._minute_ends = 0.0
        self._leaving: set[C] = set()

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[C]:
        """All connections, those that are closing included."""
        return iter([*self._keys, *self._leaving])

    @property
    def is_pressed(self) -> bool:
        """Whether more than three quarters of the connections, or of the octets that they may hold, are taken."""
        return len(self) * 4 > self._limits.total * 3 or (self._budget is not None and self._budget.is_pressed)

    def deny(self, address: str) -> Denial | None:
        """Return why a client may not come in. None means that there is room: somebody may have been sent away."""
        if not self._spared(address) and (ban := self._banned(address)):
            return Denial(Reason.BANNED, ban)
        if any(map(self._is_too_many, self._counted(address))):
            return Denial(Reason.CLIENT)
        if self.is_pressed:
            self._send_slow_ones()
        if len(self) >= self._limits.total and not self._make_room():
            return Denial(Reason.TOTAL)
        return None

    def enter(self, connection: C, address: str) -> None:
        """Count the connection in, as a stranger's."""
        networks = self._keys[connection] = self._counted(address)
        self._counts.update(networks)
        self._came.update(networks)
        self._strangers[connection] = self._clock()

    def progressed(self, connection: C) -> None:
        """Begin anew to count how long it has been idle."""
        for queue in (self._strangers, self._known):
            if connection in queue:
                queue[connection] = self._clock()
                queue.move_to_end(connection)

    def vouch(self, connection: C, account: Hashable) -> None:
        """Somebody has logged in: it goes after all strangers, and counts for the account. Where that has too many, its
        longest idle one is sent away, or else this one."""
        if self._strangers.pop(connection, None) is None:
            return
        self._known[connection] = self._clock()
        if not self._keys[connection]:
            return
        self._discount(self._keys[connection])
        key = self._keys[connection] = (("account", account),)
        self._counts.update(key)
        if self._counts[key[0]] > self._limits.per_client:
            self._send_away(self._idle_one_of(key) or connection)

    def leave(self, connection: C) -> None:
        """Count it out, if it was not already."""
        self._uncount(connection)
        self._leaving.discard(connection)

    def _uncount(self, connection: C) -> None:
        self._strangers.pop(connection, None)
        self._known.pop(connection, None)
        self._discount(self._keys.pop(connection, ()))

    def _discount(self, keys: Iterable[Hashable]) -> None:
        for key in keys:
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]

    def _counted(self, address: str) -> tuple[Network, ...]:
        """The networks that a connection counts for; none of them for whom only the total counts."""
        return () if self._spared(address) else _networks(address)

    def _is_too_many(self, network: Network) -> bool:
        """Whether one more connection of it would be."""
        if self._clock() >= self._minute_ends or len(self._came) > MOST_NETWORKS:
            self._came.clear()
            self._minute_ends = self._clock() + 60
        is_client = network.prefixlen == Reach.CLIENT.prefix(network.version)
        most = self._limits.per_client if is_client else self._limits.per_wider_network
        return self._counts[network] >= most or self._came[network] >= most * COMES_A_MINUTE_TIMES

    def _send_slow_ones(self) -> None:
        late = self._clock() - PRESSED_SECONDS
        for connection in self._idle_ones(self._strangers):
            if self._strangers[connection] < late:
                self._send_away(connection)

    def _make_room(self) -> bool:
        """Send away the longest idle one of the fullest network; False when nobody can go."""
        if len(self._leaving) >= MAX_LEAVING:
            return False
        late = self._clock() - KNOWN_IDLE_SECONDS
        candidates = self._idle_ones(self._strangers) or [
            one for one in self._idle_ones(self._known) if self._known[one] < late
        ]
        if not candidates:
            return False
        # The first of those that are equal is the longest idle.
        self._send_away(max(candidates, key=self._crowd))
        return True

    def _idle_ones(self, queue: "OrderedDict[C, float]") -> list[C]:
        """Those that may give way, the longest idle first. Who is amid something goes behind all others: a few that are
        busy for long would hide all that are idle."""
        idle = []
        for connection in list(islice(queue, LOOKED_AT)):
            if connection.may_give_way():
                idle.append(connection)
            else:
                queue.move_to_end(connection)
        return idle

    def _crowd(self, connection: C) -> int:
        return max((self._counts[key] for key in self._keys[connection]), default=0)

    def _idle_one_of(self, key: tuple[Hashable, ...]) -> C | None:
        """The longest idle one that counts for the account and may give way."""
        return next((one for one in self._known if self._keys[one] == key and one.may_give_way()), None)

    def _send_away(self, connection: C) -> None:
        self._uncount(connection)
        self._leaving.add(connection)
        logger.info("a connection that was idle gives way to another")
        connection.give_way()


@lru_cache(maxsize=4096)
def _networks(address: str) -> tuple[Network, ...]:
    """The client's network and the one around it; none for loopback, and for what is no address."""
    ip, network = client_ip(address), client_network(address)
    if ip is None or network is None or ip.is_loopback:
        return ()
    return network, holder_network(network)
