"""Which stages mail passes on its way in, by who brings it: the whole of what holds for each, as tuples."""

from mailsuite.pipeline.stages import evaluation, header, recipient, sender, submission
from mailsuite.pipeline.transaction import Intake

_SENDER = (sender.connection_share, sender.disk_room)
_RECIPIENT = (
    recipient.bounce_crowd,
    recipient.resolve,
    recipient.deliverable,
    recipient.mailbox_room,
    recipient.role_room,
    recipient.target_count,
)

# From other hosts: anybody may send to us, nobody through us.
MX = Intake(
    "inbound",
    sender=(*_SENDER, sender.begin_evaluation),
    recipient=_RECIPIENT,
    message=(
        header.announced_size,
        header.long_header,
        header.blank_line,
        header.header_size,
        header.hop_count,
        header.seen_before,
        evaluation.evaluate,
        evaluation.forged_fields,
        evaluation.seal_forwarded,
        header.foreign_sender,
    ),
)

# From our users, who may send anywhere once they have logged in.
SUBMISSION = Intake(
    "submission",
    sender=(*_SENDER, sender.login_holds, sender.daily_caps, sender.own_sender),
    recipient=_RECIPIENT,
    message=(
        header.announced_size,
        header.long_header,
        header.blank_line,
        header.submitted_header_size,
        submission.complete_header,
        submission.own_authors,
        header.hop_count,
        submission.sign,
        header.foreign_sender,
    ),
    may_relay=True,
    normalizes=True,
)
