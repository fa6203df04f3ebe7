"""What becomes of a message, for one mailbox or for all."""

from dataclasses import dataclass
from enum import Enum

from mailsuite.mail.reply import Reply


class Action(Enum):
    """INBOX: as it would be without us. REJECT is for good, DEFER asks the client to come back."""

    INBOX = "inbox"
    JUNK = "junk"
    REJECT = "reject"
    DEFER = "defer"


_BEGINNINGS = {
    Action.INBOX: "In the inbox",
    Action.JUNK: "In Junk",
    Action.REJECT: "Refused",
    Action.DEFER: "Put off",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is one word, the same in reply, header, log, metric and admin; `text` says why in words for people, fit
    to stand after "because"; `details` are small print, one line each, such as the filter's words. `reply` is the SMTP
    reply of REJECT and DEFER.

    `is_certain` junk is not forwarded to other hosts. `dmarc_override` says why the author domain's policy was not
    followed, in the words of RFC 9990 (PolicyOverrideType), "" where it was or asked for nothing.
    """

    action: Action
    reason: str
    text: str = ""
    details: tuple[str, ...] = ()
    is_certain: bool = False
    dmarc_override: str = ""
    reply: Reply | None = None

    @property
    def sentence(self) -> str:
        """The verdict in one plain sentence."""
        beginning = _BEGINNINGS[self.action]
        return f"{beginning} because {self.text}." if self.text else f"{beginning}: nothing speaks against it."


@dataclass(frozen=True, slots=True)
class MailboxVerdict:
    """What became of one mailbox's copy; `domain_id` is its domain's, whose administrators may know of it."""

    address: str
    verdict: Verdict
    mailbox_id: int | None = None
    domain_id: int | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """All of it, as it is kept in `Story.data["verdict"]`: `whole` is what the client was told (REJECT, DEFER) or what
    befell the best treated copy. `not_forwarded` are the recipients whose mail was to go on to other hosts, but does
    not."""

    whole: Verdict
    mailboxes: tuple[MailboxVerdict, ...] = ()
    not_forwarded: tuple[str, ...] = ()
