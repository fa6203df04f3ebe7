"""What was found out and decided about one message, and how its copies say so."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mailsuite.authcheck.report import AuthReport
from mailsuite.mailauth.authentication_results import Result, build
from mailsuite.pipeline.decisions import Refusal
from mailsuite.verdict.facts import ScanFact
from mailsuite.verdict.verdict import Judgement, Verdict

# RFC 8601 §2.7 lets those who share an authserv-id agree on methods of their own; nobody from outside can write it,
# since fields that claim our id are cut out.
VERDICT_METHOD = "x-mailsuite"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`results` are for Authentication-Results under `authserv_id`; `refusal` is the verdict's when the message is not
    taken; `scan` is what a scanner outside said, if there is one."""

    report: AuthReport
    judgement: Judgement
    authserv_id: str
    results: tuple[Result, ...] = ()
    refusal: Refusal | None = None
    scan: ScanFact | None = None
    # By mailbox: a message may have thousands of copies.
    _verdicts: Mapping[int | None, Verdict] = field(init=False)

    def __post_init__(self) -> None:
        found = {one.mailbox_id: one.verdict for one in reversed(self.judgement.mailboxes)}
        object.__setattr__(self, "_verdicts", found)

    def verdict(self, mailbox_id: int) -> Verdict:
        """Return the verdict on this mailbox's copy."""
        return self._verdicts.get(mailbox_id, self.judgement.whole)

    def field(self, mailbox_id: int | None = None, *, utf8: bool = False) -> bytes:
        """Return the Authentication-Results field of one mailbox's copy, with what was decided about it; without a
        mailbox it is for others, and tells what was found alone."""
        results = self.results
        if mailbox_id is not None:
            verdict = self.verdict(mailbox_id)
            results += (Result(VERDICT_METHOD, verdict.action.value, (("policy.reason", verdict.reason),)),)
        return build(self.authserv_id, results, utf8=utf8)

    def facts(self) -> dict[str, Any]:
        """Return what the story keeps."""
        return {"authentication": self.report, "verdict": self.judgement, "scan": self.scan}
