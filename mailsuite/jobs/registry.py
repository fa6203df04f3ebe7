"""The jobs of all apps. Each app names its module of jobs in its AppConfig, and this room knows none of them.

    register("mailsuite.junk.jobs")

The module has a tuple JOBS. It is imported by those who run or list jobs alone: no other process needs what it imports.
"""

from collections import Counter
from importlib import import_module

from mailsuite.jobs.job import Job

_MODULES: list[str] = []


def register(module: str) -> None:
    """Have the jobs of this module run."""
    if module not in _MODULES:
        _MODULES.append(module)


def unregister(module: str) -> None:
    """Undoes `register`."""
    _MODULES.remove(module)


def all_jobs() -> tuple[Job, ...]:
    """Every job, in the order of the apps. Raises ValueError where two have one name."""
    jobs = tuple(job for module in _MODULES for job in import_module(module).JOBS)
    twice = [name for name, count in Counter(job.name for job in jobs).items() if count > 1]
    if twice:
        raise ValueError(f"two jobs have one name: {', '.join(twice)}")
    return jobs
