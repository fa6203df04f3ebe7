"""Counting offences, banning, lifting. What is refused to people is a ChangeRefused."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

from django.db import transaction
from django.db.models import F

from mailsuite.access.models import AllowedNetwork, Ban, BanVersion, Offence
from mailsuite.access.offences import FORGIVEN_AFTER, LONGEST, MEASURES, counted_with, duration, enough, is_spared
from mailsuite.access.throttle import KNOWN_GOOD
from mailsuite.database.stored_time import holds, within
from mailsuite.directory.models import Login
from mailsuite.errors import ChangeRefused
from mailsuite.ids import new_id
from mailsuite.mail.address import AddressError, address_key
from mailsuite.mail.client_network import Network

Points = Mapping[tuple[Network, str], int]
LONGEST_WINDOW = max(measure.window for measure in MEASURES.values())


def record(points: Points, now: datetime) -> int:
    """Adds points by (network, reason), and bans those that have enough; returns how many were banned."""
    counted = Counter[tuple[Network, str]]()
    for (network, reason), count in points.items():
        if count > 0 and not is_spared(network, reason):
            counted.update({(one, reason): count for one in counted_with(network)})
    if not counted:
        return 0
    with transaction.atomic():
        return sum(_add(network, reason, count, now) for (network, reason), count in _sorted(counted))


def ban(subject: str, *, reason: str, ends_at: datetime | None, note: str = "", now: datetime | None = None) -> Ban:
    """Bans a network or account until `ends_at`, None for good. A ban that is there is replaced."""
    now = now or datetime.now(UTC)
    kind, subject = parse_subject(subject)
    if ends_at is not None and ends_at <= now:
        raise ChangeRefused("The ban would have ended already: give an end that is to come.")
    if kind == Ban.Kind.NETWORK:
        _refuse_everything(ip_network(subject))
    with transaction.atomic():
        before = Ban.objects.select_for_update().filter(kind=kind, subject=subject).first()
        values = {"reason": reason, "note": note[:200], "started_at": now, "ends_at": ends_at, "refused_count": 0}
        values["count"] = before.count + 1 if before else 1
        row, _ = Ban.objects.update_or_create(kind=kind, subject=subject, defaults=values)
        touch()
    return row


def lift(subject: str) -> None:
    """Ends a ban, in force within seconds, and forgets what led to it."""
    kind, subject = parse_subject(subject)
    with transaction.atomic():
        if not Ban.objects.filter(kind=kind, subject=subject).delete()[0]:
            raise ChangeRefused(f"{subject} is not banned. The list is: manage.py ban list")
        Offence.objects.filter(network=subject).delete()
        touch()


def allow(network: str, note: str = "") -> None:
    """Has a network never be banned; bans that lie within it end."""
    allowed = parse_network(network)
    with transaction.atomic():
        AllowedNetwork.objects.update_or_create(network=str(allowed), defaults={"note": note[:200]})
        for row in Ban.objects.filter(kind=Ban.Kind.NETWORK):
            if _is_within(ip_network(row.subject), allowed):
                row.delete()
        touch()


def disallow(network: str) -> None:
    """Has a network be treated like others again."""
    with transaction.atomic():
        if not AllowedNetwork.objects.filter(network=str(parse_network(network))).delete()[0]:
            raise ChangeRefused(f"{network} is not on the list of networks that are never banned.")
        touch()


def add_refused(counts: Mapping[str, int]) -> None:
    """Notes how many connections the bans of these networks have refused."""
    with transaction.atomic():
        for subject, count in sorted(counts.items()):
            Ban.objects.filter(kind=Ban.Kind.NETWORK, subject=subject).update(refused_count=F("refused_count") + count)


def forget_old(now: datetime) -> int:
    """Deletes bans that ended long ago and points that no longer count; returns how many. For the periodic work."""
    with transaction.atomic():
        forgotten = Ban.objects.filter(ends_at__lt=now - FORGIVEN_AFTER).delete()[0]
        return forgotten + Offence.objects.filter(window_started_at__lt=now - LONGEST_WINDOW).delete()[0]


def touch() -> None:
    """Draws a new version, in the caller's transaction."""
    if not BanVersion.objects.filter(pk=1).update(version=new_id()):
        BanVersion.objects.create(pk=1, version=new_id())


def parse_network(text: str) -> Network:
    """The network, its host bits taken off. Raises ChangeRefused for what is none."""
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        raise ChangeRefused(f"{text!r} is no network: write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/64.") from None


def parse_subject(text: str) -> tuple[Ban.Kind, str]:
    """The kind and the written form of what is to be banned: a network or an account's address."""
    if "@" not in text:
        return Ban.Kind.NETWORK, str(parse_network(text))
    try:
        return Ban.Kind.ACCOUNT, address_key(text.strip())
    except AddressError as error:
        raise ChangeRefused(f"{text!r} is neither a network nor an address. {error}.") from None


def _add(network: Network, reason: str, count: int, now: datetime) -> int:
    # Inserted first, so that two transactions never both make the row.
    Offence.objects.bulk_create(
        [Offence(network=str(network), reason=reason, window_started_at=now)], ignore_conflicts=True
    )
    row = Offence.objects.select_for_update().get(network=str(network), reason=reason)
    if not within(row.window_started_at, now, MEASURES[reason].window):
        row.points, row.window_started_at = 0, now
    row.points += count
    banned = row.points >= enough(network, reason) and _may_ban(network, reason, now)
    if banned:
        row.points = 0
        times = (Ban.objects.filter(subject=str(network)).values_list("count", flat=True).first() or 0) + 1
        ban(str(network), reason=reason, ends_at=now + duration(reason, times), now=now)
    row.save(update_fields=["points", "window_started_at"])
    return int(banned)


def is_in_force(reason: str, ends_at: datetime | None, now: datetime) -> bool:
    """Whether a ban is in force. What people chose may end at any time; none of ours lasts longer than LONGEST."""
    if reason == Ban.Reason.BY_HAND or ends_at is None:
        return ends_at is None or ends_at > now
    return holds(ends_at, now, LONGEST)


def _may_ban(network: Network, reason: str, now: datetime) -> bool:
    """Not what is banned already (longer, perhaps, by hand), nor what is never to be; nor does guessing or a broken
    program ban a network from which somebody signs in: a bystander behind the same address must still get in, and the
    throttle and the sessions' limits go on. Who tries out recipients is kept out of port 25 alone (ban_list.py)."""
    bans = Ban.objects.filter(kind=Ban.Kind.NETWORK, subject=str(network)).values_list("reason", "ends_at")
    if any(is_in_force(before, ends_at, now) for before, ends_at in bans):
        return False
    if any(_is_within(network, ip_network(one)) for one in AllowedNetwork.objects.values_list("network", flat=True)):
        return False
    return reason == Ban.Reason.RECIPIENT_PROBING or not _is_somebodys(network, now)


def _is_somebodys(network: Network, now: datetime) -> bool:
    """Whether any account was signed in to from the network lately."""
    lately = Login.objects.filter(succeeded=True, at__gt=now - KNOWN_GOOD)
    if network.version == 4:
        mapped = f"::ffff:{network.network_address}"
        return lately.filter(client_address__in=[str(network.network_address), mapped]).exists()
    addresses = lately.filter(client_address__contains=":").order_by().values_list("client_address", flat=True)
    return any(_is_within(parse_network(one.partition("%")[0]), network) for one in addresses.distinct())


def _is_within(network: Network, other: Network) -> bool:
    return network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]


def _refuse_everything(network: Network) -> None:
    if network.prefixlen < (8 if network.version == 4 else 16):
        raise ChangeRefused(f"{network} is a large part of the Internet: ban a /8 (IPv6: a /16) at most.")


def _sorted(points: Points) -> list[tuple[tuple[Network, str], int]]:
    """In one order for everybody, so that two transactions don't wait for each other."""
    return sorted(points.items(), key=lambda item: (str(item[0][0]), item[0][1]))


def ends_after(days: float) -> datetime:
    """The time so many days from now. Raises ChangeRefused for a length that no ban can have."""
    with suppress(OverflowError):
        if days > 0:
            return datetime.now(UTC) + timedelta(days=days)
    raise ChangeRefused(f"{days:g} days can't be the length of a ban: write such as 7 or 0.5, or nothing for good.")
