"""What a verdict is made of, as plain values. Whoever is absent (no filter yet, no scanner) is None."""

from dataclasses import dataclass

from mailsuite.authcheck.report import AuthReport
from mailsuite.mail.reply import Reply


@dataclass(frozen=True, slots=True)
class RuleHit:
    """An administrator's or owner's rule that fits the sender. `action` is allow, junk or block; `scope` site, domain
    or mailbox; `text` the rule as it was written."""

    action: str
    scope: str
    text: str


@dataclass(frozen=True, slots=True)
class ListHit:
    """A DNS list, or another sign, that speaks for or against the client: `weight` is negative where it vouches."""

    name: str
    weight: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class StandingFact:
    """What a mailbox's history says of the sender: `label` is wanted, unwanted or unknown, `rung` what it was known
    by."""

    label: str
    rung: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class OpinionFact:
    """The content filter's: `probability` of junk from 0 to 1, None while it has seen too little; `clues` are words
    with their weights, positive for junk."""

    probability: float | None
    clues: tuple[tuple[str, float], ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class ScanFact:
    """What a scanner outside says: `action` is accept, junk, reject or defer."""

    action: str
    score: float = 0.0
    reason: str = ""
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """What is true of the message whoever gets it. `report` is None for mail of our own users; `refusal` is the reply
    to a host that pretends to be us; `is_list_known`: it comes through a mailing list that the site knows.
    `own_domains` are those of its author's and its reverse-path's domains that are ours; `is_own_post`: one of our own
    users sent it, and a mailing list sends it on. What the hits' weights add up to makes it junk from `junk_weight` on,
    and refuses it from `refused_weight` on."""

    report: AuthReport | None = None
    refusal: Reply | None = None
    is_list_known: bool = False
    own_domains: frozenset[str] = frozenset()
    is_own_post: bool = False
    lists: tuple[ListHit, ...] = ()
    junk_weight: float = 1.0
    refused_weight: float = 2.0
    scan: ScanFact | None = None


@dataclass(frozen=True, slots=True)
class MailboxFacts:
    """What one mailbox adds: its rule, which outranks its domain's and the site's, and what its history says."""

    rule: RuleHit | None = None
    standing: StandingFact | None = None
    opinion: OpinionFact | None = None
