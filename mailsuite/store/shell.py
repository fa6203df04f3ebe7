"""Changing mail from Python: for a shell, a view, another app of the same Django project.

Each function goes through the store, as IMAP does: folder counts, quota and open sessions follow, and what returns is
durable. Messages are given as a QuerySet or any iterable of Message rows, however many; they are changed 500 at a time,
each 500 as one. Raises `mailsuite.store.operations.Refused`, whose code and text say why.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import groupby

from mailsuite.directory.models import Mailbox
from mailsuite.store.flags import BITS, DELETED, NAMES
from mailsuite.store.models import Folder, Message
from mailsuite.store.operations import (
    Append,
    AppendItem,
    Copy,
    CreateFolder,
    DeleteFolder,
    Expunge,
    RenameFolder,
    StoreFlags,
)
from mailsuite.writer.operation import ROWS_AT_ONCE, Refused
from mailsuite.writer.run import execute


def delete(messages: Iterable[Message]) -> int:
    """Removes messages for good, past the trash; returns how many were still there."""

    def remove(mailbox_id: int, folder_id: int, uids: list[int]) -> int:
        execute(StoreFlags(mailbox_id, folder_id, uids, "add", DELETED))
        return len(execute(Expunge(mailbox_id, folder_id, uids)).uids)

    return _in_slices(messages, remove)


def move(messages: Iterable[Message], folder: Folder, *, by: str = "") -> int:
    """Moves messages into a folder of their mailbox; returns how many were still there. Their stories name whoever did
    it, the owner without `by`, where that was out of Junk or into it."""
    return _in_slices(messages, _into(folder, move=True, by=by))


def copy(messages: Iterable[Message], folder: Folder) -> int:
    """Copies messages into a folder of their mailbox; returns how many. Refused over-quota, when the mailbox is full:
    what was copied until then stays."""
    return _in_slices(messages, _into(folder, move=False))


def set_flags(messages: Iterable[Message], *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> int:
    r"""Sets and takes away flags, `\Seen` and the like or keywords such as `Work`; returns how many messages there
    were."""
    changes = [(mode, *_split(names)) for mode, names in (("add", add), ("remove", remove)) if names]

    def change(mailbox_id: int, folder_id: int, uids: list[int]) -> int:
        counts = [
            len(execute(StoreFlags(mailbox_id, folder_id, uids, mode, bits, keywords)).changed)  # type: ignore[arg-type]
            for mode, bits, keywords in changes
        ]
        return max(counts, default=0)

    return _in_slices(messages, change)


def append(
    folder: Folder, octets: bytes, *, flags: Sequence[str] = (), internal_date: datetime | None = None
) -> Message:
    """Files a message into the folder, with these flags and keywords; returns its row."""
    bits, keywords = _split(flags)
    item = AppendItem.carrying(octets, bits, keywords, internal_date)
    answer = execute(Append(folder.mailbox_id, folder.pk, [item], folder.mailbox.quota_octets))
    return Message.objects.get(folder_id=folder.pk, uid=answer.uids[0])


def create_folder(mailbox: Mailbox, name: str) -> Folder:
    """Makes a folder, and those above it that there are not; returns it."""
    return Folder.objects.get(pk=execute(CreateFolder(mailbox.pk, name)))


def rename_folder(folder: Folder, new_name: str) -> None:
    """Renames a folder with all below it."""
    execute(RenameFolder(folder.mailbox_id, folder.name, new_name))


def delete_folder(folder: Folder) -> None:
    """Removes a folder with its messages."""
    execute(DeleteFolder(folder.mailbox_id, folder.name))


def _into(folder: Folder, *, move: bool, by: str = "") -> Callable[[int, int, list[int]], int]:
    quota = 0 if move else folder.mailbox.quota_octets

    def place(mailbox_id: int, folder_id: int, uids: list[int]) -> int:
        if mailbox_id != folder.mailbox_id:
            raise Refused("cannot", "a message can't leave its mailbox")
        answer = execute(Copy(mailbox_id, folder_id, folder.pk, uids, move, quota_octets=quota, by=by))
        return len(answer.pairs)

    return place


def _in_slices(messages: Iterable[Message], change: Callable[[int, int, list[int]], int]) -> int:
    """What `change` answers for each folder's uids, added up. The rows are read first: changing them moves them."""
    places = sorted((message.mailbox_id, message.folder_id, message.uid) for message in messages)
    count = 0
    for (mailbox_id, folder_id), rows in groupby(places, key=lambda place: place[:2]):
        uids = [uid for _, _, uid in rows]
        for start in range(0, len(uids), ROWS_AT_ONCE):
            count += change(mailbox_id, folder_id, uids[start : start + ROWS_AT_ONCE])
    return count


def _split(names: Sequence[str]) -> tuple[int, list[str]]:
    """Flags as bits, and keywords. Raises ValueError for what is neither."""
    bits, keywords = 0, list[str]()
    for name in names:
        if name.lower() in BITS:
            bits |= BITS[name.lower()]
        elif name.isascii() and name.isprintable() and not set(name) & set(' (){}%*"\\]'):
            keywords.append(name)
        else:
            raise ValueError(f"{name!r} is no flag: write one of {', '.join(NAMES.values())}, or a word")
    return bits, keywords
