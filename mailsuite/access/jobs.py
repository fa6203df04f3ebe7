"""What access does again and again."""

from datetime import timedelta

from mailsuite.access import bans, login_log, sessions, throttle
from mailsuite.jobs.job import Job, Lane

JOBS = (
    Job("ban-retention", "old bans and offences forgotten", timedelta(hours=1), bans.forget_old, Lane.CLEANING),
    Job("login-failures", "old failures of logins forgotten", timedelta(hours=1), throttle.forget_old, Lane.CLEANING),
    Job("login-retention", "old logins forgotten", timedelta(hours=6), login_log.forget_old, Lane.CLEANING),
    Job(
        "web-sessions", "ended sessions of the web forgotten", timedelta(hours=6), sessions.forget_ended, Lane.CLEANING
    ),
)
