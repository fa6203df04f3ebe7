"""What became of a message, as sentences: the reason in words for people, before the one word that search finds."""

import re

from mailsuite.mail.known_replies import KnownReply, by_reason
from mailsuite.trace.models import StoryRecipient

Fate = StoryRecipient.Fate
TONES = {
    Fate.BOUNCED: "bad", Fate.REFUSED: "bad", Fate.DEFERRED: "waiting", Fate.HELD: "waiting", Fate.WAITING: "waiting",
    Fate.JUNK: "waiting", Fate.DROPPED: "plain", Fate.DELIVERED: "good",
}  # fmt: skip
# With the recipients' names, and without.
BEGINNINGS = {
    Fate.BOUNCED: ("Not delivered to {}", "Not delivered"),
    Fate.REFUSED: ("Refused for {}", "Refused"),
    Fate.DEFERRED: ("Its sender was asked to come again for {}", "Its sender was asked to come again"),
    Fate.HELD: ("Held, for {}", "Held"),
    Fate.WAITING: ("Waiting to be delivered to {}", "Waiting"),
    Fate.JUNK: ("In Junk of {}", "In Junk"),
    Fate.DROPPED: ("Dropped, for {}", "Dropped"),
    Fate.DELIVERED: ("Delivered to {}", "Delivered"),
}
# Reasons of ours whose reply says less than an administrator wants to know, and what to do about them.
WHY = {
    "unknown-recipient": ("there is no such address here", "If there should be one, add a mailbox or an alias."),
    "rewritten-sender-invalid": ("the address is none that was rewritten here", ""),
    "rewritten-sender-expired": ("the time for answers to this rewritten address is over", ""),
    "relaying-denied": (
        "the address is at another host, and the client had not signed in",
        "A mail program has to use port 465 or 587 and to sign in.",
    ),
    "recipient-disabled": ("the domain is switched off", "Switch it on again, and it takes mail."),
    "mailbox-full": ("the mailbox is full", "Give it a larger quota, or have its owner make room."),
    "mail-loop": ("the message has been here before", "An alias or forwarding leads in a circle: look where it goes."),
    "sender-not-owned": (
        "its sender may not send as that address",
        "Give the account a permission to send as it, if it should have one.",
    ),
    "from-not-owned": (
        "its sender may not send as the address in From",
        "Give the account a permission to send as it, if it should have one.",
    ),
    "bare-line-ending": ("a line of it ends in a bare CR or LF, as attackers use it to smuggle mail", ""),
    "storage-full": ("the disk of this host is nearly full", "Make room: no mail comes in until then."),
    "store-unavailable": ("this host could not file it at that moment", ""),
    "recipient-removed": ("a mailbox was removed at that moment", ""),
    "greylisted": ("nobody knew the sender, and who is asked to come again is let in then", ""),
    "too-late": ("it took too long to file, and was taken back so that it is not there twice", ""),
    "banned": ("the network of the client is banned", "The list of bans says why, and ends it."),
    "over-daily-cap": (
        "its sender has sent far more than the cap allows",
        "Give the mailbox a cap of its own, if that is right.",
    ),
    "expired": ("it could not be delivered in the time that it had", ""),
    "by-hand": ("somebody gave it up", ""),
    "hosted-here": ("its domain came to be hosted here meanwhile", ""),
    "no-connection": (
        "no mail host of the domain could be reached",
        "Where no host of any domain can be reached, the provider may block port 25.",
    ),
}  # fmt: skip
# The word for what its owner took out of Junk, or put there; the text says who did.
MOVED = "moved"
# Reasons of what was taken say nothing more.
WORDLESS = frozenset({"", "accepted", "ordinary"})
# Words of ours about a host that could not be reached, and what they say of it.
_UNREACHED = re.compile(r"No connection to (\S+) \[[^\]]*\]:\d+: (.*)", re.DOTALL)
_UNREACHED_WHY = (
    ("refused", "refuses connections"),
    ("in time", "does not answer"),
    ("timed out", "does not answer"),
    ("unreachable", "can't be reached from here"),
    ("no route", "can't be reached from here"),
)
_CODES = re.compile(r"^[245]\d\d[ -]?(?:[245]\.\d{1,3}\.\d{1,3}[ ]+)?")


def why(fate: str, reason: str, text: str) -> str:
    """Why it became that, as the rest of a sentence, without its full stop; "" where there is nothing to say."""
    host, reply = _parted(text)
    if found := known(reason):
        return f"{host or 'the other host'} {found.meaning}"
    if unreached := _UNREACHED.fullmatch(reply):
        what = (words for part, words in _UNREACHED_WHY if part in unreached[2].lower())
        return f"its host {unreached[1]} {next(what, f'gives no connection ({unreached[2]})')}"
    if reason in WHY and not (reason in ("by-hand", "expired", "no-connection") and text):
        return WHY[reason][0]
    if reason == MOVED:
        return text
    if fate == Fate.DELIVERED:
        return f"{host} took it" if host else ""
    said = _CODES.sub("", reply).removesuffix(f"({reason})").strip().rstrip(".")
    return f"{host} says: {said}" if host and said else _within(said)


def advice(reason: str) -> str:
    """What to do about it; "" where there is nothing, or nothing known."""
    found = known(reason)
    return found.advice if found else WHY.get(reason, ("", ""))[1]


def known(reason: str) -> KnownReply | None:
    """The well-known reply of another host that the reason is the word for."""
    return by_reason(reason)


def said(reason: str, text: str) -> str:
    """The words of another host, where the sentence has none of them."""
    host, _ = _parted(text)
    return text if host and (known(reason) or reason in WORDLESS) else ""


def _within(words: str) -> str:
    """The words as they stand within a sentence: a capital letter at the beginning of a common word is one no more."""
    return words[:1].lower() + words[1:] if words[1:2].islower() else words


def _parted(text: str) -> tuple[str, str]:
    """The host that said it, and what: "" and the text where nobody is named."""
    host, colon, rest = text.partition(": ")
    is_host = bool(colon) and "." in host and " " not in host
    return (host, rest) if is_host else ("", text)
