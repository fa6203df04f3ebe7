"""What all tests share: settings of their own, never those of the person who runs them."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable

import django
import pytest

# Before Django reads its settings: a data folder for this run alone, and nothing from this shell's environment.
for name in [name for name in os.environ if name.startswith("MAILSUITE_") and name != "MAILSUITE_CI"]:
    del os.environ[name]
_data = tempfile.mkdtemp(prefix="mailsuite-test-")
atexit.register(shutil.rmtree, _data, ignore_errors=True)
os.environ["MAILSUITE_DATA"] = _data
os.environ["MAILSUITE_ENV_FILE"] = os.devnull
os.environ["DJANGO_SETTINGS_MODULE"] = "mailsuite.settings"
# Here rather than by pytest-django, whose turn comes after the conftests that import models.
django.setup()

from running_suite import migrated, new_suite, start_suite, suite  # noqa: E402

__all__ = ["migrated", "new_suite", "start_suite", "suite"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is about the other database."""
    marker = "sqlite_only" if os.environ.get("DATABASE_URL") else "postgresql_only"
    left_out = [item for item in items if item.get_closest_marker(marker)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def require_program() -> Callable[..., str]:
    """`require_program("swaks")` is the program's path. Without it the test is skipped, and fails in CI."""

    def require(name: str, package: str = "") -> str:
        found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        if found is None:
            text = f"needs the program {name} (Debian: apt install {package or name})"
            pytest.fail(text) if os.environ.get("MAILSUITE_CI") else pytest.skip(text)
        return found

    return require
