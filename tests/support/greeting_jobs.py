"""What another app would have: a job in a module of its own."""

from datetime import timedelta

from mailsuite.jobs.job import Job, Lane

GREETED = []


def greet(now):
    GREETED.append(now)
    return 1


JOBS = (Job("greetings", "guests greeted", timedelta(hours=1), greet, Lane.LEARNING),)
