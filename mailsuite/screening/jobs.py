"""What screening does again and again."""

from datetime import timedelta

from mailsuite.jobs.job import Job, Lane
from mailsuite.screening import greylist, rules, services

JOBS = (
    Job("dns-lists", "DNS lists switched off or on again", timedelta(hours=1), services.test_lists, Lane.DNS),
    Job("greylist-retention", "greylisted senders forgotten", timedelta(hours=1), greylist.forget_old, Lane.CLEANING),
    Job("rule-retention", "expired rules forgotten", timedelta(hours=6), rules.forget_expired, Lane.CLEANING),
)
