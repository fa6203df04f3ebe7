"""Who is kept out, as one process remembers it: asked at every connection, answered from memory.

A thread of the process looks at the version of the bans every LOOK_SECONDS by one small query, reads them anew when it
has changed, and writes down how many were refused and what counted against whom meanwhile. Where no thread was started
(commands, tests) nobody is kept out unless `refresh` is called.
"""

import logging
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network

from django.db import DatabaseError, connections
from django.db.models import Q

from mailsuite.access import bans
from mailsuite.access.models import AllowedNetwork, Ban
from mailsuite.access.offences import offence_of
from mailsuite.database.threads import drop_broken
from mailsuite.mail.client_network import Network, client_ip, client_network

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
MOST_BANS = 50_000
# What is done at port 25 alone, by hosts and not by people.
AT_MX_ALONE = frozenset({Ban.Reason.RECIPIENT_PROBING})
MOST_COUNTED = 10_000

Prefix = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Banned:
    """A ban in force. `ends_at` is None for one that ends by hand alone."""

    subject: str
    reason: str
    ends_at: datetime | None

    def holds(self, now: datetime) -> bool:
        """Whether the ban is in force at that time."""
        return bans.is_in_force(self.reason, self.ends_at, now)


class Networks:
    """Networks by the prefixes that occur, so that a look-up is one step for each different prefix length."""

    def __init__(self, entries: Iterable[tuple[Network, Banned]] = ()) -> None:
        self._by_prefix: dict[Prefix, dict[int, Banned]] = {}
        for network, banned in entries:
            prefix = (network.version, network.max_prefixlen - network.prefixlen)
            self._by_prefix.setdefault(prefix, {})[int(network.network_address) >> prefix[1]] = banned

    def find(self, client_address: str, now: datetime) -> Banned | None:
        """The entry in force that the address lies in."""
        if not self._by_prefix:
            return None
        address = client_ip(client_address)
        if address is None:
            return None
        number = int(address)
        for (version, host_bits), entries in self._by_prefix.items():
            if version == address.version:
                banned = entries.get(number >> host_bits)
                if banned and banned.holds(now):
                    return banned
        return None


class BanList:
    """The bans and allowed networks of one process, and what it has counted and not written yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._networks, self._at_mx, self._allowed = Networks(), Networks(), Networks()
        self._accounts: dict[str, Banned] = {}
        self._version: int | None = None
        self._refused: Counter[str] = Counter()
        self._points: Counter[tuple[Network, str]] = Counter()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        """Begins to look after itself, until the process ends or `stop`."""
        self._thread = threading.Thread(target=self._run, name="bans", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends looking after itself; waits LOOK_SECONDS at most for what is under way."""
        self._ended.set()
        if self._thread:
            self._thread.join(LOOK_SECONDS)

    def check(self, client_address: str) -> Banned | None:
        """The ban that keeps this client out of the services that people sign in to, counted as refused; None when it
        may come in."""
        return self._check(client_address, (self._networks,))

    def check_at_mx(self, client_address: str) -> Banned | None:
        """The same for port 25, where those are banned as well who try out recipients. Behind a carrier's address a
        spammer's victim and our people may be neighbours: whoever signs in proves more than an address does."""
        return self._check(client_address, (self._networks, self._at_mx))

    def _check(self, client_address: str, places: Iterable[Networks]) -> Banned | None:
        now = datetime.now(UTC)
        banned = next((found for networks in places if (found := networks.find(client_address, now))), None)
        if banned is None or self._allowed.find(client_address, now):
            return None
        with self._lock:
            self._refused[banned.subject] += 1
        return banned

    def is_account_banned(self, account: str) -> bool:
        """Whether only known networks may try the password of the account, an address key."""
        banned = self._accounts.get(account)
        return banned is not None and banned.holds(datetime.now(UTC))

    def count(self, client_address: str, reason: str, points: int = 1) -> None:
        """Counts against the client; written within seconds."""
        network = client_network(client_address)
        with self._lock:
            if network and (len(self._points) < MOST_COUNTED or (network, reason) in self._points):
                self._points[network, reason] += points

    def note(self, client_address: str, reason: str) -> None:
        """Counts what a client was refused or ended for, if that is an offence (mailsuite.access.offences)."""
        if offence := offence_of(reason):
            self.count(client_address, *offence)

    def refresh(self) -> None:
        """Writes what gathered, and reads the bans if they have changed: also while nothing can be written."""
        try:
            self.flush()
        finally:
            self._read()

    def _read(self) -> None:
        version = _version()
        if version == self._version:
            return
        in_force = Q(ends_at=None) | Q(ends_at__gt=datetime.now(UTC))
        rows = Ban.objects.using("reader").filter(in_force).order_by("-started_at")[:MOST_BANS]
        found = [(row.kind, Banned(row.subject, row.reason, row.ends_at)) for row in rows]
        allowed = AllowedNetwork.objects.using("reader").values_list("network", flat=True)
        networks = [(ip_network(one.subject), one) for kind, one in found if kind == Ban.Kind.NETWORK]
        self._networks = Networks((network, one) for network, one in networks if one.reason not in AT_MX_ALONE)
        self._at_mx = Networks((network, one) for network, one in networks if one.reason in AT_MX_ALONE)
        self._accounts = {one.subject: one for kind, one in found if kind == Ban.Kind.ACCOUNT}
        self._allowed = Networks((ip_network(one), Banned(one, "", None)) for one in allowed)
        self._version = version

    def flush(self) -> None:
        """Writes what gathered."""
        with self._lock:
            refused, self._refused = self._refused, Counter()
            points, self._points = self._points, Counter()
        try:
            if points:
                bans.record(points, datetime.now(UTC))
                points = Counter()
            if refused:
                bans.add_refused(refused)
        except DatabaseError:
            # Another time: a guesser must not go uncounted while the database is busy.
            with self._lock:
                self._points.update(points)
                self._refused.update(refused)
            raise

    def forget(self) -> None:
        """Forgets everything. For tests."""
        self.__init__()  # type: ignore[misc]

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.refresh()
            except DatabaseError as error:
                logger.warning("the bans can't be read or written: %s", error)
                drop_broken()
            except Exception:
                logger.exception("the bans can't be looked after")
            self._ended.wait(LOOK_SECONDS)
        connections.close_all()


def _version() -> int:
    with connections["reader"].cursor() as cursor:
        cursor.execute("SELECT version FROM abuse_banversion WHERE id = 1")
        row = cursor.fetchone()
    return row[0] if row else 0


BAN_LIST = BanList()
