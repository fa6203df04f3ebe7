"""Blobs filed from the spool: in which order they become durable, and with how many waits."""

import os

import pytest

from mailsuite.writer.blobs import FSYNCED_AT_ONCE, LocalBlobs


@pytest.fixture
def storage(tmp_path):
    storage = LocalBlobs(tmp_path)
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
        os.close(storage.open_spooled(name, name.encode()))
    return [(name, f"2026113018/blob-{name}") for name in names]


@pytest.fixture(autouse=True)
def folder(storage):
    storage.adopt(spool(storage, "first"))
    return storage.spool.parent / "2026113018"


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
    os.unlink(storage.spool / "gone")
    with pytest.raises(FileNotFoundError):
        storage.adopt(pairs)
