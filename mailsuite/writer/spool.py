"""Messages on their way in, from whatever protocol: in memory, then in a spool file of the storage.

A small message stays in memory and goes to the writer with what is to be done with it: making a file here would have
all sessions wait for whatever the file system's journal is just writing. What a large one gathers is written by a
thread. Nothing is made durable here: the writer does that for a whole batch, and makes the file a blob. Names can't be
guessed. What a process that died leaves behind the writer's service sweeps.
"""

import secrets
import time
from collections.abc import Iterator

from mailsuite.mail.header import MAX_HEADER_OCTETS, header_end
from mailsuite.mail.parsed_header import Header
from mailsuite.server.octets import OctetBudget
from mailsuite.server.threads import undisturbed
from mailsuite.writer.storage import MailStorage, StoredFile

GATHER_OCTETS = 128 * 1024
# The same while all sessions together hold much.
PRESSED_GATHER_OCTETS = 16 * 1024
# What a piece costs beside its octets: content that drips in tiny pieces must not cost many times its size.
PIECE_OCTETS = 64
HEAD_OCTETS = MAX_HEADER_OCTETS
HELD_HEAD_OCTETS = 128 * 1024  # of a head are held also while all sessions together hold much
CHUNK_OCTETS = 256 * 1024
FREE_SECONDS = 1.0


class Spool:
    """What all sessions of a process spool to, and how much room it has. `budget` counts what they hold in memory."""

    def __init__(self, storage: MailStorage, budget: OctetBudget | None = None) -> None:
        self._storage = storage
        self.budget = budget or OctetBudget()
        self._free = 0
        self._free_until = 0.0

    def free_octets(self) -> int:
        """For how many octets the storage has room, as it was at most a second ago. Raises OSError."""
        now = time.monotonic()
        if now >= self._free_until:
            self._free, self._free_until = self._storage.free_octets(), now + FREE_SECONDS
        return self._free

    def holding(self, octets: bytes) -> "SpoolFile":
        """Return a message that is at hand, and stays in memory however large it is."""
        file = self.new_file()
        file.hold(octets)
        return file

    def new_file(self) -> "SpoolFile":
        """An empty message to write to."""
        return SpoolFile(self._storage, self.budget)


class SpoolFile:
    """One message being received; `name` is what the writer finds it by. `eight_bit` tells whether it holds octets that
    are not ASCII. All that works on a file raises OSError, and leaves one that `discard` removes."""

    def __init__(self, storage: MailStorage, budget: OctetBudget) -> None:
        self._storage, self._budget = storage, budget
        self.name = secrets.token_hex(16)
        self.size_octets = 0
        self._head: bytes | None = None
        self._header: Header | None = None
        self._replaced: Header | None = None
        self._held = 0
        self.eight_bit = False
        self._file: StoredFile | None = None
        self._gathered: list[bytes] = []
        self._gathered_octets = 0

    async def write(self, octets: bytes) -> None:
        """Append octets."""
        if not octets:
            return
        self.size_octets += len(octets)
        self.eight_bit = self.eight_bit or not octets.isascii()
        self._gathered.append(octets)
        self._gathered_octets += len(octets) + PIECE_OCTETS
        if self._gathered_octets >= (PRESSED_GATHER_OCTETS if self._budget.is_pressed else GATHER_OCTETS):
            await undisturbed(self._flush)
        self._count()

    def hold(self, octets: bytes) -> None:
        """Append octets that stay in memory."""
        self.size_octets += len(octets)
        self.eight_bit = self.eight_bit or not octets.isascii()
        self._gathered.append(octets)
        self._gathered_octets += len(octets)
        self._count()

    async def finish(self) -> bytes | None:
        """The octets of a small message, for which no file is made. Otherwise write what is left, close and return
        None: the name is the writer's from now on. What is held in memory counts until `release`."""
        if self._file is None:
            octets = b"".join(self._gathered)
            self._gathered = [octets]
            return octets
        await undisturbed(self._flush)
        self._close()
        return None

    @property
    def head(self) -> bytes:
        """Its beginning as it was received: the header and the blank line behind it, HEAD_OCTETS of them at most. Kept
        from the first time that somebody asks."""
        if self._head is None:
            self._head = self._read_head()
            self._count()
        return self._head

    @property
    def header(self) -> Header:
        """The header as it was received, parsed the first time that somebody asks; of a longer one its `head`."""
        if self._header is None:
            self._header = Header.parse(self.head)
        return self._header

    @property
    def final_header(self) -> Header:
        """The header as it is now."""
        return self._replaced or self.header

    @property
    def is_small(self) -> bool:
        """Whether it is all in memory still, so that working on it stalls nobody."""
        return self._file is None

    def chunks(self, start: int) -> Iterator[bytes]:
        """Yield the content from an offset on. Reads the file unless `is_small`: call it in a thread then."""
        if self._file is None:
            yield b"".join(self._gathered)[start:]
            return
        self._flush()
        while octets := self._file.read(start, start + CHUNK_OCTETS):
            yield octets
            start += len(octets)

    def replace_header(self, header: Header, stray: bytes = b"") -> None:
        """Put another header in place of the one that was received, and behind it what of that belongs to the body.
        Copies like `replace_head`."""
        self.replace_head(self.header.size_octets, header.block + stray)
        self._replaced = header

    def replace_head(self, length: int, octets: bytes) -> None:
        """Put other octets in place of the first `length`. Copies unless `is_small`: call it in a thread then, and ask
        for the `head` before."""
        self.size_octets += len(octets) - length
        if self._file is None:
            self._gathered = [octets, b"".join(self._gathered)[length:]]
            return
        self._flush()
        old, old_name = self._file, self.name
        self.name = secrets.token_hex(16)
        self._file, self._gathered = None, [octets]
        try:
            self._flush().append_rest(old, length)
        finally:
            old.close()
            self._storage.discard_spooled([old_name])

    def end_header(self, at: int) -> None:
        """Put a blank line at this offset of the `head`, which is looked for anew. Copies like `replace_head`."""
        self.replace_head(at, self.head[:at] + b"\r\n")
        self._head = self._header = None

    def discard(self) -> None:
        """Remove what was written."""
        self.release()
        self._close()
        self._storage.discard_spooled([self.name])

    def release(self) -> None:
        """Hold nothing in memory any longer."""
        self._gathered.clear()
        self._gathered_octets, self._head, self._header, self._replaced = 0, self._head and b"", None, None
        self._count()

    def _count(self) -> None:
        """Tell the budget; not in a thread."""
        held = self._gathered_octets + len(self._head or b"")
        if held > self._held:
            self._budget.take(held - self._held)
        elif held < self._held:
            self._budget.give(self._held - held)
        self._held = held

    def _read_head(self) -> bytes:
        octets = b"" if self._file is None else self._file.read(0, HEAD_OCTETS)
        if len(octets) < HEAD_OCTETS:
            octets += b"".join(self._gathered)[: HEAD_OCTETS - len(octets)]
        return octets[: header_end(octets, 0, len(octets))]

    def _flush(self) -> StoredFile:
        """Write what has gathered to the file, which is made for the first; returns it."""
        if self._file is None:
            self._file = self._storage.create_spooled(self.name)
        octets = b"".join(self._gathered)
        self._gathered.clear()
        self._gathered_octets = 0
        self._file.append(octets)
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
