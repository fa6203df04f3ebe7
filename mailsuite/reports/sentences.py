"""What the reports of a domain mean, in sentences for somebody who is no expert. Pure."""

from dataclasses import dataclass

from mailsuite.reports.services import ENOUGH_DAYS, ENOUGH_SHARE, Evidence

STRICTER = {"none": "quarantine", "quarantine": "reject"}


@dataclass(frozen=True, slots=True)
class Sentence:
    """`tone` is good, waiting, bad or plain."""

    tone: str
    text: str


def sentences(evidence: Evidence, domain: str, policy: str = "") -> list[Sentence]:
    """The situation first, what to do last. `policy` is the published p=, "" when it isn't known."""
    if not evidence.messages:
        return [
            Sentence(
                "plain",
                f"No report counted yet. Reports come daily, once the DMARC record of {domain} asks for them with"
                f" rua=mailto:dmarc-reports@{domain} and mail was sent to large providers.",
            )
        ]
    advice = [_advice(evidence, policy)] if evidence.sources else []
    return [_senders(evidence), *_forgeries(evidence), *_forwarders(evidence), *advice]


def _senders(evidence: Evidence) -> Sentence:
    count, failing = len(evidence.sources), evidence.sources_failing
    if not count:
        return Sentence("bad", "Nobody who sends as you is authenticated: set up SPF and DKIM first.")
    who = "1 source sends as you" if count == 1 else f"{count} sources send as you"
    if not failing:
        all_pass = "and passes" if count == 1 else "and all of them pass" if count > 2 else "and both pass"
        return Sentence("good", f"{who}, {all_pass}.")
    verb = "this one fails" if len(failing) == 1 else "these fail"
    return Sentence("bad", f"{who}; {verb}: {_list(failing)}.")


def _forgeries(evidence: Evidence) -> list[Sentence]:
    if not evidence.unauthenticated:
        return []
    return [
        Sentence(
            "plain",
            f"{_messages(evidence.unauthenticated)} came from senders that nothing speaks for: forgeries, as a rule. A"
            " stricter policy keeps them from arriving.",
        )
    ]


def _forwarders(evidence: Evidence) -> list[Sentence]:
    if not evidence.overridden:
        return []
    return [
        Sentence(
            "plain",
            f"{_messages(evidence.overridden)} failed on the way through forwarders or mailing lists, which their"
            " receivers knew and let pass.",
        )
    ]


def _advice(evidence: Evidence, policy: str) -> Sentence:
    share = evidence.aligned_share
    if evidence.sources_failing and share < ENOUGH_SHARE:
        return Sentence(
            "waiting",
            f"{percent(share)} of what is meant to come from you passes. Set up SPF or DKIM for the sources above"
            " that are yours, before the policy gets stricter; those that are not yours need nothing.",
        )
    if evidence.days_reported < ENOUGH_DAYS:
        return Sentence(
            "waiting",
            f"{evidence.days_reported} of {ENOUGH_DAYS} days are reported: wait for the rest, so that rare senders show"
            " too.",
        )
    if policy == "reject":
        return Sentence("good", "The policy is at its strictest, and your mail passes: nothing to do.")
    if policy in STRICTER:
        return Sentence("good", f"It is safe to move from p={policy} to p={STRICTER[policy]}.")
    return Sentence("good", "It is safe to move to the next stricter policy.")


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count:,} messages"


def percent(share: float) -> str:
    """Never 100 % where something is missing."""
    return f"{int(share * 1000) / 10:g} %"


def _list(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
