"""Where a domain wants its aggregate reports (RFC 9990 §3.5), and whether whoever would get them agreed (§4)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from mailsuite.mail.address import Address, AddressError, parse_address
from mailsuite.mailauth.dmarc import TemporaryError, parse_record, walk
from mailsuite.resolver.answers import Resolver, Status

MAX_URIS = 5
MAX_NAME_OCTETS = 253
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
# dmarc-uri = URI [ "!" 1*DIGIT [ "k" / "m" / "g" / "t" ] ]          RFC 7489 §6.4; still found in records
_URI = re.compile(r"mailto:([^!?]+)(?:\?[^!]*)?(?:!([0-9]{1,12})([kmgt]?))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Destination:
    """One address; `max_octets` is 0 when its owner names no limit."""

    address: Address
    max_octets: int = 0


@dataclass(frozen=True, slots=True)
class Destinations:
    """Those who may be sent to, and one line for each that may not."""

    accepted: tuple[Destination, ...]
    refused: tuple[str, ...]


def read_uri(uri: str) -> Destination | None:
    """The address in a mailto URI; None for what is none."""
    match = _URI.fullmatch(uri.strip())
    if match is None:
        return None
    try:
        address = parse_address(unquote(match[1]))
    except AddressError:
        return None
    if not address.domain or address.domain.startswith("["):
        return None
    return Destination(address, int(match[2]) * _UNITS[(match[3] or "").lower()] if match[2] else 0)


async def find_destinations(
    resolver: Resolver, policy_domain: str, rua: Sequence[str], octets: int, *, is_last: bool = False
) -> Destinations:
    """Those of the first MAX_URIS addresses that may get a report of so many octets about the policy domain.

    Raises TemporaryError when a look-up failed that the answer hangs on: try again later; where `is_last` says that
    there is no later, only the address goes without that it was about.
    """
    accepted: dict[str, Destination] = {}
    refused: list[str] = []
    for uri in rua[:MAX_URIS]:
        found = read_uri(uri)
        if found is None:
            refused.append(f"{uri[:100]} is no address")
            continue
        host = found.address.domain
        try:
            agreed = await _agreed(resolver, policy_domain, found)
        except TemporaryError as error:
            if not is_last:
                raise
            refused.append(f"{found.address}: {error}")
            continue
        if agreed is None:
            refused.append(f"{host} has not agreed to reports about {policy_domain}")
            continue
        found = agreed
        if found.max_octets and octets > found.max_octets:
            refused.append(f"{found.address} takes at most {found.max_octets} octets")
            continue
        accepted.setdefault(found.address.key, found)
    return Destinations(tuple(accepted.values()), tuple(refused))


async def _agreed(resolver: Resolver, policy_domain: str, found: Destination) -> Destination | None:
    """Where reports for this address go: there, or where its host would rather have them; None without its consent."""
    if not await is_outside(resolver, policy_domain, found.address.domain):
        return found
    overriding = await _external(resolver, policy_domain, found.address.domain)
    return found if overriding is True else overriding or None


async def outsiders(resolver: Resolver, policy_domain: str, rua: Sequence[str]) -> tuple[str, ...]:
    """The domains of other organisations among the first MAX_URIS addresses: those that have to agree (§4). Raises
    TemporaryError."""
    hosts = dict.fromkeys(found.address.domain for uri in rua[:MAX_URIS] if (found := read_uri(uri)))
    return tuple([host for host in hosts if await is_outside(resolver, policy_domain, host)])


async def is_outside(resolver: Resolver, policy_domain: str, host: str) -> bool:
    """Whether the host is of another organisation than the policy domain. Raises TemporaryError."""
    if host == policy_domain:
        return False
    return await _organization(resolver, host) != await _organization(resolver, policy_domain)


def consent_name(policy_domain: str, host: str) -> str:
    """Where the host says that it takes reports about the domain (§4)."""
    return f"{policy_domain}._report._dmarc.{host}"


async def _organization(resolver: Resolver, domain: str) -> str:
    found = await walk(resolver, domain)
    if found.failed:
        raise TemporaryError(f"_dmarc.{found.failed[0]} could not be looked up")
    return found.organizational_domain


async def _external(resolver: Resolver, policy_domain: str, host: str) -> Destination | bool | None:
    """Whether the host takes reports about the domain (§4): True, or the address there that it would rather have them
    at; None when it does not say so, or names only addresses elsewhere."""
    name = consent_name(policy_domain, host)
    if len(name) > MAX_NAME_OCTETS:
        return None
    answer = await resolver.query(name, "TXT")
    if answer.status is Status.TEMPERROR:
        raise TemporaryError(f"{name} could not be looked up")
    records = [record for text in answer.rdata if isinstance(text, bytes) and (record := parse_record(text))]
    if not records:
        return None
    overriding = [found for record in records for uri in record.rua if (found := read_uri(uri))]
    if not overriding:
        return True
    # Anywhere else would be a way to have a third party flooded: then neither gets any.
    return next((found for found in overriding if found.address.domain == host), None)
