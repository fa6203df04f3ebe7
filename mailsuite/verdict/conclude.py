"""From the verdicts on each copy to one answer for the client.

SMTP has one reply for all recipients of a message. Refusing it for one must not take it from the others: then that
one's copy goes to Junk. Putting it off takes nothing from anybody, so one who asks for it is enough. What would be
refused is not forwarded, nor is certain junk: other hosts would hold it against us; doubtful junk is, since its reader
alone can tell. When nothing is left but what is not forwarded, the client is told so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailsuite.verdict.judge import reject
from mailsuite.verdict.verdict import Action, Judgement, MailboxVerdict, Verdict


@dataclass(frozen=True, slots=True)
class Forward:
    """A recipient whose mail goes on to other hosts, and the verdict on that."""

    address: str
    verdict: Verdict

    @property
    def is_stopped(self) -> bool:
        verdict = self.verdict
        return verdict.action is Action.REJECT or (verdict.action is Action.JUNK and verdict.is_certain)


def conclude(copies: Sequence[MailboxVerdict], forwards: Sequence[Forward] = ()) -> Judgement:
    """Return what becomes of the message; there is at least one copy or forward."""
    every = [copy.verdict for copy in copies] + [forward.verdict for forward in forwards]
    for verdict in every:
        if verdict.action is Action.DEFER:
            return Judgement(verdict, tuple(replace(copy, verdict=verdict) for copy in copies))
    if all(verdict.action is Action.REJECT for verdict in every):
        return Judgement(every[0], tuple(copies), tuple(forward.address for forward in forwards))
    stopped = tuple(forward.address for forward in forwards if forward.is_stopped)
    if not copies and len(stopped) == len(forwards):
        return Judgement(_not_forwarded(forwards[0].verdict), (), stopped)
    kept = tuple(replace(copy, verdict=_softened(copy.verdict)) for copy in copies)
    left = [copy.verdict for copy in kept] + [one.verdict for one in forwards if not one.is_stopped]
    return Judgement(min(left, key=lambda verdict: verdict.action is not Action.INBOX), kept, stopped)


def _softened(verdict: Verdict) -> Verdict:
    """Junk where a refusal would have taken the message from others."""
    if verdict.action is not Action.REJECT:
        return verdict
    override = verdict.dmarc_override or ("local_policy" if verdict.reason == "dmarc-reject" else "")
    return replace(verdict, action=Action.JUNK, reply=None, dmarc_override=override)


def _not_forwarded(verdict: Verdict) -> Verdict:
    if verdict.action is Action.REJECT:
        return verdict
    return reject(verdict.reason, verdict.text, "7.1", "This message is not forwarded", verdict.details)
