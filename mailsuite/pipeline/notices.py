"""Mail of ours to a mailbox of ours: that it is nearly full, that somebody guesses at its password, …"""

import logging
from datetime import datetime

from django.conf import settings

from mailsuite.directory.models import Mailbox
from mailsuite.directory.resolution import LocalTarget
from mailsuite.ids import new_id, reference
from mailsuite.mail.dates import format_date
from mailsuite.mail.encoded_word import encode_text
from mailsuite.mail.transfer_encoding import seven_bit
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.destinations import Destinations
from mailsuite.pipeline.own_mail import OwnMail, compose
from mailsuite.pipeline.parties import Program
from mailsuite.pipeline.transaction import Note
from mailsuite.store.operations import Deliver
from mailsuite.writer.operation import Refused
from mailsuite.writer.run import execute

logger = logging.getLogger(__name__)


def notice(to: Mailbox, subject: str, text: str, reason: str, now: datetime, *, story_id: int | None = None) -> Deliver:
    """Return the delivery of a message to that mailbox alone; `reason` is the story's word. Lines of `text` end with
    LF. With a `story_id` it is filed once, however often it is tried."""
    again, story_id = story_id is not None, story_id or new_id()
    octets = write(to.domain.name, to.address, subject, text, reason, now, story_id)
    program = Program(to.domain.name, to.domain_id)
    mail = OwnMail(octets, program, now, Note(reason), story_id=story_id, again=again)
    target = LocalTarget(to.pk, to.domain_id, to.address, to.quota_octets, to.state)
    delivery = compose(mail, Destinations.of_mailbox(target))
    assert not isinstance(delivery, Refusal)
    return delivery


def write(domain: str, to_address: str, subject: str, text: str, reason: str, now: datetime, story_id: int) -> bytes:
    """Return the message, unsigned, from postmaster@ of the domain."""
    hostname = settings.MAILSUITE.hostname
    encoding, body = seven_bit(text.replace("\n", "\r\n").encode())
    header = [
        f"From: Mail system <postmaster@{domain}>",
        f"To: <{to_address}>",
        f"Subject: {encode_text(subject)}",
        f"Date: {format_date(now)}",
        f"Message-ID: <{reference(story_id)}.{reason}@{hostname}>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Transfer-Encoding: {encoding}",
    ]
    return "".join(f"{line}\r\n" for line in header).encode() + b"\r\n" + body


def file_notice(delivery: Deliver) -> bool:
    """Files it; False when its mailbox was removed meanwhile, so that nobody is there to be told."""
    try:
        execute(delivery)
    except Refused as refusal:
        logger.info("a notice about %s is not filed: %s", delivery.story.reason, refusal)
        return False
    return True
