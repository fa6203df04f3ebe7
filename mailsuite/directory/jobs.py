"""What the directory does again and again."""

from datetime import timedelta

from mailsuite.directory import account_events, history, login_log, sessions, throttle
from mailsuite.jobs.job import Job, Lane

JOBS = (
    Job("login-failures", "old failures of logins forgotten", timedelta(hours=1), throttle.forget_old, Lane.CLEANING),
    Job("login-retention", "old logins forgotten", timedelta(hours=6), login_log.forget_old, Lane.CLEANING),
    Job("history-retention", "old changes forgotten", timedelta(hours=6), history.forget_old, Lane.CLEANING),
    Job(
        "account-events",
        "old events of accounts forgotten",
        timedelta(hours=6),
        account_events.forget_old,
        Lane.CLEANING,
    ),
    Job(
        "web-sessions", "ended sessions of the web forgotten", timedelta(hours=6), sessions.forget_ended, Lane.CLEANING
    ),
)
