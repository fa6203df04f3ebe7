"""One verdict from two sides: the domain's own name servers, and what the public resolver still remembers."""

from collections.abc import Awaitable, Callable

from mailsuite.mailauth.dns_record import Record
from mailsuite.records.seen import OK, Finding, Judgement, Verdict, View, side
from mailsuite.resolver.answers import Answer, Resolver, Status

# Judges what one side answered; the resolver is that side's, for what the verdict hangs on besides.
Judge = Callable[[Answer, Resolver], Awaitable[Judgement]]

SILENT = Judgement(Verdict.UNKNOWN, "DNS did not answer: nothing is wrong with the record for all we know; try again.")


async def find(view: View, record: Record, judge: Judge) -> Finding:
    """The finding for a record: both sides are asked and judged."""
    own, public = await view.both(record.name, record.type)
    own_judgement, public_judgement = await _judged(judge, own, view.own), await _judged(judge, public, view.public)
    judgement = await _together(view, record, own, own_judgement, public_judgement)
    return Finding(
        record,
        judgement.verdict,
        judgement.sentence,
        side(own, record.type, own_judgement),
        side(public, record.type, public_judgement),
    )


def publish(record: Record) -> Judgement:
    """The plainest advice."""
    value = f": {record.value}" if record.value and len(record.value) < 100 else ""
    return Judgement(Verdict.MISSING, f"Publish {record.type} at {record.name}{value}")


def change(record: Record, why: str) -> Judgement:
    """That the record is another one than it should be, and what to write there."""
    value = f": {record.value}" if record.value and len(record.value) < 100 else " to the value shown here"
    return Judgement(Verdict.DIFFERS, f"{why} Change {record.type} at {record.name}{value}")


async def _judged(judge: Judge, answer: Answer, resolver: Resolver) -> Judgement:
    return SILENT if answer.status is Status.TEMPERROR else await judge(answer, resolver)


async def _together(view: View, record: Record, own: Answer, judged: Judgement, public: Judgement) -> Judgement:
    """The name servers' word is the fresh one; the public side decides where they are silent, and may come after."""
    if judged.verdict is Verdict.UNKNOWN:
        return public
    if judged.verdict not in (Verdict.OK, Verdict.WARN):
        return judged
    if public.verdict is Verdict.UNKNOWN:
        if public is SILENT and await view.is_bogus(record.name, record.type):
            return Judgement(
                Verdict.DIFFERS,
                f"DNSSEC of {record.name} is broken, so that validating resolvers hide it: mend the zone's signatures "
                "or take the DS record away.",
            )
        return judged
    if public.verdict in (Verdict.MISSING, Verdict.DIFFERS):
        return Judgement(
            Verdict.WARN,
            f"Published; others still remember what was there before and see it within {_duration(own.ttl)}.",
        )
    return judged if judged != OK else public


def _duration(seconds: int) -> str:
    if seconds >= 2 * 3600:
        return f"{-(-seconds // 3600)} hours"
    return f"{max(1, -(-seconds // 60))} minutes"
