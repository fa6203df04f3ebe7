import asyncio
import os
import sys
from argparse import ArgumentParser
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from mailsuite.adminkit.command import SubcommandCommand
from mailsuite.directory.models import Mailbox
from mailsuite.directory.resolution import Resolution
from mailsuite.ids import reference
from mailsuite.mail.address import AddressError, address_key, parse_path
from mailsuite.mail.address import Path as SmtpPath
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.mail.header import normalize_line_ends
from mailsuite.pipeline.direct import DirectDirectory, DirectStore
from mailsuite.pipeline.doors import Outcome, receive, submit
from mailsuite.pipeline.parties import Client, Submitter
from mailsuite.pipeline.transaction import Services
from mailsuite.server.octets import OctetBudget
from smtpd_service.daemon import make_services


class _Directory(DirectDirectory):
    async def resolve(self, path: SmtpPath) -> Resolution:
        # What was begun about the sender takes its first steps meanwhile, as it does while a client speaks.
        await asyncio.sleep(0.01)
        return await super().resolve(path)


class Command(SubcommandCommand):
    help = "Brings a message in from a file, by the rules that hold for SMTP, without a connection."

    def add_verbs(self) -> None:
        received = self.verb("receive", self.receive, "Take a message as another host would bring it.")
        _add_message(received)
        received.add_argument(
            "--from", dest="sender", default="", metavar="ADDRESS", help="MAIL FROM, a bounce without"
        )
        received.add_argument("--client", default="127.0.0.1", metavar="IP", help="whose address SPF and lists go by")
        received.add_argument("--hello", default="localhost", metavar="NAME", help="what that host calls itself")
        submitted = self.verb("submit", self.submit, "Take a message as a program of one of our users would submit it.")
        _add_message(submitted)
        submitted.add_argument("--as", dest="owner", required=True, metavar="ADDRESS", help="whose mailbox writes")

    def receive(self, file: str, to: list[str], sender: str, client: str, hello: str, **options: Any) -> None:
        octets, recipients = normalize_line_ends(_read(file)), [_recipient(one) for one in to]
        envelope = Envelope(str(_path(sender)))
        self._say(_run(receive(_services(), envelope, recipients, octets, Client(client, "command", hello, True))))

    def submit(self, file: str, to: list[str], owner: str, **options: Any) -> None:
        octets, recipients = _read(file), [_recipient(one) for one in to]
        mailbox = Mailbox.objects.filter(address_key=address_key(str(_path(owner))), removed_at=None).first()
        if mailbox is None:
            raise CommandError(f"There is no mailbox {owner}. The list is: manage.py mailbox list")
        submitter = Submitter(mailbox.user_id, mailbox.address, mailbox.pk, mailbox.domain_id)
        self._say(_run(submit(_services(), Envelope(mailbox.address), recipients, octets, submitter)))

    def _say(self, outcome: Outcome) -> None:
        for path, reply in outcome.refused.items():
            self.stderr.write(f"{path}: {reply}")
        if outcome.story_id is None:
            raise CommandError(f"It is not taken: {outcome.reply}")
        self.stdout.write(f"Taken. What became of it: manage.py trace {reference(outcome.story_id)}")


def _add_message(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the message, header and text; - for standard input")
    parser.add_argument("--to", action="append", required=True, metavar="ADDRESS", help="a recipient; may be repeated")


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"{file} can't be read: {error.strerror}.") from None


def _path(address: str) -> SmtpPath:
    try:
        return parse_path(f"<{address}>")
    except AddressError as error:
        raise CommandError(f"{address!r} is no address: {error}.") from None


def _recipient(address: str) -> EnvelopeRecipient:
    return EnvelopeRecipient(str(_path(address)))


def _services() -> Services:
    # Whoever may run this is vouched for, and writes by itself: the suite need not be running.
    services = make_services(settings.MAILSUITE, DirectStore(), OctetBudget())
    return replace(services, directory=_Directory())


def _run(door: Awaitable[Outcome]) -> Outcome:
    # The look-ups of one message hold up nobody else in this loop.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    return asyncio.run(_through(door))


async def _through(door: Awaitable[Outcome]) -> Outcome:
    outcome = await door
    # What was asked about a message that did not come has a turn to end.
    await asyncio.sleep(0)
    return outcome
