r"""A session's view of its selected folder: which uid each sequence number is, and the flags the client knows of.

The view moves on by modseq (`absorb`) whenever somebody looks, but what has changed is told only when it may be: an
EXPUNGE renumbers, so it waits for a command that allows it (RFC 3501 §7.4.1), and till then the expunged message
keeps its sequence number. Everything is in arrays, four octets an entry: many sessions have large folders open.
"""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import compress
from typing import NamedTuple

from mailsuite.store.flags import NAMES, SEEN
from retrieval.mail_values import FolderChanges, FolderStatus, MessageState

RECENT = 32  # beside the bits of mailsuite.store.flags; a session's own, never stored
_ALL_NAMES = {**NAMES, RECENT: "\\Recent"}
_SPARE_FLAG_SETS = 1_000
MAX_KEYWORDS = 1_000  # of a folder, that FLAGS tells and that keep their first spelling


class FlagSet(NamedTuple):
    """One combination of flags and keywords: bits, keywords as stored and in lower case, all as it is answered."""

    bits: int
    stored: str
    keywords: frozenset[str]
    octets: bytes


class FolderView:
    """The selected folder. Positions count from 0: sequence number less one."""

    __slots__ = (
        *("_gone", "_index", "_recent_uids", "_retouched", "_told_count", "_told_keywords", "flag_sets", "folder_id"),
        *("has_unclaimed", "keywords", "modseq", "name", "read_only", "stale", "table", "uid_next", "uid_validity"),
        "uids",
    )

    def __init__(self, status: FolderStatus, name: str, *, read_only: bool) -> None:
        self.folder_id, self.name, self.read_only = status.folder_id, name, read_only
        self.uid_validity, self.uid_next = status.uid_validity, status.uid_next
        self.modseq = 0
        self.uids = array("I")
        self.flag_sets = array("I")  # indexes into self.table
        self.table: list[FlagSet] = []
        self.keywords: dict[str, str] = {}  # lower case: as first seen
        self.has_unclaimed = False  # some are \Recent here that the store was not told of
        self.stale = True  # somebody may have changed the folder since it was last absorbed
        self._index: dict[tuple[int, str], int] = {}
        self._gone: set[int] = set()
        self._retouched: set[int] = set()
        self._told_count = self._told_keywords = 0
        self._recent_uids: set[int] = set()

    def absorb(self, changes: FolderChanges, recent: Collection[int] = ()) -> None:
        r"""Take in what is newer than `modseq`. `recent` are uids that are \Recent in this session."""
        last = self.uids[-1] if self.uids else 0
        if not self.uids:
            self._append(changes.changed)
        else:
            fresh = [state for state in changes.changed if state.uid > last]
            for state in changes.changed[: len(changes.changed) - len(fresh)]:
                if self.show(state):
                    self._retouched.add(state.uid)
            self._append(fresh)
        self.mark_recent(recent)
        self._gone.update(uid for uid in changes.expunged if self.position(uid) is not None)
        self.modseq = max(self.modseq, changes.highest_modseq)
        self.uid_next = max(self.uid_next, changes.uid_next)

    def begin_from(self, other: "FolderView") -> None:
        """Start with what the other view of this folder knew; changes since its modseq are still to be absorbed."""
        self.modseq, self.uid_next = other.modseq, other.uid_next
        self.uids, self.flag_sets = other.uids[:], other.flag_sets[:]
        self.table, self.keywords, self._index = other.table[:], dict(other.keywords), dict(other._index)

    def mark_recent(self, uids: Iterable[int]) -> None:
        r"""Make those of these that are in the view \Recent in this session."""
        recent = dict[int, int]()  # flag sets without and with it: few, however many messages
        for uid in uids:
            position = self.position(uid)
            if position is None:
                continue
            self._recent_uids.add(uid)
            index = self.flag_sets[position]
            if index not in recent:
                recent[index] = self._flag_set(self.table[index].bits | RECENT, self.table[index].stored)
            self.flag_sets[position] = recent[index]

    def mark_recent_since(self, uid: int) -> None:
        r"""Make all from this uid on \Recent in this session: by columns, since they may be all of a large folder."""
        position = bisect_left(self.uids, uid)
        flag_sets = self.flag_sets[position:]
        recent = {
            index: self._flag_set(self.table[index].bits | RECENT, self.table[index].stored) for index in set(flag_sets)
        }
        self.flag_sets[position:] = array("I", map(recent.__getitem__, flag_sets))
        self._recent_uids.update(self.uids[position:])

    def new_uids(self, changes: FolderChanges) -> list[int]:
        """Return the uids in `changes` that this view has not seen yet."""
        last = self.uids[-1] if self.uids else 0
        return [state.uid for state in changes.changed if state.uid > last]

    def show(self, state: MessageState) -> bool:
        """Set a message's flags without telling; return whether that changed any."""
        position = self.position(state.uid)
        if position is None:
            return False
        self._forget_unused_flag_sets()
        flag_set = self._flag_set(self._bits(state), state.keywords)
        changed = self.flag_sets[position] != flag_set
        self.flag_sets[position] = flag_set
        self._retouched.discard(state.uid)
        return changed

    def settle(self) -> None:
        """Take everything as told: SELECT tells all anew."""
        self.updates(expunges=True)
        self.stale = False

    def mark_gone(self, uids: Iterable[int]) -> None:
        """Note that these were expunged; told by the next `updates` that may."""
        self._gone.update(uid for uid in uids if self.position(uid) is not None)

    @property
    def has_expunges(self) -> bool:
        """Whether there are expunged messages that the client has not been told of."""
        return bool(self._gone)

    def is_gone(self, uid: int) -> bool:
        """Whether the message is expunged, and the client has not been told."""
        return uid in self._gone

    def updates(self, *, expunges: bool) -> bytes:
        """Return the untagged responses that bring the client up to date, and take them as told."""
        told = list(self._expunges()) if expunges and self._gone else []
        if len(self.uids) != self._told_count:
            told.append(b"* %d EXISTS\r\n* %d RECENT\r\n" % (len(self.uids), self.recent_count))
            self._told_count = len(self.uids)
        told.append(self.new_keywords())
        for uid in sorted(self._retouched):
            position = self.position(uid)
            if position is not None:
                told.append(
                    b"* %d FETCH (UID %d FLAGS (%b))\r\n" % (position + 1, uid, self.flag_set_at(position).octets)
                )
        self._retouched.clear()
        return b"".join(told)

    def new_keywords(self) -> bytes:
        """Return FLAGS where there are keywords that none has named yet, as it has to come before what names them."""
        return self.flags_response() if len(self.keywords) != self._told_keywords else b""

    def flags_response(self) -> bytes:
        """Return FLAGS with the keywords in use (RFC 3501 §7.2.6)."""
        self._told_keywords = len(self.keywords)
        return b"* FLAGS (%b)\r\n" % " ".join([*NAMES.values(), *self.keywords.values()]).encode()

    def position(self, uid: int) -> int | None:
        """Where the message is, counted from 0; None for one that is not in the view."""
        at = bisect_left(self.uids, uid)
        return at if at < len(self.uids) and self.uids[at] == uid else None

    def flag_set_at(self, position: int) -> FlagSet:
        """The message's flags."""
        return self.table[self.flag_sets[position]]

    def spelled(self, keywords: Iterable[str]) -> list[str]:
        """Return the keywords as this folder already writes them: they compare without case."""
        return [self.keywords.get(keyword.lower(), keyword) for keyword in keywords]

    @property
    def recent_count(self) -> int:
        r"""How many messages are \Recent in this session."""
        return len(self._recent_uids)

    @property
    def first_unseen(self) -> int | None:
        """The position of the first message without \\Seen."""
        unseen = {index for index, flag_set in enumerate(self.table) if not flag_set.bits & SEEN}
        return next((at for at, flag_set in enumerate(self.flag_sets) if flag_set in unseen), None)

    def flagged(self, bit: int, spans: Iterable[range]) -> list[int]:
        """Return the uids at these positions whose messages have the flag."""
        flag_sets = {index for index, flag_set in enumerate(self.table) if flag_set.bits & bit}
        return [self.uids[at] for span in spans for at in span if self.flag_sets[at] in flag_sets] if flag_sets else []

    def without(self, bit: int, uids: Iterable[int]) -> list[int]:
        """Return those of these uids, ascending and all in the view, whose messages have the flag not."""
        flag_sets = {index for index, flag_set in enumerate(self.table) if not flag_set.bits & bit}
        return [uid for uid in uids if self.flag_sets[bisect_left(self.uids, uid)] in flag_sets] if flag_sets else []

    def _expunges(self) -> Iterator[bytes]:
        """Drop what is gone, last first, so that no number told before is moved by the next."""
        gone = sorted(position for uid in self._gone if (position := self.position(uid)) is not None)
        kept = bytearray(b"\1") * len(self.uids)
        for position in gone:
            kept[position] = 0
        self.uids = array("I", compress(self.uids, kept))
        self.flag_sets = array("I", compress(self.flag_sets, kept))
        self._told_count -= len(gone)
        self._recent_uids -= self._gone
        self._retouched -= self._gone
        self._gone.clear()
        return (b"* %d EXPUNGE\r\n" % (position + 1) for position in reversed(gone))

    def _append(self, states: Sequence[MessageState]) -> None:
        """Add messages behind the others: by columns, since SELECT has all of them here."""
        if not states:
            return
        uids, flags, keywords, _ = zip(*states, strict=True)
        kinds = list(zip(flags, keywords, strict=True))
        flag_sets = {kind: self._flag_set(*kind) for kind in dict.fromkeys(kinds)}
        self.uids.extend(uids)
        self.flag_sets.extend(map(flag_sets.__getitem__, kinds))

    def _bits(self, state: MessageState) -> int:
        return state.flags | RECENT if state.uid in self._recent_uids else state.flags

    def _flag_set(self, bits: int, keywords: str) -> int:
        index = self._index.get((bits, keywords))
        if index is None:
            index = self._index[bits, keywords] = len(self.table)
            self.table.append(self._render(bits, keywords))
        return index

    def _render(self, bits: int, keywords: str) -> FlagSet:
        words = keywords.split()
        for word in words[: MAX_KEYWORDS - len(self.keywords)]:
            self.keywords.setdefault(word.lower(), word)
        names = [name for bit, name in _ALL_NAMES.items() if bits & bit]
        return FlagSet(bits, keywords, frozenset(map(str.lower, words)), " ".join(names + words).encode())

    def _forget_unused_flag_sets(self) -> None:
        """Keep the table in proportion to the folder when a client makes up ever new keywords."""
        if len(self.table) <= len(self.uids) + _SPARE_FLAG_SETS:
            return
        used = sorted(set(self.flag_sets))
        moved = {old: new for new, old in enumerate(used)}
        self._index = {key: moved[old] for key, old in self._index.items() if old in moved}
        self.table = [self.table[old] for old in used]
        self.flag_sets = array("I", [moved[old] for old in self.flag_sets])
