"""Messages on this machine's disk: in which order they become durable, with how many waits, and for whose eyes."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from mailsuite.writer.local_storage import FSYNCED_AT_ONCE, LocalStorage

HOUR = datetime(2026, 11, 30, 18, tzinfo=UTC)


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path)
    storage.prepare()
    return storage


@pytest.fixture
def calls(monkeypatch):
    """What is renamed, begun to be written and fsynced, in order; files and folders apart."""
    seen = []

    def watch(name, word):
        real = getattr(os, name)

        def watched(target, *arguments):
            is_folder = isinstance(target, int) and os.path.isdir(f"/proc/self/fd/{target}")
            seen.append(f"{word} folder" if is_folder else word)
            return real(target, *arguments)

        monkeypatch.setattr(os, name, watched)

    for name, word in (("rename", "rename"), ("posix_fadvise", "begin"), ("fsync", "fsync")):
        watch(name, word)
    return seen


def spool(storage, *names):
    """Makes spool files that hold their names; returns what to adopt, in a folder that is there already."""
    for name in names:
        storage.put_spooled(name, name.encode())
    return [(name, f"2026113018/blob-{name}") for name in names]


@pytest.fixture(autouse=True)
def folder(storage, tmp_path):
    storage.adopt(spool(storage, "first"))
    return tmp_path / "2026113018"


def test_a_file_and_its_entry_are_durable_with_one_wait_for_the_journal(storage, folder, calls):
    """The file is renamed before it is fsynced: after that its folder has nothing left to write."""
    pairs = spool(storage, "one")
    storage.adopt(pairs)
    assert calls == ["rename", "fsync", "fsync folder"]
    assert (folder / "blob-one").read_bytes() == b"one"


def test_the_writing_of_a_batch_is_begun_before_any_of_it_is_waited_for(storage, folder, calls):
    pairs = spool(storage, *(f"s{number}" for number in range(FSYNCED_AT_ONCE + 1)))
    storage.adopt(pairs)
    together = ["begin"] * FSYNCED_AT_ONCE + ["fsync"] * FSYNCED_AT_ONCE
    assert calls == ["rename"] * len(pairs) + together + ["fsync", "fsync folder"]
    assert [(folder / f"blob-{name}").read_bytes().decode() for name, _ in pairs] == [name for name, _ in pairs]


def test_what_is_gone_from_the_spool_stops_the_batch(storage):
    pairs = spool(storage, "here", "gone")
    storage.discard_spooled(["gone"])
    with pytest.raises(FileNotFoundError):
        storage.adopt(pairs)


def test_nobody_else_may_read_them(storage, folder):
    storage.put_spooled("small", b"x")
    storage.create_spooled("large").close()
    for path in (folder, folder.parent / "spool"):
        assert path.stat().st_mode & 0o777 == 0o700
    for path in (folder / "blob-first", folder.parent / "spool" / "small", folder.parent / "spool" / "large"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_hours_that_hold_nothing_any_more_are_tidied_away(storage, folder):
    storage.tidy(HOUR + timedelta(hours=1))
    assert folder.exists()
    storage.discard(["2026113018/blob-first"])
    storage.tidy(HOUR)
    assert folder.exists()
    storage.tidy(HOUR + timedelta(hours=1))
    assert not folder.exists()


def test_a_folder_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "data").write_text("no folder")
    with pytest.raises(NotADirectoryError) as caught:
        LocalStorage(tmp_path / "data" / "mail").prepare()
    assert caught.value.filename == str(tmp_path / "data" / "mail")
