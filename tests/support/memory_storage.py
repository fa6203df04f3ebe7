"""A storage of messages that has no paths, in this process's memory: what reaches octets by a path finds nothing."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from mailsuite.writer.storage import MailStorage, StoredFile


class Held:
    """Octets, and when they were last written to."""

    def __init__(self, octets: bytes = b"") -> None:
        self.octets, self.written_at = bytearray(octets), datetime.now(UTC)


class HeldFile(StoredFile):
    """One of them, open."""

    def __init__(self, held: Held) -> None:
        self._held: Held | None = held

    @property
    def held(self) -> Held:
        assert self._held is not None, "it was closed"
        return self._held

    @property
    def size_octets(self) -> int:
        return len(self.held.octets)

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        return bytes(self.held.octets[start:end])

    def append(self, octets: bytes) -> None:
        self.held.octets += octets
        self.held.written_at = datetime.now(UTC)

    def sync(self) -> None:
        assert self.held is not None

    def close(self) -> None:
        assert self.held is not None
        self._held = None


class MemoryStorage(MailStorage):
    """`blobs` and `spool` are what it holds, by name."""

    def __init__(self) -> None:
        self.blobs: dict[str, Held] = {}
        self.spool: dict[str, Held] = {}

    def prepare(self) -> None:
        return None

    def free_octets(self) -> int:
        return 1 << 40

    def create_spooled(self, name: str) -> StoredFile:
        if _checked(name) in self.spool:
            raise FileExistsError(name)
        self.spool[name] = Held()
        return HeldFile(self.spool[name])

    def put_spooled(self, name: str, octets: bytes) -> None:
        self.spool[_checked(name)] = Held(octets)

    def open_spooled(self, name: str) -> StoredFile:
        return HeldFile(_found(self.spool, _checked(name)))

    def discard_spooled(self, names: Iterable[str]) -> None:
        for name in names:
            self.spool.pop(name, None)

    def spooled_before(self, moment: datetime) -> Iterator[str]:
        return _before(self.spool, moment)

    def adopt(self, pairs: Iterable[tuple[str, str]]) -> None:
        for spooled, name in pairs:
            self.blobs[name] = _found(self.spool, spooled)
            del self.spool[spooled]

    def open(self, name: str) -> StoredFile:
        return HeldFile(_found(self.blobs, name))

    def discard(self, names: Iterable[str]) -> None:
        for name in names:
            self.blobs.pop(name, None)

    def blobs_before(self, moment: datetime) -> Iterator[str]:
        return _before(self.blobs, moment)


def _found(held: dict[str, Held], name: str) -> Held:
    try:
        return held[name]
    except KeyError:
        raise FileNotFoundError(name) from None


def _before(held: dict[str, Held], moment: datetime) -> Iterator[str]:
    return iter(sorted(name for name, one in held.items() if one.written_at < moment))


def _checked(name: str) -> str:
    if "/" in name or name.startswith("."):
        raise ValueError(f"{name!r} is no name of a spool file")
    return name
