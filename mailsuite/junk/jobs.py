"""What the junk filter learns again and again, and forgets."""

from datetime import timedelta

from mailsuite.jobs.job import Job, Lane
from mailsuite.junk import contacts, kept, training

JOBS = (
    Job(
        "junk-training", "words of owners on junk learned", timedelta(seconds=30), training.learn_waiting, Lane.LEARNING
    ),
    Job(
        "junk-contacts",
        "submissions noted as contacts",
        timedelta(seconds=30),
        contacts.learn_submissions,
        Lane.LEARNING,
    ),
    Job("junk-kept", "messages kept by their readers", timedelta(hours=1), kept.learn_kept, Lane.LEARNING),
    Job(
        "junk-message-ids", "sent Message-IDs forgotten", timedelta(hours=12), contacts.forget_unanswered, Lane.CLEANING
    ),
    Job("junk-retention", "old lessons on junk forgotten", timedelta(hours=12), training.forget_old, Lane.CLEANING),
)
