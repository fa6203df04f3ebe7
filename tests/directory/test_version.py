"""The directory's version, which all that is remembered hangs on."""

import pytest

from mailsuite.directory import version
from mailsuite.directory.version import directory_version, recent_version, touch_directory


@pytest.mark.parametrize("seconds, times", [(60.0, 1), (0.0, 3)])
def test_the_version_is_read_once_for_a_moment(monkeypatch, seconds, times):
    touch_directory()
    monkeypatch.setattr(version, "RECENT_SECONDS", seconds)
    asked = []
    monkeypatch.setattr(version, "directory_version", lambda: asked.append(1) or directory_version())
    assert {recent_version() for _ in range(3)} == {directory_version()}
    assert len(asked) == times
    version._forget_recent()


def test_what_this_process_changed_shows_at_once(monkeypatch):
    monkeypatch.setattr(version, "RECENT_SECONDS", 60.0)
    for _ in range(3):
        before = recent_version()
        touch_directory()
        assert recent_version() == directory_version() > before
    version._forget_recent()
