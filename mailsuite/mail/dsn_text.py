"""The words of a delivery status notification: what happened, what the other side said, what to do now."""

from textwrap import wrap

from mailsuite.mail.dsn_report import Action, DsnRecipient, DsnReport
from mailsuite.mail.known_replies import known

_WIDTH = 76
_SUBJECTS = {
    Action.FAILED: "Not delivered",
    Action.DELAYED: "Delayed",
    Action.DELIVERED: "Delivered",
    Action.RELAYED: "Passed on",
    Action.EXPANDED: "Passed on",
}
_OPENINGS = {
    Action.FAILED: "Your message could not be delivered to the following address. It was not delivered there, and it "
    "will not be tried again.",
    Action.DELAYED: "Your message has not reached the following address yet. There is nothing you need to do: delivery "
    "is tried again and again, and if it can't be done you will be told.",
    Action.DELIVERED: "Your message was delivered to the following address. You asked to be told.",
    Action.RELAYED: "Your message was passed on for the following address, to a host that does not tell when mail is "
    "delivered. You asked to be told; there may be no further word.",
    Action.EXPANDED: "Your message was accepted for the following address, which passes mail on to several others. You "
    "asked to be told; there may be no further word.",
}
# Advice by the enhanced code less its class (RFC 3463 §3), or by its subject alone
_ADVICE = {
    "1.0": "Check the address for typing errors.",
    "1.1": "There is no such mailbox. Check the part before the @ for typing errors.",
    "1.2": "The domain after the @ does not receive mail. Check it for typing errors.",
    "1.3": "The address is malformed. Check it for typing errors.",
    "1.6": "The recipient has moved and left no new address. Ask for it another way.",
    "1.10": "The domain after the @ says that it accepts no mail at all. Check it for typing errors.",
    "2.1": "The mailbox does not accept mail at present. Reach the recipient another way.",
    "2.2": "The mailbox is full. Reach the recipient another way, or try again later.",
    "2.3": "The message is too large for this mailbox. Send it in smaller pieces, or send a link.",
    "3.4": "The message is too large for the other side. Send it in smaller pieces, or send a link.",
    "4.1": "The other side's mail host does not answer. Check the domain after the @, or try again later.",
    "4.2": "The connection to the other side's mail host broke off. Try again later.",
    "4.4": "No mail host could be found for the domain after the @. Check it for typing errors.",
    "4.6": "The message went in a circle between mail hosts. Tell the recipient's or your own postmaster.",
    "4.7": "The other side could not be reached for days. Reach the recipient another way, or try again later.",
    "6.7": "The other side can't handle addresses outside ASCII. Use an address in plain letters if there is one.",
    "1.": "The other side does not take the address. Check it for typing errors.",
    "2.": "Something is wrong with the mailbox. Reach the recipient another way, or try again later.",
    "3.": "Something is wrong with the other side's mail host. Try again later, or tell the recipient's postmaster.",
    "4.": "The way to the other side's mail host is disturbed. Check the domain after the @, or try again later.",
    "7.": "The message was refused by a rule. If the reason doesn't help you, show this message to your postmaster.",
}
_DEFAULT_ADVICE = "If you can't tell why, show this message to your postmaster."
_MAX_DIAGNOSTIC = 800


def subject(action: Action, original: str) -> str:
    """Return the subject of a notification about the message with this subject."""
    return f"{_SUBJECTS[action]}: {original or '(no subject)'}"


def explain(report: DsnReport) -> str:
    """Return the text for the sender, lines parted by LF."""
    paragraphs = [f"This is the mail system of {report.hostname}."]
    actions = list(dict.fromkeys(recipient.action for recipient in report.recipients))
    for action in actions:
        paragraphs.append("\n".join(wrap(_OPENINGS[action], _WIDTH)))
        paragraphs += [_describe(recipient) for recipient in report.recipients if recipient.action is action]
    about = f"Your message: {one_line(report.original_subject) or '(no subject)'}"
    arrived = f"accepted here: {report.arrived_at:%Y-%m-%d %H:%M} {report.arrived_at.tzname()}"
    return "\n\n".join([*paragraphs, f"{about}\n{arrived}"])


def _describe(recipient: DsnRecipient) -> str:
    lines = [f"  {one_line(recipient.address)}"]
    if recipient.diagnostic:
        source = f"The mail host {one_line(recipient.remote_host)} said:" if recipient.remote_host else "The reason:"
        indent = " " * 6
        lines += [
            f"    {source}",
            *wrap(diagnostic(recipient), _WIDTH, initial_indent=indent, subsequent_indent=indent),
        ]
    if recipient.will_retry_until and recipient.action is Action.DELAYED:
        until = recipient.will_retry_until
        lines.append(f"    It will be tried until {until:%Y-%m-%d %H:%M} {until.tzname()}.")
    if recipient.action is Action.FAILED:
        lines += [f"    {line}" for line in wrap(_advice(recipient), _WIDTH - 4)]
    return "\n".join(lines)


def _advice(recipient: DsnRecipient) -> str:
    """What to do: by what the other host's words are known to mean, else by the enhanced code."""
    if recipient.remote_host and (found := known(recipient.diagnostic or "")):
        return found.sender_advice
    detail = recipient.status.partition(".")[2]
    subject_alone = detail.partition(".")[0] + "."
    return _ADVICE.get(detail) or _ADVICE.get(subject_alone, _DEFAULT_ADVICE)


def diagnostic(recipient: DsnRecipient) -> str:
    """Return what was said of the recipient: at most 800 characters of one line."""
    return one_line(recipient.diagnostic or "")[:_MAX_DIAGNOSTIC]


def one_line(text: str) -> str:
    """Return the text without anything that could end a line; lone surrogates become question marks."""
    text = text.encode("utf-8", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
