"""What all tests share: settings of their own, never those of the person who runs them."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import django
import pytest

# Before Django reads its settings: a data folder for this run alone, and nothing from this shell's environment.
for name in [name for name in os.environ if name.startswith("MAILSUITE_")]:
    del os.environ[name]
_data = tempfile.mkdtemp(prefix="mailsuite-test-")
atexit.register(shutil.rmtree, _data, ignore_errors=True)
os.environ["MAILSUITE_DATA"] = _data
os.environ["MAILSUITE_ENV_FILE"] = os.devnull
os.environ["DJANGO_SETTINGS_MODULE"] = "mailsuite.settings"
# Here rather than by pytest-django, whose turn comes after the conftests that import models.
django.setup()

from mailsuite.database import guard  # noqa: E402

# Tests make rows as they need them; what others are told who try is tested in tests/store/test_guard.py.
_support = (path.stem for path in (Path(__file__).parent / "support").glob("*.py"))
guard.OWN_PACKAGES |= {"tests", "conftest", *_support}

from running_suite import migrated, new_suite, start_suite, suite  # noqa: E402

__all__ = ["migrated", "new_suite", "start_suite", "suite"]


# What gives a test a database, of its own process or of a suite's.
DATABASE_FIXTURES = {"db", "transactional_db", "live_server", "suite", "new_suite", "start_suite"}
# Their programs have the database of the environment.
PROGRAM_MARKERS = ("interop", "crash", "browser")
LEFT_OUT = pytest.StashKey[str]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is about the other database and, on PostgreSQL, what is about none."""
    on_postgresql = bool(os.environ.get("DATABASE_URL"))
    marker = "sqlite_only" if on_postgresql else "postgresql_only"
    left_out = {item for item in items if item.get_closest_marker(marker)}
    pure = {item for item in items if on_postgresql and not meets_database(item)} - left_out
    items[:] = [item for item in items if item not in left_out | pure]
    config.stash[LEFT_OUT] = f"left out here: {len(left_out)} tests marked {marker}"
    if pure:
        config.stash[LEFT_OUT] += f", {len(pure)} that meet no database; SQLite's run has them"
    config.hook.pytest_deselected(items=[*left_out, *pure])


def meets_database(item: pytest.Item) -> bool:
    """pytest-django refuses the database to a test for which this is false."""
    marked = any(item.get_closest_marker(name) for name in ("django_db", *PROGRAM_MARKERS))
    return marked or not DATABASE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


def pytest_report_collectionfinish(config: pytest.Config) -> str:
    return config.stash[LEFT_OUT]


@pytest.fixture(scope="session")
def require_program() -> Callable[..., str]:
    """`require_program("swaks")` is the program's path. Without it the test is skipped, and fails in CI."""

    def require(name: str, package: str = "") -> str:
        found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        if found is None:
            text = f"needs the program {name} (Debian: apt install {package or name})"
            pytest.fail(text) if os.environ.get("TESTS_SKIP_NOTHING") else pytest.skip(text)
        return found

    return require
