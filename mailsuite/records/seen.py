"""What DNS said, in the words of a zone file, so that people can compare it with what should be there."""

import asyncio
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from mailsuite.mailauth.dns_record import Record
from mailsuite.records.authority import Authority
from mailsuite.resolver.answers import Answer, Mx, Rdata, Resolver, Status, Tlsa

if TYPE_CHECKING:
    from mailsuite.records.models import Observation

# Beyond these a change of ours takes too long to be seen everywhere.
LONG_TTL = 2 * 86_400
HOST_TYPES = ("CNAME", "NS", "PTR")


class Verdict(StrEnum):
    """`unknown` says that DNS did not answer, never that something is missing; `warn` that it works, though; `fails`
    that the record is there, and what it leads to does not work."""

    OK = "ok"
    MISSING = "missing"
    DIFFERS = "differs"
    FAILS = "fails"
    WARN = "warn"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with the one sentence that says what to do, "" when all is well."""

    verdict: Verdict
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """What one side has at a name: the word of answers.Status, and the values as texts, in a fixed order."""

    status: str = "temperror"
    values: tuple[str, ...] = ()
    ttl: int = 0
    verdict: Verdict = Verdict.UNKNOWN


@dataclass(frozen=True, slots=True)
class Finding:
    """A record beside what the domain's own name servers and the public resolver have in its place; `live` is what was
    met where it leads, where that was looked at."""

    record: Record
    verdict: Verdict
    sentence: str = ""
    own: Side = Side()
    public: Side = Side()
    live: Side | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether it is missing, differs, or leads to what does not work; not what DNS did not answer."""
        return self.verdict in (Verdict.MISSING, Verdict.DIFFERS, Verdict.FAILS)

    @property
    def sides(self) -> tuple[tuple[str, Side], ...]:
        """Each by the name of its Observation.Source."""
        found = (("own", self.own), ("public", self.public))
        return (*found, ("live", self.live)) if self.live else found


OK = Judgement(Verdict.OK)


@dataclass(slots=True)
class View:
    """Both sides of DNS for one check. `bypass` asks the public resolver without its DNSSEC validation."""

    own: Authority
    public: Resolver
    bypass: Resolver | None = None

    async def both(self, name: str, rdtype: str) -> tuple[Answer, Answer]:
        """What the domain's own name servers say, and what the public resolver does."""
        own, public = await asyncio.gather(self.own.query(name, rdtype), self.public.query(name, rdtype))
        return own, public

    async def is_bogus(self, name: str, rdtype: str) -> bool:
        """Whether the public resolver has the answer and keeps it back, for a signature that does not fit."""
        return self.bypass is not None and (await self.bypass.query(name, rdtype)).status is not Status.TEMPERROR


def side(answer: Answer, rdtype: str, judgement: Judgement) -> Side:
    """What one side has at the name, with the verdict on it."""
    return Side(answer.status.value, texts(answer, rdtype), answer.ttl, judgement.verdict)


def texts(answer: Answer, rdtype: str) -> tuple[str, ...]:
    """The values as a zone file has them, TXT joined and without quotes; sorted, since their order says nothing."""
    return tuple(sorted(_text(value, rdtype) for value in answer.rdata))


def octets(answer: Answer) -> tuple[bytes, ...]:
    """The values of a TXT answer, the strings of each joined."""
    return tuple(value for value in answer.rdata if isinstance(value, bytes))


def hosts(answer: Answer) -> tuple[str, ...]:
    """The names or addresses of an answer."""
    return tuple(value for value in answer.rdata if isinstance(value, str))


def values_of(observation: "Observation") -> list[str]:
    """The values that were seen, as a zone file has them."""
    return list(json.loads(observation.values))


def _text(value: Rdata, rdtype: str) -> str:
    match value:
        case bytes():
            return value.decode("utf-8", "replace")
        case Mx():
            return f"{value.preference} {value.exchange}."
        case Tlsa():
            return f"{value.usage} {value.selector} {value.matching_type} {value.data.hex()}"
    return f"{value}." if rdtype in HOST_TYPES else value
