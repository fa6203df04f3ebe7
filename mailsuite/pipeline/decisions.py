"""May this client do this? Facts in; a Refusal, or None for yes (policy, not syntax: that is the dialog's).

Each refusal has one word for its reason: it stands in the reply, the log, the metric and the trace.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from mailsuite.directory.resolution import Kind, Part, Resolution
from mailsuite.mail import reply as replies
from mailsuite.mail.header import split_fields
from mailsuite.mail.reply import Reply
from mailsuite.mailauth.dkim.header import MAX_FIELDS
from mailsuite.mailauth.report_file import MAX_MAIL_OCTETS
from mailsuite.protocol.content import ContentReader
from mailsuite.verdict.verdict import Verdict

MAX_RECEIVED = 50  # RFC 5321 §6.3: at least 100 hops is a suggestion, 50 is what others settled on
MAX_NULL_SENDER_RECIPIENTS = 20
MAX_SUBMITTED_FIELDS = 1_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """No, with the reply that says so and the one word for it; a transient reply (4yz) puts off."""

    reply: Reply
    reason: str


def _refusal(reply: Reply, reason: str) -> Refusal:
    return Refusal(replace(reply, text=f"{reply.text} ({reason})"), reason)


UNKNOWN_RECIPIENT = _refusal(replies.NO_SUCH_MAILBOX, "unknown-recipient")
REWRITTEN_SENDER_INVALID = _refusal(
    replies.NO_SUCH_MAILBOX.with_text("This is no sender that was rewritten here"), "rewritten-sender-invalid"
)
REWRITTEN_SENDER_EXPIRED = _refusal(
    replies.NO_SUCH_MAILBOX.with_text("The time for answers to this rewritten sender is over"),
    "rewritten-sender-expired",
)
RELAYING = _refusal(replies.RELAYING_DENIED, "relaying-denied")
RECIPIENT_DISABLED = _refusal(replies.DOMAIN_DISABLED, "recipient-disabled")
MAILBOX_FULL = _refusal(replies.MAILBOX_FULL, "mailbox-full")
TOO_BIG = _refusal(replies.MESSAGE_TOO_BIG, "message-too-big")
REPORT_TOO_BIG = _refusal(
    replies.MESSAGE_TOO_BIG.with_text(f"Reports may have {MAX_MAIL_OCTETS // (1024 * 1024)} MB"), "report-too-big"
)
LOOP = _refusal(replies.MAIL_LOOP, "mail-loop")
SENDER_NOT_OWNED = _refusal(replies.SENDER_NOT_OWNED, "sender-not-owned")
FROM_NOT_OWNED = _refusal(
    replies.SENDER_NOT_OWNED.with_text("You may not send as an address in From or Sender"), "from-not-owned"
)
HEADER_TOO_BIG = _refusal(replies.MESSAGE_TOO_BIG.with_text("Message header is too large"), "header-too-big")
BARE_LINE_ENDING = _refusal(replies.MESSAGE_BARE_LINE_ENDING, "bare-line-ending")
NUL_OCTET = _refusal(replies.MESSAGE_MALFORMED.with_text("Message has a NUL octet"), "nul-octet")
STORAGE_FULL = _refusal(replies.STORAGE_FULL, "storage-full")
TOO_BUSY = _refusal(Reply(452, "3.1", "Too many messages are being received, try again soon"), "too-busy")
NULL_SENDER_RECIPIENTS = _refusal(replies.TOO_MANY_RECIPIENTS, "null-sender-recipients")
TOO_MANY_TARGETS = _refusal(
    replies.TOO_MANY_RECIPIENTS.with_text("Recipients lead to too many mailboxes, send the rest in another message"),
    "too-many-targets",
)
# For a message that is there already: its sender must name fewer, or it would come again for days.
TOO_MANY_AT_ONCE = _refusal(
    Reply(554, "5.3", "The recipients lead to too many mailboxes, send to fewer at once"), "too-many-targets"
)
TOO_MANY_MESSAGES = _refusal(
    Reply(421, "7.0", "Too many messages in one connection, connect again"), "connection-messages"
)
TOO_MANY_CONNECTIONS = _refusal(replies.TOO_MANY_CONNECTIONS, "too-many-connections")
TOO_MANY_FROM_ADDRESS = _refusal(replies.TOO_MANY_CONNECTIONS, "too-many-connections-from-address")
# A ban that ends by itself: a bounce would be our doing. An administrator's is meant.
BANNED_FOR_NOW = _refusal(Reply(421, "7.0", "Your network is not served for now"), "banned")
BANNED = _refusal(Reply(554, "7.1", "Your network is not served here"), "banned")
LOGIN_BLOCKED = _refusal(Reply(454, "7.0", "Too many failed logins, try again later"), "too-many-failures")
LOGIN_REVOKED = _refusal(Reply(421, "7.0", "Your login has ended, connect and log in again"), "login-revoked")
SENT_TOO_MUCH = _refusal(
    Reply(452, "7.1", "You have sent far more than you may in a day, ask your administrator"), "over-daily-cap"
)
LOGIN_FAILED = _refusal(replies.AUTH_FAILED, "login-failed")
STORE_UNAVAILABLE = _refusal(replies.LOCAL_ERROR, "store-unavailable")
# There is one reply for all recipients: told to come again, the sender hears at each RCPT what is so by then.
RECIPIENT_REMOVED = _refusal(
    replies.LOCAL_ERROR.with_text("A mailbox was removed meanwhile, send it again"), "recipient-removed"
)
SIGNING_FAILED = _refusal(replies.LOCAL_ERROR, "signing-failed")

_NOT_TURNED_BACK = {one.reason: one for one in (REWRITTEN_SENDER_INVALID, REWRITTEN_SENDER_EXPIRED)}


def recipient(resolution: Resolution, *, may_relay: bool) -> Refusal | None:
    """Return why mail for this recipient is not taken; whoever logged in may have it relayed."""
    match resolution.kind:
        case Kind.UNKNOWN:
            return _NOT_TURNED_BACK.get(resolution.reason, UNKNOWN_RECIPIENT)
        case Kind.DISABLED:
            return RECIPIENT_DISABLED
        case Kind.UNHOSTED:
            return None if may_relay else RELAYING
        case Kind.RESOLVED:
            return None if any(part.is_live for part in resolution.parts) else UNKNOWN_RECIPIENT


def quota(part: Part, used: Mapping[int, int], size_octets: int) -> Refusal | None:
    """Return MAILBOX_FULL when nobody whom this part of a resolution leads to has room for a message of that size (0:
    not known).

    `used` holds the octets in use by mailbox id. An alias with one full mailbox among others is taken: the sender
    could not tell them apart. The report reader has room, but for mail of a size that no report has (REPORT_TOO_BIG).
    """
    if part.remote or part.kept or not (part.local or part.reports):
        return None
    if part.reports:
        return REPORT_TOO_BIG if size_octets > MAX_MAIL_OCTETS and not part.local else None
    full = (
        target.quota_octets > 0 and used.get(target.mailbox_id, 0) + max(size_octets, 1) > target.quota_octets
        for target in part.local.values()
    )
    return MAILBOX_FULL if all(full) else None


def another_recipient(*, null_sender: bool, accepted: int) -> Refusal | None:
    """Return why one more recipient is too many: a bounce goes to whoever sent, not to a crowd."""
    return NULL_SENDER_RECIPIENTS if null_sender and accepted >= MAX_NULL_SENDER_RECIPIENTS else None


def disk(free_octets: int, *, size_octets: int, reserve_octets: int) -> Refusal | None:
    """Return STORAGE_FULL when the message would eat into the reserve."""
    return STORAGE_FULL if free_octets - size_octets < reserve_octets else None


def content(content: ContentReader, *, size_limit: int) -> Refusal | None:
    """Return what is wrong with the octets of a message so far."""
    if content.size_octets > size_limit:
        return TOO_BIG
    if content.has_bare_line_ending and not content.normalizes:
        return BARE_LINE_ENDING
    return NUL_OCTET if content.has_nul else None


def octets(octets: bytes, *, size_limit: int) -> Refusal | None:
    """Return what is wrong with the octets of a whole message: the same, but that no line end is mended."""
    if len(octets) > size_limit:
        return TOO_BIG
    if not octets.count(b"\n") == octets.count(b"\r") == octets.count(b"\r\n"):
        return BARE_LINE_ENDING
    return NUL_OCTET if b"\0" in octets else None


def header(block: bytes, *, limit_octets: int, max_fields: int = MAX_FIELDS) -> Refusal | None:
    """Return HEADER_TOO_BIG for a header that no honest mail has: so large that its end was not looked for, or with
    more fields than signatures are verified over. Each step that reads it costs by the field."""
    if len(block) >= limit_octets:
        return HEADER_TOO_BIG
    if block.count(b"\n") <= max_fields:
        return None
    return HEADER_TOO_BIG if sum(b":" in field for field in split_fields(block)) > max_fields else None


def hops(received_count: int) -> Refusal | None:
    """Return LOOP when the message has been through too many hosts (RFC 5321 §6.3)."""
    return LOOP if received_count > MAX_RECEIVED else None


def bad_from(problem: str) -> Refusal:
    """Return the refusal of a message whose authors can't be told for certain; the problem is in words for people."""
    return _refusal(replies.MESSAGE_MALFORMED.with_text(problem), "from-malformed")


def by_verdict(verdict: Verdict) -> Refusal | None:
    """Return the refusal that a verdict on a whole message is, if it is one."""
    return Refusal(verdict.reply, verdict.reason) if verdict.reply else None


def unread_report(reason: str) -> Refusal:
    """Return the refusal of a message that was for the report reader alone, where the verdict is that it is junk."""
    return _refusal(Reply(550, "7.1", "This report is not taken"), reason)


def delivered_before(address_key: str, delivered_to: Collection[str]) -> bool:
    """Return whether the message was at this very address before: its Delivered-To keys name it (RFC 9228 §3)."""
    return address_key in delivered_to
