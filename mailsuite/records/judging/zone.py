"""What is wrong with the zone itself: name servers that are dead, lame or apart, and wildcards that answer for all."""

from mailsuite.mailauth.dns_record import Purpose, Record
from mailsuite.records.planning import Setup
from mailsuite.records.seen import Finding, Side, Verdict, View, texts
from mailsuite.resolver.answers import Status

# No one publishes this name, so that an answer for it comes from a wildcard.
NO_NAME = "no-such-name-mailsuite"


async def zone_findings(setup: Setup, view: View) -> list[Finding]:
    """What is wrong with the zone as a whole: its servers, wildcards, an alias at its top."""
    return [await _servers(setup, view), *await _wildcards(setup, view), *await _apex_alias(setup, view)]


async def _servers(setup: Setup, view: View) -> Finding:
    """The servers that answer for the domain."""
    zone = await view.own.zone(setup.domain)
    record = _record("NS", zone.apex or setup.domain, "The name servers that everything here is asked of.")
    if zone.status is Status.TEMPERROR:
        return Finding(record, Verdict.UNKNOWN, "DNS did not say who the domain's name servers are; try again.")
    if zone.status is Status.NXDOMAIN:
        return Finding(record, Verdict.MISSING, f"{setup.domain} has no name servers: is it registered, and delegated?")
    values = tuple(f"{server.name} {server.address}".strip() for server in zone.servers)
    seen = Side("ok", values)
    broken = [server for server in zone.servers if server.problem]
    if not zone.healthy:
        # Perhaps it is our own way out that is shut, so nobody is blamed.
        text = f"{broken[0].name} {broken[0].problem}" if broken else "No name server has an address"
        return Finding(record, Verdict.UNKNOWN, f"{text}: the check asked others instead.", seen, seen)
    if len(zone.serials) > 1:
        text = "The name servers hold different versions of the zone: see that changes reach all of them."
        return Finding(record, Verdict.WARN, text, seen, seen)
    # A second address that this host has no way to is no fault of the zone.
    healthy = {server.name for server in zone.healthy}
    if lame := [server for server in broken if server.name not in healthy]:
        text = f"{lame[0].name} {lame[0].problem}: mend it, or take it out of the NS records."
        return Finding(record, Verdict.WARN, text, seen, seen)
    return Finding(record, Verdict.OK, "", seen, seen)


async def _wildcards(setup: Setup, view: View) -> list[Finding]:
    """A record for every name hides what is missing: `_dmarc.D` seems to be there with anything."""
    found = []
    for kind in ("TXT", "MX"):
        answer = await view.own.query(f"{NO_NAME}.{setup.domain}", kind)
        if answer.status is Status.OK and setup.sends:
            record = _record(kind, f"*.{setup.domain}", "Answers for every name that isn't there.", needed=False)
            text = f"Take the wildcard away: it answers with {kind} for names that should not have any."
            seen = Side("ok", texts(answer, kind))
            found.append(Finding(record, Verdict.WARN, text, seen, seen))
    return found


async def _apex_alias(setup: Setup, view: View) -> list[Finding]:
    """RFC 1034 §3.6.2: a name with a CNAME has nothing else, so no MX either."""
    answer = await view.own.query(setup.domain, "CNAME")
    if answer.status is not Status.OK:
        return []
    record = _record("CNAME", setup.domain, "Makes the whole domain another name.")
    text = "Take the CNAME away, or use your provider's ALIAS: beside a CNAME no MX or TXT record counts."
    seen = Side("ok", texts(answer, "CNAME"))
    return [Finding(record, Verdict.DIFFERS, text, seen, seen)]


def _record(kind: str, name: str, why: str, *, needed: bool = True) -> Record:
    return Record(kind, name, "", why, needed, Purpose.ZONE)
