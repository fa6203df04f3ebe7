"""Owner and administrators told when a mailbox nears its caps, and administrators when its mail is held."""

from datetime import datetime

from django.db.models import F, Q

from mailsuite.abuse.models import SendingDay
from mailsuite.abuse.sending import NEARLY, caps_of, with_caps
from mailsuite.abuse.telling import Matter, tell
from mailsuite.pipeline.notices import file_notice, notice

SUBJECTS = {
    SendingDay.Told.NEARLY: "{address} has nearly sent what it may in a day",
    SendingDay.Told.HELD: "Mail from {address} is held",
}
WHAT = {
    SendingDay.Told.NEARLY: "What goes beyond is held until an administrator has looked at it.",
    SendingDay.Told.HELD: "What it sends to other hosts is held now until an administrator has looked at it.",
}
TEXT = """\
{address} has sent a lot today:

    {messages} messages (its cap is {message_cap})
    {new_recipients} recipients whom it never wrote to before (its cap is {recipient_cap})

{what}

If you know why, all is well: an administrator can send what is held, and
give the mailbox caps of its own. If not, somebody else may know its
password: suspend the mailbox (its page in the admin has a button; in the
shell: manage.py mailbox suspend {address}),
then set a new password and revoke its app passwords.
"""


def warn(now: datetime) -> int:
    """Files mail about each mailbox that has come near or over a cap today, once for each; returns how many."""
    told = 0
    for row, share in _shares(now):
        due = SendingDay.Told.HELD if share > 1 else SendingDay.Told.NEARLY
        # Marked first: a crash between the two costs a mail, never a stream of them.
        if share >= NEARLY and SendingDay.objects.filter(pk=row.pk, told__lt=due).update(told=due):
            told += _tell(row, due, now)
    return told


def _tell(row: SendingDay, due: SendingDay.Told, now: datetime) -> int:
    """The owner is warned in time. Once mail is held the password may be stolen, and what is filed for the owner is
    read by the thief."""
    mailbox, text = row.mailbox, _text(row, due)
    subject = SUBJECTS[due].format(address=mailbox.address)
    told = tell(Matter(subject, text, "sending-caps", domain=mailbox.domain, suspect=mailbox), now)
    if due == SendingDay.Told.NEARLY:
        told += file_notice(notice(mailbox, subject, text, "sending-caps", now))
    return told


def _shares(now: datetime) -> list[tuple[SendingDay, float]]:
    """Mailboxes near their caps today, with how much of them they have used; none of which all was told."""
    today = with_caps(SendingDay.objects.using("reader").filter(day=now.date()))
    near = [
        Q(**{f"{cap}__gt": 0, f"{used}__gte": F(cap) * int(NEARLY * 100) / 100})
        for used, cap in (("messages", "message_cap"), ("new_recipients", "recipient_cap"))
    ]
    today = today.filter(near[0] | near[1]).exclude(told=SendingDay.Told.HELD)
    rows = list(today.select_related("mailbox__domain").order_by("-messages"))
    caps = caps_of([row.mailbox_id for row in rows])
    return [(row, caps[row.mailbox_id].share(row.messages, row.new_recipients)) for row in rows]


def _text(row: SendingDay, due: SendingDay.Told) -> str:
    caps = caps_of([row.mailbox_id])[row.mailbox_id]
    return TEXT.format(
        address=row.mailbox.address,
        messages=row.messages,
        message_cap=caps.messages or "none",
        new_recipients=row.new_recipients,
        recipient_cap=caps.new_recipients or "none",
        what=WHAT[due],
    )
