"""How much a mailbox sends in a day: counted in the store's transaction, held past a cap, refused past twice that.

A day is UTC's. Recipients are those elsewhere; one is new until the mailbox wrote to it, or long ago.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from mailsuite.abuse.models import Alarm, SendingCap, SendingDay, SendingSettings, SentRecipient
from mailsuite.database.sql import placeholders, slices
from mailsuite.directory.models import Mailbox
from mailsuite.queue.held_mail import SENDER_SUSPENDED

OVER_CAP = "its sender is over the day's cap"
# So many times a cap is no busy day any more: nothing is taken.
REFUSED_AT = 2
# From this share of a cap on, its owner is warned.
NEARLY = 0.8
DAYS_KEPT = timedelta(days=90)
RECIPIENTS_KEPT = timedelta(days=730)

COLUMNS = "d.mailbox_id, m.state, d.messages, d.new_recipients, c.messages_a_day, c.new_recipients_a_day"


def of_cap(used: int, cap: int) -> str:
    """So much of a cap, in words."""
    return f"{used} of {cap}" if cap else str(used)


@dataclass(frozen=True, slots=True)
class Caps:
    """What a mailbox may send in a day; 0 is no cap."""

    messages: int
    new_recipients: int

    def share(self, messages: int, new_recipients: int) -> float:
        """How much of its caps is used, by the one that is used most: 1.0 is all."""
        pairs = ((messages, self.messages), (new_recipients, self.new_recipients))
        return max(used / cap if cap else 0.0 for used, cap in pairs)

    def tell(self, messages: int, new_recipients: int) -> str:
        """What was sent in a day beside what may be."""
        of_strangers = of_cap(new_recipients, self.new_recipients)
        return f"{of_cap(messages, self.messages)} messages, {of_strangers} new recipients"


@dataclass(slots=True)
class Sending:
    """A locked SendingDay, with what decides."""

    mailbox_id: int
    state: str
    messages: int
    new_recipients: int
    caps: Caps
    # By forward-path the hashes of those whom the batch writes to; which of them were written to before; the others.
    hashes: dict[str, int] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)
    new: set[int] = field(default_factory=set)

    def count(self, forward_paths: Iterable[str]) -> str:
        """Counts one message to these, elsewhere; returns why it is to be held, "" when it may go."""
        fresh = {self.hashes[path] for path in forward_paths} - self.known - self.new
        self.new |= fresh
        self.messages += 1
        self.new_recipients += len(fresh)
        if self.state == Mailbox.State.SUSPENDED:
            return SENDER_SUSPENDED
        if self.caps.messages and self.messages > self.caps.messages:
            return OVER_CAP
        # Whoever wrote to too many strangers may still write to friends.
        return OVER_CAP if fresh and self.caps.new_recipients and self.new_recipients > self.caps.new_recipients else ""


def lock(cursor: Any, recipients: Mapping[int, Mapping[str, str]], day: date) -> dict[int, Sending]:
    """Locks the day's rows of these mailboxes, in one order for everybody; makes those that are missing. The mailboxes
    are locked against being suspended meanwhile: who suspends one finds all its mail in the queue.

    `recipients` are the address keys of those whom each will write to in this transaction, by forward-path."""
    ids = sorted(recipients)
    if not ids:
        return {}
    rows = _rows(cursor, ids, day)
    if missing := sorted(set(ids) - {row[0] for row in rows}):
        cursor.executemany(
            "INSERT INTO abuse_sendingday (mailbox_id, day, messages, new_recipients, told) VALUES (%s, %s, 0, 0, 0)"
            " ON CONFLICT (mailbox_id, day) DO NOTHING",
            [(one, _date(day)) for one in missing],
        )
        rows = _rows(cursor, ids, day)
    cursor.execute("SELECT messages_a_day, new_recipients_a_day FROM abuse_sendingsettings WHERE id = 1")
    messages, strangers = cursor.fetchone() or (SendingSettings.MESSAGES, SendingSettings.NEW_RECIPIENTS)
    found = {
        row[0]: Sending(
            row[0],
            row[1],
            row[2],
            row[3],
            Caps(messages if row[4] is None else row[4], strangers if row[5] is None else row[5]),
        )
        for row in rows
    }
    for mailbox_id, sending in found.items():
        sending.hashes = {path: _hash(key) for path, key in recipients[mailbox_id].items()}
    _read_known(cursor, found)
    return found


def write(cursor: Any, sendings: Collection[Sending], now: datetime) -> None:
    """Writes the counters, whom was newly written to, and who is over a cap, which is shown at once; the commit
    follows."""
    day = now.date()
    rows = [(one.messages, one.new_recipients, one.mailbox_id, _date(day)) for one in sendings]
    if rows:
        cursor.executemany(
            "UPDATE abuse_sendingday SET messages = %s, new_recipients = %s WHERE mailbox_id = %s AND day = %s", rows
        )
    if new := [(one.mailbox_id, recipient, _date(day)) for one in sendings for recipient in sorted(one.new)]:
        cursor.executemany(
            "INSERT INTO abuse_sentrecipient (mailbox_id, recipient, first_on) VALUES (%s, %s, %s)"
            " ON CONFLICT (mailbox_id, recipient) DO NOTHING",
            new,
        )
    if over := [one for one in sendings if one.caps.share(one.messages, one.new_recipients) > 1]:
        at = connection.ops.adapt_datetimefield_value(now)
        cursor.executemany(
            "INSERT INTO abuse_alarm (mailbox_id, kind, day, raised_at, text) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (mailbox_id, kind, day) DO NOTHING",
            [
                (one.mailbox_id, Alarm.Kind.OVER_CAP, _date(day), at, one.caps.tell(one.messages, one.new_recipients))
                for one in over
            ],
        )


def is_exhausted(mailbox_id: int) -> bool:
    """Whether the mailbox is so far over its caps today that nothing more is taken from it."""
    rows = SendingDay.objects.using("reader").filter(mailbox=mailbox_id, day=datetime.now(UTC).date())
    row = rows.values_list("messages", "new_recipients").first()
    return row is not None and caps_of([mailbox_id])[mailbox_id].share(*row) >= REFUSED_AT


def caps_of(mailbox_ids: Collection[int]) -> dict[int, Caps]:
    """The caps of each of these mailboxes."""
    site = SendingSettings.objects.using("reader").filter(pk=1).first() or SendingSettings()
    own = SendingCap.objects.using("reader").filter(mailbox__in=mailbox_ids)
    found = dict.fromkeys(mailbox_ids, Caps(site.messages_a_day, site.new_recipients_a_day))
    return found | {row.mailbox_id: Caps(row.messages_a_day, row.new_recipients_a_day) for row in own}


def with_caps(days: QuerySet[SendingDay]) -> QuerySet[SendingDay]:
    """Each day with `message_cap` and `recipient_cap`, those of its mailbox."""
    site = SendingSettings.objects.filter(pk=1)
    own, default = "mailbox__sending_cap__", SendingSettings()
    return days.annotate(
        message_cap=Coalesce(own + "messages_a_day", site.values("messages_a_day"), default.messages_a_day),
        recipient_cap=Coalesce(
            own + "new_recipients_a_day", site.values("new_recipients_a_day"), default.new_recipients_a_day
        ),
    )


def forget_old(now: datetime) -> int:
    """Deletes old days, and recipients of long ago, who are new again; returns how many. For the periodic work."""
    # A day to come was counted by a clock that was ahead, and would begin with what was sent then.
    past, ahead = Q(day__lt=(now - DAYS_KEPT).date()), Q(day__gt=(now + timedelta(days=1)).date())
    days = SendingDay.objects.filter(past | ahead).delete()[0]
    return days + SentRecipient.objects.filter(first_on__lt=(now - RECIPIENTS_KEPT).date()).delete()[0]


def _rows(cursor: Any, mailbox_ids: list[int], day: date) -> list[Any]:
    locks = " FOR UPDATE OF d FOR SHARE OF m" if connection.features.has_select_for_update else ""
    rows: list[Any] = []
    for some in slices(mailbox_ids):
        cursor.execute(
            f"SELECT {COLUMNS} FROM abuse_sendingday d JOIN directory_mailbox m ON m.id = d.mailbox_id"
            " LEFT JOIN abuse_sendingcap c ON c.mailbox_id = d.mailbox_id"
            f" WHERE d.day = %s AND d.mailbox_id IN ({placeholders(some)}) ORDER BY d.mailbox_id{locks}",
            [_date(day), *some],
        )
        rows.extend(cursor.fetchall())
    return rows


def _read_known(cursor: Any, sendings: Mapping[int, Sending]) -> None:
    """One query for the batch, not one for each message: that was what counting cost."""
    pairs = sorted((one.mailbox_id, recipient) for one in sendings.values() for recipient in set(one.hashes.values()))
    for some in slices(pairs):
        values = ", ".join(["(%s, %s)"] * len(some))
        cursor.execute(
            f"SELECT mailbox_id, recipient FROM abuse_sentrecipient WHERE (mailbox_id, recipient) IN (VALUES {values})",
            [number for pair in some for number in pair],
        )
        for mailbox_id, recipient in cursor.fetchall():
            sendings[mailbox_id].known.add(recipient)


def _date(day: date) -> Any:
    return connection.ops.adapt_datefield_value(day)


def _hash(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), signed=True)
