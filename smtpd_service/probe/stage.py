"""What a delivery test tells: stages, each with what it means in plain words."""

from dataclasses import dataclass
from enum import Enum

from smtpd_service.outbound.transaction import Fate, Outcome


class Tone(Enum):
    """How a stage went for the mail that would be sent."""

    GOOD = "good"
    NOTE = "note"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Stage:
    """One step. `name` is a word for programs; `host` the endpoint that it is about, "" for the domain; `details` are
    lines as they were said or found."""

    name: str
    title: str
    tone: Tone
    text: str
    host: str = ""
    details: tuple[str, ...] = ()
    milliseconds: int = 0


TITLES = {
    "address": "Address",
    "here": "Hosted here",
    "route": "Route",
    "mx": "Mail hosts (MX)",
    "sts": "MTA-STS policy",
    "dane": "DANE (TLSA)",
    "policy": "What TLS must be",
    "connect": "Connection",
    "greeting": "Greeting",
    "ehlo": "EHLO",
    "starttls": "STARTTLS",
    "tls": "TLS and certificate",
    "auth": "Login",
    "mail": "MAIL FROM",
    "rcpt": "RCPT TO",
    "quit": "RSET and QUIT",
    "result": "Result",
}

# What hosts mean by the enhanced codes that senders meet most (RFC 3463, RFC 7372, RFC 7505, operators' pages).
_MEANINGS = {
    "1.1": "There is no such mailbox.",
    "1.2": "The host does not know the domain.",
    "1.10": "The domain takes no mail.",
    "2.1": "The mailbox is switched off.",
    "2.2": "The mailbox is full.",
    "4.7": "The host saw the message before and refuses to take it in circles.",
    "7.1": "The host refuses this sender by its own rules: look for a block list or a rule in the reply.",
    "7.7": "The host does not believe who is sending.",
    "7.20": "No DKIM signature passed.",
    "7.23": "SPF does not allow this host to send for the sender's domain.",
    "7.24": "SPF could not be checked.",
    "7.25": "This host's address has no name in DNS, or one that does not lead back (PTR record).",
    "7.26": "The sender's domain is not authenticated (SPF, DKIM, DMARC).",
    "7.27": "The sender's domain takes no mail itself (null MX), or SPF failed.",
    "7.28": "The host sees too much unwanted mail from here.",
    "7.29": "The host demands TLS.",
}


def judge_reply(name: str, outcome: Outcome) -> tuple[Tone, str]:
    """Tone and meaning of a host's answer to MAIL, RCPT or an earlier step."""
    hint = _MEANINGS.get(outcome.status.partition(".")[2], "")
    if outcome.fate is Fate.DELIVERED:
        return Tone.GOOD, _ACCEPTED.get(name, "The host agrees.")
    if outcome.fate is Fate.NEVER:
        return Tone.BAD, f"The host refuses for good; mail would come back. {hint}".rstrip()
    if name == "rcpt" and outcome.code in (450, 451):
        hint = hint or "Often greylisting: the first attempt of an unknown sender is put off."
    return Tone.WARNING, f"The host says no for now; mail would be tried again later. {hint}".rstrip()


_ACCEPTED = {
    "mail": "The host takes mail from this sender.",
    "rcpt": "The host takes mail for this address. Some hosts take any address and refuse the message later.",
}
