"""What the owner of a mailbox did before with this sender, as a verdict: pure, over what the rungs remember.

In this order, and the first that says something decides:

 1. it answers a message that the mailbox sent: wanted, always
 2. the exact From, where authentic: what the owner did last decides, writing to it or saying what it sends is (junk or
    wanted); mail that was only read and kept counts a third of a word
 3. its domain, its organisation's, the domains whose DKIM or SPF passes: when enough was seen, and nearly all alike
 4. the network that it came from: it can only be unwanted, since many senders share one

A rung that has enough but is of two minds ends the search: a weaker one knows no better.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mailsuite.junk import signs as names
from mailsuite.junk.signs import Rung, SenderSigns, reply_rungs, sender_rungs
from mailsuite.verdict.facts import StandingFact

# How many kept messages weigh as much as one that the owner said is wanted.
KEPT_FOR_ONE = 3
UNKNOWN = StandingFact("unknown")


@dataclass(frozen=True, slots=True)
class History:
    """What one rung remembers: messages said to be wanted, said to be junk, and read and kept without a word; when the
    owner wrote to it (the exact From alone), and when the owner last said what its mail is."""

    wanted: int = 0
    junked: int = 0
    kept: int = 0
    wrote_at: datetime | None = None
    judged_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """How much a rung must have seen, and what share of it alike, before it says anything."""

    least: float
    share: float
    may_want: bool = True


NEEDS = {
    names.FROM: Needs(1, 0.51),
    names.DOMAIN: Needs(2, 0.8),
    names.ORGANIZATION: Needs(3, 0.85),
    names.DKIM: Needs(3, 0.85),
    names.SPF: Needs(3, 0.9),
    names.NETWORK: Needs(5, 0.95, may_want=False),
}
WHAT = {
    names.FROM: "{}",
    names.DOMAIN: "{}",
    names.ORGANIZATION: "{} and its subdomains",
    names.DKIM: "what {} signs",
    names.SPF: "what {} sends",
    names.NETWORK: "the network {}",
}


def decide(signs: SenderSigns, remembered: Mapping[Rung, History]) -> StandingFact:
    """Return the standing of the sender, with a sentence for people."""
    if any(rung in remembered for rung in reply_rungs(signs)):
        return StandingFact("wanted", names.REPLY, "it answers a message that this mailbox sent")
    for rung in sender_rungs(signs):
        if (history := remembered.get(rung)) and (found := of_rung(rung, history)):
            return found
    return UNKNOWN


def of_rung(rung: Rung, history: History) -> StandingFact | None:
    """Return what one rung says by itself; None lets the next one speak."""
    name, key = rung
    if history.wrote_at and not (history.junked and history.judged_at and history.judged_at > history.wrote_at):
        return StandingFact("wanted", name, f"this mailbox wrote to {key} on {history.wrote_at:%Y-%m-%d}")
    needs = NEEDS[name]
    good, bad = history.wanted + history.kept / KEPT_FOR_ONE, history.junked
    if good + bad < needs.least:
        return None
    text = f"of {WHAT[name].format(key)} this mailbox {_deeds(history)}"
    if bad >= needs.share * (good + bad):
        return StandingFact("unwanted", name, text)
    if not needs.may_want:
        return None
    return StandingFact("wanted" if good >= needs.share * (good + bad) else "unknown", name, text)


def _deeds(history: History) -> str:
    deeds = (
        (history.junked, "called {} junk"),
        (history.wanted, "called {} wanted"),
        (history.kept, "read and kept {}"),
    )
    return ", ".join(text.format(count) for count, text in deeds if count)
