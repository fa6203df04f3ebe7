"""SPF (RFC 7208): read for known mistakes, then evaluated for each address that this host sends from."""

import re
from collections.abc import Sequence
from ipaddress import ip_address

from mailsuite.mailauth import spf
from mailsuite.mailauth.dns_record import Record
from mailsuite.mailauth.spf.record import Record as SpfRecord
from mailsuite.mailauth.spf.record import RecordError, parse_record, spf_records
from mailsuite.records.judging.sides import Judge, change, publish
from mailsuite.records.seen import OK, Judgement, Verdict, octets
from mailsuite.resolver.answers import Answer, Resolver, Status

MAX_LOOKUPS = 10
# An address that no record names, so that an evaluation for it meets every term (RFC 7600 §6).
NOBODY = "192.0.0.8"
# A term that takes a host name, with an address instead.
ADDRESS = re.compile(
    rb" [-+?~]?(?:a|mx|include|exists):(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]*:[0-9a-f:]+)(?=[ /]|\Z)", re.IGNORECASE
)
QUOTES = "“”„‟‘’«»"


def judge(record: Record, addresses: Sequence[str]) -> Judge:
    """`addresses` are those that must pass; none when nobody is to send."""

    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        found = spf_records(octets(answer))
        if not found:
            return await _absent(record, octets(answer), resolver)
        if len(found) > 1:
            return change(record, f"There are {len(found)} SPF records, and receivers then heed none: keep one.")
        if match := ADDRESS.search(found[0]):
            term = match[0].decode().strip()
            return change(record, f"{term} names an address where a host name must stand: write ip4: or ip6:.")
        try:
            parsed = parse_record(found[0])
        except RecordError as error:
            return change(record, f"The SPF record has a mistake: {error}.")
        plain = read(parsed, record)
        if plain.verdict is Verdict.DIFFERS:
            return plain
        if not addresses and record.value == "v=spf1 -all":
            return _nobody(parsed, record)
        return await _evaluated(record, addresses, resolver) or plain

    return judged


def read(parsed: SpfRecord, record: Record) -> Judgement:
    """What can be told from the record alone."""
    last = parsed.mechanisms[-1] if parsed.mechanisms else None
    ends = [one for one in parsed.mechanisms if one.name == "all"]
    if ends and ends[0].result == "pass":
        return change(record, "+all lets everybody send in your name: end with -all.")
    if any(one.name == "ptr" for one in parsed.mechanisms):
        return _warn("Take ptr out of the SPF record: it is slow, and receivers are told not to rely on it.")
    if ends and ends[0].result == "neutral":
        return _warn("End the SPF record with -all instead of ?all, which says nothing about forgers.")
    if not ends and parsed.redirect is None:
        return _warn("End the SPF record with -all: as it is, it says nothing about forgers.")
    if ends and last is not ends[0]:
        return _warn("Move all to the end of the SPF record: nobody reads what stands behind it.")
    return OK


async def _evaluated(record: Record, addresses: Sequence[str], resolver: Resolver) -> Judgement | None:
    """What receivers would conclude; None when all is well."""
    whole = await _check(resolver, NOBODY, record.name)
    if whole.result == "temperror":
        return Judgement(Verdict.UNKNOWN, "DNS did not answer for a name that the SPF record refers to; try again.")
    if whole.result == "permerror":
        return change(record, f"Receivers can't evaluate the SPF record: {whole.reason}.")
    for address in addresses:
        outcome = await _check(resolver, address, record.name)
        if outcome.result == "temperror":
            return Judgement(Verdict.UNKNOWN, "DNS did not answer while SPF was evaluated; try again.")
        if outcome.result != "pass":
            term = f"ip{ip_address(address).version}:{address}"
            return change(record, f"SPF says {outcome.result} for this host's address {address}: add {term}.")
    if whole.lookups >= MAX_LOOKUPS - 1:
        return _warn(
            f"The SPF record needs {whole.lookups} look-ups of {MAX_LOOKUPS} allowed: leave room before adding more."
        )
    return None


async def _absent(record: Record, found: Sequence[bytes], resolver: Resolver) -> Judgement:
    texts = [text.decode("utf-8", "replace") for text in found]
    for text in texts:
        if any(quote in text for quote in QUOTES) and "spf1" in text:
            return change(record, "The SPF record has curly quotation marks in it: type it without any.")
        if "spf1" in text.lower()[:12]:
            return change(record, f"A record begins with {text[:12]!r}, where v=spf1 and a blank must stand.")
    old = await resolver.query(record.name, "SPF")
    if old.status is Status.OK:
        return Judgement(
            Verdict.MISSING,
            "The SPF record has the old type SPF, which nobody asks for: publish it as TXT.",
        )
    return publish(record)


def _nobody(parsed: SpfRecord, record: Record) -> Judgement:
    """For a domain that sends no mail."""
    if [one.text for one in parsed.mechanisms] == ["-all"]:
        return OK
    return change(record, "The domain sends no mail, yet its SPF record lets somebody.")


async def _check(resolver: Resolver, address: str, domain: str) -> spf.SpfOutcome:
    return await spf.check_host(resolver, ip=address, domain=domain, sender=f"postmaster@{domain}", helo=domain)


def _warn(sentence: str) -> Judgement:
    return Judgement(Verdict.WARN, sentence)
