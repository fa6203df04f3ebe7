"""What every storage of messages must keep, wherever it has them: add yours to the fixture."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from memory_storage import MemoryStorage

from mailsuite.writer.local_storage import LocalStorage
from mailsuite.writer.storage import StoredFile, mail_storage

LATER = datetime.now(UTC) + timedelta(days=1)
EARLIER = datetime.now(UTC) - timedelta(days=1)
OCTETS = bytes(range(256)) * 9_000  # more than is copied at once


@pytest.fixture(params=["local", "memory"])
def storage(request, tmp_path):
    storage = MemoryStorage() if request.param == "memory" else LocalStorage(tmp_path / "mail")
    storage.prepare()
    return storage


@pytest.fixture
def stored(storage):
    """`stored(octets)` is the name of a blob of these."""

    def stored(octets: bytes) -> str:
        name = storage.new_name()
        storage.put_spooled("s", octets)
        storage.adopt([("s", name)])
        return name

    return stored


def octets_of(file: StoredFile) -> bytes:
    with file:
        return file.read()


def test_preparing_it_again_changes_nothing(storage, stored):
    name = stored(b"x")
    storage.prepare()
    assert octets_of(storage.open(name)) == b"x" and storage.free_octets() > 0


def test_a_message_is_spooled_adopted_and_read(storage):
    with storage.create_spooled("a") as file:
        file.append(OCTETS)
        file.append(b"")
        file.append(b"end")
        assert file.size_octets == len(OCTETS) + 3
        assert file.read(len(OCTETS) - 1, len(OCTETS) + 1) == OCTETS[-1:] + b"e"
        file.sync()
    storage.put_spooled("b", b"small")
    names = [storage.new_name() for _ in "ab"]
    storage.adopt(zip("ab", names, strict=True))
    assert [octets_of(storage.open(name)) for name in names] == [OCTETS + b"end", b"small"]
    assert list(storage.spooled_before(LATER)) == []


@pytest.mark.parametrize("octets", [b"", b"x", OCTETS])
def test_octets_are_read_from_anywhere(storage, stored, octets):
    size = len(octets)
    with storage.open(stored(octets)) as blob:
        assert blob.size_octets == size
        for start, end in ((0, size), (0, size + 9), (size // 2, size), (1, 1), (size, size + 5), (size + 5, size + 6)):
            assert blob.read(start, end) == octets[start:end]
            assert blob.read_at_once(start, end) in (octets[start:end], None)
        assert blob.read(size // 3) == octets[size // 3 :]
        with blob.mapped() as mapped:
            assert mapped[:] == octets


def test_a_spool_file_can_be_begun_anew_with_the_rest_of_another(storage):
    with storage.create_spooled("old") as old, storage.create_spooled("new") as new:
        old.append(b"head" + OCTETS)
        new.append(b"other ")
        new.append_rest(old, 4)
        assert new.read() == b"other " + OCTETS


def test_a_forked_child_reads_what_was_spooled(storage):
    storage.put_spooled("a", b"octets")
    with storage.open_spooled("a") as file:
        child = os.fork()
        if child == 0:
            file.sync()
            os._exit(0 if file.read() == b"octets" else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_one_spool_file_is_one_message(storage):
    storage.create_spooled("a").close()
    with pytest.raises(FileExistsError):
        storage.create_spooled("a")


def test_what_a_process_that_died_left_of_a_spool_file_is_made_anew(storage):
    storage.put_spooled("a", b"some of")
    storage.put_spooled("a", b"all")
    assert octets_of(storage.open_spooled("a")) == b"all"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", ".", "..", ".hidden"])
def test_a_name_can_not_lead_out_of_the_spool(storage, name):
    for use in (storage.open_spooled, storage.create_spooled, lambda name: storage.put_spooled(name, b"x")):
        with pytest.raises(ValueError, match="no name of a spool file"):
            use(name)


def test_what_is_missing_is_told(storage, stored):
    for missing in (lambda: storage.open(storage.new_name()), lambda: storage.open_spooled("none")):
        with pytest.raises(FileNotFoundError):
            missing()
    with pytest.raises(FileNotFoundError):
        storage.adopt([("none", storage.new_name())])


def test_discarding_is_done_once_or_twice(storage, stored):
    name, kept = stored(b"x"), stored(b"y")
    storage.put_spooled("a", b"z")
    for _ in range(2):
        storage.discard([name])
        storage.discard_spooled(["a"])
    assert list(storage.blobs_before(LATER)) == [kept] and list(storage.spooled_before(LATER)) == []
    storage.tidy(LATER)
    assert octets_of(storage.open(kept)) == b"y"


def test_what_is_open_can_be_read_though_it_is_discarded(storage, stored):
    """A session that is sent a message is sent all of it."""
    name = stored(OCTETS)
    with storage.open(name) as blob:
        storage.discard([name])
        assert blob.read() == OCTETS


def test_what_is_old_is_found_and_nothing_else(storage, stored):
    names = {stored(b"x") for _ in range(3)}
    storage.put_spooled("a", b"")
    assert list(storage.blobs_before(EARLIER)) == list(storage.spooled_before(EARLIER)) == []
    assert set(storage.blobs_before(LATER)) == names and list(storage.spooled_before(LATER)) == ["a"]


def test_names_are_never_used_again(storage):
    assert len({storage.new_name() for _ in range(1_000)}) == 1_000


def test_the_settings_say_which(settings):
    settings.STORAGES = settings.STORAGES | {"mail": {"BACKEND": "memory_storage.MemoryStorage"}}
    assert isinstance(mail_storage(), MemoryStorage) and mail_storage() is mail_storage()
    settings.STORAGES = settings.STORAGES | {"mail": settings.STORAGES["default"]}
    with pytest.raises(ImproperlyConfigured, match="must name a mailsuite.writer.storage.MailStorage"):
        mail_storage()
