"""What the commands of all rooms share: sub-commands, passwords, and refusals told in one line."""

import getpass
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Model, QuerySet

from mailsuite.directory import history
from mailsuite.directory.errors import DirectoryError
from mailsuite.directory.models import KEPT_REMOVED, Alias, Domain, Mailbox
from mailsuite.protocol.credential_text import credential_text

# Arguments beside the row itself that its history shall name; none of them can hold a password.
TOLD = ("new_address", "quota", "targets", "owner", "as_address", "alias_of")
MUST_CHANGE = "have the web pages ask for another password at the first sign-in; mail programs can use this one"


class SubcommandCommand(BaseCommand):
    """`manage.py thing verb …`: each verb registers its own arguments and the method that does it."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        self._verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        self.add_verbs()

    def add_verbs(self) -> None:
        raise NotImplementedError

    def verb(self, name: str, run: Callable[..., None], help: str) -> ArgumentParser:
        parser: ArgumentParser = self._verbs.add_parser(name, help=help, description=help)
        parser.set_defaults(run=run)
        return parser

    def handle(self, *args: Any, run: Callable[..., None], **options: Any) -> None:
        before = self._subject(options)
        try:
            run(**options)
        except DirectoryError as error:
            raise CommandError(str(error)) from None
        # What was removed is found before, what was made or renamed after.
        if row := self._subject(options) or before:
            history.note(row, self._told(options), history.shell())

    def subject(self, verb: str, options: dict[str, Any]) -> Model | None:
        """The row that the verb changes, whose history tells it; None for one that only shows."""
        return None

    def _subject(self, options: dict[str, Any]) -> Model | None:
        try:
            return self.subject(options["verb"], options)
        except DirectoryError:
            return None

    def _told(self, options: dict[str, Any]) -> str:
        """The command in words, without what may be secret."""
        program = self.__class__.__module__.rpartition(".")[2]
        given = [options.get(name) or () for name in TOLD]
        words = [word for value in given for word in ([value] if isinstance(value, str) else value)]
        return " ".join([f"manage.py {program} {options['verb']}", *words])

    def table(self, heading: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Writes columns as wide as what they hold."""
        lines = [[str(cell) for cell in row] for row in (heading, *rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


class DirectoryCommand(SubcommandCommand):
    """What the commands for mailboxes, domains and aliases share."""

    def tell(self, lines: Sequence[str]) -> None:
        self.stdout.write("\n".join(lines))

    def removed(self, rows: "QuerySet[Mailbox] | QuerySet[Domain] | QuerySet[Alias]") -> None:
        """What can be restored, the latest removal first."""
        self.table(
            ("ID", "REMOVED", "REMOVED AT", "KEPT UNTIL"),
            [
                (row.pk, row, f"{row.removed_at:%Y-%m-%d %H:%M}", f"{row.removed_at + KEPT_REMOVED:%Y-%m-%d %H:%M}")
                for row in rows.iterator()
                if row.removed_at
            ],
        )


def password_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    parser.add_argument("--weak-password-ok", action="store_true", help="for test accounts")
    parser.add_argument("--must-change", action="store_true", help=MUST_CHANGE)


def read_password(password_stdin: bool, **options: Any) -> str:
    """A line of standard input, or what is typed twice at the terminal."""
    if password_stdin:
        # What is no UTF-8 is read as in a login (a terminal of the system's old code page, a script of such a file).
        return credential_text(sys.stdin.readline().rstrip("\r\n").encode("utf-8", "surrogateescape"))
    if not sys.stdin.isatty():
        raise CommandError("Give the password on standard input, with --password-stdin.")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Again: "):
        raise CommandError("The two passwords differ: try again.")
    return password
