"""A maildrop as one session sees it (RFC 1939 §5): fixed at login, messages numbered from 1, marks kept until QUIT."""

from array import array
from collections.abc import Iterator

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def unique_id_text(unique_id: int) -> str:
    """The unique-id as UIDL shows it (RFC 1939 §7): base 36, the same for ever."""
    text = ""
    while unique_id:
        unique_id, digit = divmod(unique_id, 36)
        text = _DIGITS[digit] + text
    return text or "0"


class Maildrop:
    """Numbers, sizes and unique-ids of the messages in `folder_id`: 24 octets each, however many there are."""

    __slots__ = ("folder_id", "size_octets", "uids", "_sizes", "_unique_ids", "_deleted")

    def __init__(self, folder_id: int) -> None:
        self.folder_id = folder_id
        self.uids = array("q")
        self._sizes = array("q")
        self._unique_ids = array("q")
        self._deleted: set[int] = set()
        # Of what is not marked as deleted.
        self.size_octets = 0

    def add(self, uid: int, size_octets: int, unique_id: int) -> None:
        """Puts one more message at the end."""
        self.uids.append(uid)
        self._sizes.append(size_octets)
        self._unique_ids.append(unique_id)
        self.size_octets += size_octets

    @property
    def count(self) -> int:
        """How many messages are not marked as deleted."""
        return len(self.uids) - len(self._deleted)

    @property
    def deleted_uids(self) -> list[int]:
        """The uids of what is marked as deleted, ascending."""
        return sorted(self.uids[number - 1] for number in self._deleted)

    def has(self, number: int) -> bool:
        """True when there is such a message and it is not marked as deleted."""
        return 1 <= number <= len(self.uids) and number not in self._deleted

    def size_of(self, number: int) -> int:
        """The octets of a message."""
        return self._sizes[number - 1]

    def uid_of(self, number: int) -> int:
        """The uid of a message, which IMAP knows it by."""
        return self.uids[number - 1]

    def unique_id_of(self, number: int) -> int:
        """The number behind the unique-id of a message, see unique_id_text."""
        return self._unique_ids[number - 1]

    def numbers(self) -> Iterator[int]:
        """The numbers of what is not marked as deleted, ascending."""
        return (number for number in range(1, len(self.uids) + 1) if number not in self._deleted)

    def delete(self, number: int) -> None:
        """Marks a message that `has` knows."""
        self._deleted.add(number)
        self.size_octets -= self.size_of(number)

    def reset(self) -> None:
        """Take all marks back (RFC 1939 §5, RSET)."""
        self._deleted.clear()
        self.size_octets = sum(self._sizes)
