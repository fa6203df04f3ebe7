"""`manage.py jobs`."""

import io
from datetime import UTC, datetime, timedelta

import greeting_jobs
import pytest
from django.core.management import CommandError, call_command

from mailsuite.jobs import registry
from mailsuite.jobs.management.commands.jobs import spoken
from mailsuite.jobs.models import JobRun
from mailsuite.jobs.registry import all_jobs

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture(autouse=True)
def greetings():
    registry.register("greeting_jobs")
    yield
    registry.unregister("greeting_jobs")
    greeting_jobs.GREETED.clear()


def said(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("jobs", *arguments, stdout=out)
    return out.getvalue().splitlines()


def line(name: str, lines: list[str]) -> str:
    [found] = [row for row in lines if row.split()[0] == name]
    return " ".join(found.split())


def test_every_job_is_listed_with_its_last_run_and_error():
    JobRun.objects.create(name="dns-checks", started_at=AT, seconds=1.26, done=7)
    JobRun.objects.create(name="alarms", started_at=AT, seconds=0.01, failures=2, error="ValueError: no")
    JobRun.objects.create(name="of-an-older-version", started_at=AT, seconds=1, done=0)
    lines = said()
    assert len(lines) == 1 + len(all_jobs())
    assert line("dns-checks", lines) == (
        "dns-checks 1 min 2026-03-04 05:06:07 1.3 s 7 domains whose DNS records were looked at"
    )
    assert line("alarms", lines) == "alarms 1 min 2026-03-04 05:06:07 0.0 s failed 2 times: ValueError: no"
    assert line("greetings", lines) == "greetings 1 h not yet"


def test_those_that_failed_alone():
    assert said("--failed") == ["No job failed in its last run."]
    JobRun.objects.create(name="alarms", started_at=AT, seconds=0.01, failures=2, error="ValueError: no")
    assert [row.split()[0] for row in said("--failed")] == ["JOB", "alarms"]


def test_one_is_run_now():
    [answer] = said("--run", "greetings")
    assert answer.startswith("greetings: 1 guests greeted in ")
    assert len(greeting_jobs.GREETED) == JobRun.objects.get(name="greetings").done == 1


def test_one_that_fails_says_why(monkeypatch):
    with monkeypatch.context() as broken, pytest.raises(CommandError, match="greetings failed: AttributeError"):
        broken.setattr(greeting_jobs, "GREETED", None)
        said("--run", "greetings")
    assert JobRun.objects.get(name="greetings").failures == 1


def test_one_that_does_not_exist():
    with pytest.raises(CommandError, match="no job tea"):
        said("--run", "tea")


@pytest.mark.parametrize(
    ("period", "text"),
    [
        (timedelta(seconds=15), "15 s"),
        (timedelta(seconds=90), "90 s"),
        (timedelta(minutes=5), "5 min"),
        (timedelta(hours=12), "12 h"),
        (timedelta(days=1), "1 d"),
    ],
)
def test_periods_in_words(period, text):
    assert spoken(period) == text
