"""The jobs of all apps, and that an app adds one in its own files alone."""

import re
import subprocess
import sys

import greeting_jobs
import pytest

from mailsuite.jobs import registry
from mailsuite.jobs.journal import Journal
from mailsuite.jobs.registry import all_jobs
from mailsuite.jobs.schedule import run_job

LOADED = """
import django, sys
django.setup()
print(sorted(name for name in sys.modules if name.endswith(".jobs") and name != "mailsuite.jobs"))
"""


@pytest.fixture
def greetings():
    registry.register("greeting_jobs")
    yield
    registry.unregister("greeting_jobs")
    greeting_jobs.GREETED.clear()


def test_an_app_adds_a_job_in_its_own_files_alone(greetings, transactional_db):
    [job] = [job for job in all_jobs() if job.name == "greetings"]
    assert run_job(job, Journal()).done == len(greeting_jobs.GREETED) == 1


def test_two_jobs_of_one_name_are_an_error(greetings, monkeypatch):
    monkeypatch.setattr(greeting_jobs, "JOBS", greeting_jobs.JOBS * 2)
    with pytest.raises(ValueError, match="greetings"):
        all_jobs()


def test_each_job_has_one_word_for_a_name():
    assert [job.name for job in all_jobs() if not re.fullmatch(r"[a-z]+(-[a-z]+)*", job.name)] == []


def test_who_runs_no_jobs_imports_none():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
