"""`manage.py queue …`: what is on its way out, and what to do about it."""

from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError
from django.db.models import QuerySet

from mailsuite.adminkit import parameters
from mailsuite.adminkit.command import SubcommandCommand, whole_number
from mailsuite.console.stories import timeline
from mailsuite.database.sql import slices
from mailsuite.directory import history
from mailsuite.errors import ChangeRefused
from mailsuite.mail.address import AddressError, read_domain
from mailsuite.queue import groups, services
from mailsuite.queue.models import DeliveryAttempt, QueuedMessage, QueuedRecipient
from mailsuite.trace.models import Story

LIST_LIMIT, MOST_ROWS = 1000, 1_000_000
WHO = "the command line"


class Command(SubcommandCommand):
    help = "Shows the outbound queue and changes it."

    def add_verbs(self) -> None:
        listing = self.verb("list", self.list_waiting, "what waits")
        listing.add_argument("words", nargs="*", help="queue ids, addresses or domains that must fit")
        listing.add_argument("--all", action="store_true", dest="settled", help="settled messages too")
        listing.add_argument(
            "--limit", type=whole_number(MOST_ROWS), default=LIST_LIMIT, help=f"rows at most (default {LIST_LIMIT})"
        )
        self.verb("causes", self.causes, "what waits, by where it goes and why")
        show = self.verb("show", self.show, "one message: its recipients, its story, every attempt")
        show.add_argument("number", metavar="QUEUE-ID")
        self._for_many("retry", self.retry, "try again at once", by_group=True)
        hold = self._for_many("hold", self.hold, "try no more until it is released")
        hold.add_argument("--reason", default="", help="kept with the message and its story")
        self._for_many("release", self.release, "let held messages go on")
        self._for_many("fail", self.fail, "give up and tell the sender", by_group=True)
        self._for_many("drop", self.drop, "give up and tell nobody")

    def subjects(self, verb: str, options: dict[str, Any]) -> list[QueuedMessage]:
        return [services.by_reference(number) for number in options.get("numbers", ())]

    def _for_many(self, name: str, run: Callable[..., None], help: str, *, by_group: bool = False) -> ArgumentParser:
        parser = self.verb(name, run, help)
        parser.add_argument("numbers", nargs="*" if by_group else "+", metavar="QUEUE-ID")
        if by_group:
            parser.add_argument("--for", dest="destination", metavar="DOMAIN", help="all that waits for it instead")
            parser.add_argument("--cause", help="with --for: what waits for this cause alone, as `queue causes` has it")
        return parser

    def list_waiting(self, words: list[str], settled: bool, limit: int, **_: object) -> None:
        if len(words) > parameters.MOST_WORDS:
            raise CommandError(f"Search for less: {parameters.MOST_WORDS} words at most.")
        recipients = _recipients(services.find(words, settled=settled), settled=settled)
        rows = [self._row(recipient) for recipient in recipients[:limit]]
        if not rows:
            self.stdout.write("The queue is empty." if not words else "Nothing in the queue fits.")
            return
        self.table(("QUEUE ID", "FROM", "TO", "STATE", "TRIES", "NEXT TRY", "LAST WORD"), rows)
        if more := recipients.count() - len(rows):
            self.stdout.write(f"… and {more} more; --limit {limit + more} shows all.")

    def causes(self, **_: object) -> None:
        found = groups.waiting(QueuedMessage.objects.all())
        self.stdout.write(found.headline)
        for group in found.groups:
            word = f" [{group.cause}]" if group.cause else ""
            self.stdout.write(f"{group.count:6}  {group.destination}: {group.why}{word}")
            for more in filter(None, (group.advice, group.said)):
                self.stdout.write(f"{'':8}{more}")
        if found.more:
            self.stdout.write(f"{found.more:6}  more, for other destinations")
        for held in found.held:
            self.stdout.write(f"{held.count:6}  held: {held.reason}")

    def show(self, number: str, **_: object) -> None:
        message = services.by_reference(number)
        self.stdout.write(f"{message.reference} from <{message.reverse_path}>, {message.size_octets} octets")
        self.stdout.write(f"came {_time(message.created_at)}, is tried until {_time(message.expires_at)}")
        if message.held_at:
            self.stdout.write(f"held since {_time(message.held_at)}: {message.hold_reason}")
        self.stdout.write("")
        self.table(
            ("QUEUE ID", "FROM", "TO", "STATE", "TRIES", "NEXT TRY", "LAST WORD"),
            [self._row(recipient) for recipient in message.recipients.select_related("message").order_by("pk")],
        )
        for attempt in DeliveryAttempt.objects.filter(recipient__message=message).select_related("recipient"):
            self._attempt(attempt)
        self._story(message)

    def retry(self, numbers: list[str], destination: str | None, cause: str | None, **_: object) -> None:
        if destination:
            found = groups.retry(QueuedMessage.objects.all(), _domain(destination), cause, at_once=None)
            self._note(found, f"manage.py queue retry --for {destination}")
            self._say(found.count, "due at once")
        else:
            self._say(services.retry(_ids(_named(numbers))), "due at once")

    def hold(self, numbers: list[str], reason: str, **_: object) -> None:
        self._say(services.hold(_ids(numbers), reason or f"by {WHO}"), "held")

    def release(self, numbers: list[str], **_: object) -> None:
        self._say(services.release(_ids(numbers)), "released")

    def fail(self, numbers: list[str], destination: str | None, cause: str | None, **_: object) -> None:
        done = "failed, their senders told"
        if destination:
            found = groups.fail(QueuedMessage.objects.all(), _domain(destination), cause, WHO, at_once=None)
            self._note(found, f"manage.py queue fail --for {destination}")
            self._say(found.count, done)
        else:
            self._say(services.fail(_ids(_named(numbers)), WHO), done)

    def drop(self, numbers: list[str], **_: object) -> None:
        self._say(services.drop(_ids(numbers), WHO), "dropped")

    def _note(self, found: groups.Done, what: str) -> None:
        for part in slices(found.message_ids):
            history.note_all(QueuedMessage.objects.filter(pk__in=part), what, history.shell())

    def _say(self, count: int, what: str) -> None:
        self.stdout.write(f"{count} {'message' if count == 1 else 'messages'} {what}.")

    def _row(self, recipient: QueuedRecipient) -> tuple[str, ...]:
        message = recipient.message
        word = message.hold_reason if message.held_at else recipient.last_reply
        return (
            message.reference,
            f"<{message.reverse_path}>",
            recipient.forward_path,
            _state(recipient),
            str(recipient.attempt_count),
            _next_try(recipient),
            " ".join(word.split())[:100],
        )

    def _attempt(self, attempt: DeliveryAttempt) -> None:
        where = f"{attempt.remote_host} [{attempt.remote_address}]" if attempt.remote_address else "no host"
        outcome = ", ".join(filter(None, (attempt.outcome or "under way", attempt.tls)))
        self.stdout.write(f"\n{_time(attempt.started_at)} {attempt.recipient.forward_path} at {where}: {outcome}")
        self.stdout.write("\n".join(f"    {line}" for line in (attempt.dialog or attempt.reply).splitlines()))

    def _story(self, message: QueuedMessage) -> None:
        story = Story.objects.filter(pk=message.story_id).first() if message.story_id else None
        if story is None:
            return
        self.stdout.write("\nThe story:")
        for line in timeline.tell(story):
            if line.kind != "attempt":
                self.stdout.write(f"    {_time(line.at)} {line.title} {' '.join(line.text.split())}".rstrip())


def _recipients(messages: QuerySet[QueuedMessage], *, settled: bool) -> QuerySet[QueuedRecipient]:
    rows = QueuedRecipient.objects.filter(message__in=messages).select_related("message")
    rows = rows if settled else rows.filter(settled_at=None)
    return rows.order_by("message_id", "pk")


def _domain(destination: str) -> str:
    """As the queue has it; of an address literal as it was typed."""
    try:
        return read_domain(destination)
    except AddressError:
        return destination.strip().lower()


def _named(numbers: list[str]) -> list[str]:
    if not numbers:
        raise ChangeRefused("Name queue ids, or a destination: --for example.org")
    return numbers


def _ids(numbers: list[str]) -> list[int]:
    return [services.by_reference(number).pk for number in numbers]


def _state(recipient: QueuedRecipient) -> str:
    if recipient.settled_at is None and recipient.message.held_at:
        return "held"
    if recipient.claim_token and recipient.settled_at is None:
        return "under way"
    return str(recipient.state)


def _next_try(recipient: QueuedRecipient) -> str:
    if recipient.settled_at or recipient.next_attempt_at is None or recipient.claim_token:
        return ""
    return "now" if recipient.next_attempt_at <= datetime.now(UTC) else _time(recipient.next_attempt_at)


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
