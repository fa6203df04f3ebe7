"""Mail of ours to a mailbox of ours, about abuse."""

from datetime import datetime

from django.conf import settings

from mailsuite.directory.models import Mailbox
from mailsuite.ids import new_id, reference
from mailsuite.mail.dates import format_date
from mailsuite.store.blobs import mail_storage
from mailsuite.store.handlers import execute
from mailsuite.store.operations import Deliver, LocalDelivery, StoryFacts


def send(to: Mailbox, subject: str, text: str, reason: str, now: datetime) -> None:
    """Files it at once; `reason` is the story's word. Lines of `text` end with LF."""
    hostname, story_id = settings.MAILSUITE.hostname, new_id()
    header = [
        f"From: Mail system <postmaster@{to.domain.name}>",
        f"To: <{to.address}>",
        f"Subject: {subject}",
        f"Date: {format_date(now)}",
        f"Message-ID: <{reference(story_id)}.abuse@{hostname}>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
    ]
    octets = ("\n".join(header) + "\n\n" + text).replace("\n", "\r\n").encode()
    spool = reference(new_id())
    (mail_storage().spool / spool).write_bytes(octets)
    story = StoryFacts(story_id, "notification", "accepted", now, reason)
    execute(
        Deliver(spool, len(octets), story, [LocalDelivery(to.pk, to.address, b"Return-Path: <>\r\n", to.domain_id)])
    )
