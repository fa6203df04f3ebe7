"""Blobs filed from the spool: in which order they become durable, and with how many waits."""

import os

import pytest

from mailsuite.store.blobs import FSYNCED_AT_ONCE, LocalBlobs


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


def spool(storage, count):
    for number in range(count):
        os.close(storage.open_spooled(f"s{number}", b"octets %d" % number))
    return [(f"s{number}", f"2026113018/b{number}") for number in range(count)]


def test_a_file_and_its_entry_are_durable_with_one_wait_for_the_journal(storage, calls):
    """The file is renamed before it is fsynced: after that its folder has nothing left to write."""
    storage.adopt(spool(storage, 1))
    calls.clear()
    storage.adopt([("s0", "2026113018/second")] if spool(storage, 1) else [])
    assert calls == ["rename", "fsync", "fsync folder"]
    assert (storage.spool.parent / "2026113018" / "second").read_bytes() == b"octets 0"


def test_the_writing_of_a_batch_is_begun_before_any_of_it_is_waited_for(storage, calls):
    storage.adopt(spool(storage, 1))
    pairs = spool(storage, FSYNCED_AT_ONCE + 2)[1:]
    calls.clear()
    storage.adopt(pairs)
    first = ["begin"] * FSYNCED_AT_ONCE + ["fsync"] * FSYNCED_AT_ONCE
    assert calls == ["rename"] * len(pairs) + first + ["fsync", "fsync folder"]
    blobs = [storage.spool.parent / blob for _, blob in pairs]
    assert [blob.read_bytes() for blob in blobs] == [b"octets %d" % number for number in range(1, len(pairs) + 1)]


def test_what_is_gone_from_the_spool_stops_the_batch(storage):
    pairs = spool(storage, 2)
    os.unlink(storage.spool / "s1")
    with pytest.raises(FileNotFoundError):
        storage.adopt(pairs)
