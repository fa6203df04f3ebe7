"""What well-known replies of other mail hosts mean: large receivers and common programs say the same few things, each
in words and codes of their own.

Pure rules over a reply's text. What a host says proves nothing: whoever reads it is told whose word it is.
"""

import re
from dataclasses import dataclass

# As much of a reply is looked at; what people are told stands at its beginning.
MOST_OCTETS = 1000


@dataclass(frozen=True, slots=True)
class KnownReply:
    """`reason` is one word for stories and lists; `meaning` a sentence without its full stop, whose subject is the
    host; `advice` what to do about it, for an administrator, and `sender_advice` for whoever wrote the message."""

    reason: str
    meaning: str
    advice: str
    sender_advice: str


BLOCKLISTED = KnownReply(
    "blocklisted",
    "takes no mail from this host's address, which is on a block list",
    "Look for the cause first (an account that sends junk, a form on a web site), or the listing comes back. Then ask "
    "for removal where the reply says. An address that was listed when you got it is the provider's to exchange.",
    "The other side takes no mail from this host at present, whoever wrote it. Show this message to your postmaster.",
)
DOMAIN_LISTED = KnownReply(
    "domain-listed",
    "takes no mail in which a domain stands that is on a block list",
    "The domain of the sender, or one in a link, is listed: ask the list that the reply names for removal.",
    "A domain in the message, your own or one in a link, is on a block list. Take out links and send it again, or show "
    "this message to your postmaster.",
)
UNAUTHENTICATED = KnownReply(
    "unauthenticated",
    "asks for proof that the mail comes from the domain it names (SPF, DKIM or DMARC)",
    "Look at the DNS page of the sender's domain: SPF has to name this host, and the DKIM key has to be published. Of "
    "mail that is forwarded DKIM alone is left.",
    "The other side could not tell that the message comes from the domain of your address. Show this message to your "
    "postmaster.",
)
NO_REVERSE_NAME = KnownReply(
    "no-reverse-name",
    "asks that this host's address has a name in reverse DNS which leads back to it",
    "Whoever gave you the address sets its reverse name (PTR): it has to be the host's own name.",
    "The other side takes no mail from this host as it is set up. Show this message to your postmaster.",
)
RATE_LIMITED = KnownReply(
    "rate-limited",
    "takes less mail from here for now",
    "Nothing is lost: it is tried again, more slowly. Where it goes on for days, look who sends so much, or whether "
    "recipients call it junk.",
    "The other side took no more mail from here in the time that there was. Send the message again later.",
)
GREYLISTED = KnownReply(
    "greylisted-there",
    "asks those it does not know to come again",
    "There is nothing to do: it is tried again in some minutes, and mostly taken then.",
    "The other side kept asking to come again. Send the message again, or show this message to your postmaster.",
)
NO_SUCH_ADDRESS = KnownReply(
    "no-such-address",
    "has no such address",
    "The sender has to look for a typing error, or to ask for the new address.",
    "There is no such mailbox. Check the part before the @ for typing errors.",
)
THEIR_MAILBOX_FULL = KnownReply(
    "mailbox-full-there",
    "says that the recipient's mailbox is full",
    "The recipient has to make room; the sender can reach them another way meanwhile.",
    "The mailbox is full. Reach the recipient another way, or try again later.",
)
MAILBOX_CLOSED = KnownReply(
    "mailbox-closed",
    "says that the mailbox is switched off",
    "Nobody reads it any more: the sender has to reach them another way.",
    "The mailbox is switched off, and nobody reads it. Reach the recipient another way.",
)
TOO_LARGE = KnownReply(
    "too-large-there",
    "takes no message of this size",
    "The sender has to send less at once, or a link.",
    "The message is too large for the other side. Send it in smaller pieces, or send a link.",
)
CONTENT_REFUSED = KnownReply(
    "content-refused",
    "takes the message for junk",
    "Where such mail is wanted there, its recipient can allow the sender. Where much of your mail is refused so, look "
    "whether an account was stolen.",
    "The other side takes the message for junk. Word it otherwise or leave out attachments and links, or ask the "
    "recipient to allow your address.",
)
TLS_WANTED = KnownReply(
    "tls-wanted",
    "takes mail over TLS alone",
    "Look at the attempt: it says what kept TLS from being used.",
    "The other side takes mail over encrypted connections alone, and none was to be had. Show this message to your "
    "postmaster.",
)
RELAYING = KnownReply(
    "not-theirs",
    "says that the recipient's domain is not its own",
    "The domain's MX names a host that does not know it, or a route here does: tell the domain's owner.",
    "The other side does not know the domain after the @ as its own. Check it for typing errors, or reach the "
    "recipient another way.",
)
SENDER_UNKNOWN = KnownReply(
    "sender-unknown",
    "finds no mailbox or domain for the sender's address, and takes nothing from there",
    "Look whether the address exists and takes mail: the DNS page of its domain shows the MX that others see. Programs "
    "need a sender that exists too.",
    "The other side found that nobody can answer to the address which the message came from. Check your address in "
    "your mail program, or show this message to your postmaster.",
)
FEW_MAY_WRITE = KnownReply(
    "few-may-write",
    "lets only chosen senders write to that address",
    "The recipient, or whoever runs the group, has to allow the sender.",
    "Only chosen senders may write to that address. Ask the recipient, or whoever runs the group, to allow you.",
)


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


_LISTS = (
    r"(spamhaus|barracuda|spamcop|sorbs|cloudmark|csi\b|trend micro|proofpoint|dnsbl|rbl\b|bl\.|reputation|zen\."
    r"|sender intelligence)"
)
# Lists of domains, not of addresses.
_OF_DOMAINS = _any(
    r"\bdbl\b|surbl|uribl|helo domain|domain present in",
    r"(domain|url|uri|link|website)s?\b[^.;]{0,60}\b(is |are |)(block ?|black ?)?listed",
)
_OF_ADDRESSES = _any(
    r"(client|host|ip|address|sender|server|network|connection|mail from)\b.{0,80}\b(block|black|deny) ?-?list",
    r"(block|black|deny) ?-?list.{0,60}\b(ip|address|client|host|network)\b",
    rf"(blocked|rejected|refused|listed|deferred) (by|using|at|in|on|due to)\b.{{0,40}}{_LISTS}",
    r"(spamhaus|spamcop|barracudacentral|sorbs)\.(org|net)",
    r"banned sending ip|\bs31[45]0\b|\bdnsbl:|\brbl[ :]|_is_blocked|ipcheck\.proofpoint|csi\.cloudmark",
    r"(your|sending|the) (ip|ip address|mail server|network)\b.{0,60}\b(has been|is|was|been|part of|are) "
    r"?(temporarily |currently |being )?(blocked|blacklisted|blocklisted|banned|listed)",
    r"mail sent from your ip address has been blocked|part of their network is on our block",
    r"traffic not accepted from this ip|poor reputation|\b5\.7\.6(0[6-9]|[1-4][0-9])\b",
)
_OF_PEOPLE = _any(
    r"(recipient|user|addressee)('s)?( has)? (block|black)(ed|list)",
    r"(address|sender|from):? ?@ (is|has been|was) (block|black|on)",
)
# The first that fits counts.
_RULES: tuple[tuple[KnownReply, re.Pattern[str]], ...] = (
    (
        NO_REVERSE_NAME,
        _any(
            r"[45]\.7\.25\b|\bptr\b|reverse (dns|lookup|name|hostname)|\brdns\b",
            r"cannot find your (reverse )?hostname",
        ),
    ),
    (
        FEW_MAY_WRITE,
        _any(
            r"[45]\.7\.(124|13[3-6])\b|not authenticated when sending to",
            r"(not in|not on) (the |an |its )?allowed.?senders?",
            r"not allowed to send (mail |messages )?to this|only accepts? (mail|messages) from",
        ),
    ),
    (
        UNAUTHENTICATED,
        _any(
            r"[45]\.7\.(26|27|30|515|509|20|23)\b|unauthenticated|not authenticated",
            r"\bdmarc\b|\bspf\b|\bdkim\b|authentication (check|requirement)s?",
        ),
    ),
    (
        GREYLISTED,
        _any(r"gr[ae]y ?-?list|postgrey|come back later|not yet authorized to deliver|verification in progress"),
    ),
    (
        RATE_LIMITED,
        _any(
            r"[45]\.7\.28\b|\b4\.7\.500\b|\brp-00\d|\btss0\d|unusual rate|unexpected volume|throttl|rate.?limit",
            r"too many (messages|connections|emails|recipients|mails)|too (quickly|fast)",
            r"exceeded.{0,40}(limit|rate)|limit exceeded",
        ),
    ),
    (
        THEIR_MAILBOX_FULL,
        _any(
            r"[45]\.2\.2\b|over ?quota|quota.{0,20}exceeded|exceeded.{0,20}storage",
            r"(mailbox|inbox).{0,20}(is |)full|out of storage|insufficient storage",
        ),
    ),
    (MAILBOX_CLOSED, _any(r"([45]\.2\.1|account|mailbox|user)\b.{0,80}(disabled|inactive|suspended|not active)")),
    (
        SENDER_UNKNOWN,
        _any(
            r"[45]\.1\.[78]\b|sender (address )?verif|verification failed for",
            r"(sender|from)( address)?\b.{0,20}\b(rejected|refused)\b.{0,40}"
            r"\b(not found|unknown|does not exist|no such)",
            r"sender.{0,40}(domain|address).{0,40}(does not exist|doesn't exist|not found|unresolvable)",
        ),
    ),
    (
        NO_SUCH_ADDRESS,
        _any(
            r"[45]\.1\.(1|6|10)\b|bad destination mailbox|no longer on (this )?server",
            r"5\.4\.1\b.{0,120}access denied|dd requested mail action aborted",
            r"(user|recipient|address|mailbox|account|addressee)s?\b.{0,40}"
            r"(unknown|not found|does not exist|doesn't exist|not exist|invalid|unavailable)",
            r"(unknown|no such|invalid) (local )?(user|recipient|address|mailbox|account)|no such .{0,30}here",
        ),
    ),
    (
        TOO_LARGE,
        _any(r"[45]\.(3\.4|2\.3)\b|(message|mail).{0,30}(too (big|large)|size)|exceeds.{0,30}size"),
    ),
    (TLS_WANTED, _any(r"must issue a starttls|requires? (tls|starttls|encryption)|5\.7\.10\b")),
    (
        RELAYING,
        _any(
            r"relay(ing)? (access )?(denied|not permitted|not allowed|prohibited)|unable to relay",
            r"we do not relay|not permitted to relay",
        ),
    ),
    (
        CONTENT_REFUSED,
        _any(
            r"\bspam\b|unsolicited mail|\bjunk\b|\bvirus\b|malware|phish|suspicious|\b5\.7\.350\b",
            r"content (was |)(rejected|refused)|banned content",
        ),
    ),
)
# A marker in front of each line of a long reply, which would part the words of a sentence.
_REPEATED = re.compile(
    r"\b[245]\d\d[- ](?=[245]\.\d{1,3}\.\d{1,3}\b|[a-z\[])|(?<=[a-z.,]) [245]\.\d{1,3}\.\d{1,3}(?= [a-z\[])"
)
# Whose names say nothing of what is meant: no domain of a rule, and no page, is called so by chance.
_ADDRESS = re.compile(r"<?[^\s<>@]{1,64}@[^\s<>@,;]{1,255}>?")
_PAGE = re.compile(r"\bhttps?://\S+")
_FIRST = re.compile(r"^\s*([245]\d\d)[ -]?([245]\.\d{1,3}\.\d{1,3})?")


def known(reply: str) -> KnownReply | None:
    """What the reply of another host means, its code in front; None for what is not known."""
    text = " ".join(reply[:MOST_OCTETS].lower().split())
    first = _FIRST.match(text)
    if first is None or first[1].startswith("2"):
        return None
    text = _ADDRESS.sub("@", f"{first[0].strip()} {_REPEATED.sub('', text[first.end() :])}")
    if _OF_DOMAINS.search(text):
        return DOMAIN_LISTED
    if _OF_ADDRESSES.search(text) and not _is_about_people(text):
        return BLOCKLISTED
    text = _PAGE.sub(" ", text)
    return next((found for found, pattern in _RULES if pattern.search(text)), None)


def by_reason(reason: str) -> KnownReply | None:
    """The one with that word."""
    return _BY_REASON.get(reason)


def _is_about_people(text: str) -> bool:
    """Whether a refusal that speaks of lists and blocks is of a sender whom the recipient does not want, or whose own
    address is listed."""
    return bool(_OF_PEOPLE.search(text))


_BY_REASON = {
    one.reason: one
    for one in (
        *(BLOCKLISTED, DOMAIN_LISTED, UNAUTHENTICATED, NO_REVERSE_NAME, RATE_LIMITED, GREYLISTED, NO_SUCH_ADDRESS),
        *(THEIR_MAILBOX_FULL, MAILBOX_CLOSED, TOO_LARGE, CONTENT_REFUSED, TLS_WANTED, RELAYING),
        *(SENDER_UNKNOWN, FEW_MAY_WRITE),
    )
}
