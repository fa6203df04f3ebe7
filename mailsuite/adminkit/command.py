"""What the commands of all rooms share: sub-commands, passwords, and refusals told in one line."""

import getpass
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.db.models import Model

from mailsuite.directory import history
from mailsuite.errors import ChangeRefused
from mailsuite.protocol.credential_text import credential_text

# Arguments beside the row itself that its history shall name; none of them can hold a password.
TOLD = ("new_address", "quota", "targets", "owner", "as_address", "alias_of", "addresses", "reason", "note")
# Octets of a password that is read; no password is as long.
MOST_SECRET = 1 << 16
MUST_CHANGE = "have the web pages ask for another password at the first sign-in; mail programs can use this one"


class SubcommandCommand(BaseCommand):
    """`manage.py thing verb …`: each verb registers its own arguments and the method that does it."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        self._verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        self.add_verbs()

    def add_verbs(self) -> None:
        """Has each verb registered, by `verb`."""
        raise NotImplementedError

    def verb(self, name: str, run: Callable[..., None], help: str) -> ArgumentParser:
        """Registers one that `run` does, and returns its parser for more arguments."""
        parser: ArgumentParser = self._verbs.add_parser(name, help=help, description=help)
        parser.set_defaults(run=run)
        return parser

    def handle(self, *args: Any, run: Callable[..., None], **options: Any) -> None:
        before = self._subjects(options)
        try:
            run(**options)
        except ChangeRefused as error:
            raise CommandError(str(error)) from None
        try:
            # What was removed is found before, what was made or renamed after.
            history.note_all(self._subjects(options) or before, self._told(options), history.shell())
        except DatabaseError as error:
            why = " ".join(str(error).split())
            raise CommandError(f"That is done, but the history could not be written: {why}") from None

    def subject(self, verb: str, options: dict[str, Any]) -> Model | None:
        """The row that the verb changes, whose history tells it; None for one that only shows."""
        return None

    def subjects(self, verb: str, options: dict[str, Any]) -> Sequence[Model]:
        """The same for verbs that change several."""
        row = self.subject(verb, options)
        return [] if row is None else [row]

    def _subjects(self, options: dict[str, Any]) -> Sequence[Model]:
        try:
            return self.subjects(options["verb"], options)
        except ChangeRefused:
            return []

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


def password_arguments(parser: ArgumentParser) -> None:
    """Adds the arguments that `read_password` goes by."""
    parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    parser.add_argument("--weak-password-ok", action="store_true", help="for test accounts")
    parser.add_argument("--must-change", action="store_true", help=MUST_CHANGE)


def read_password(password_stdin: bool, **options: Any) -> str:
    """A line of standard input, or what is typed twice at the terminal."""
    if password_stdin:
        return read_secret_line()
    if not sys.stdin.isatty():
        raise CommandError("Give the password on standard input, with --password-stdin.")
    try:
        password = getpass.getpass("Password: ")
        again = getpass.getpass("Again: ")
    except UnicodeDecodeError:
        raise CommandError(
            "The terminal sent what is no text in the system's character set: give the password on standard input, "
            "with --password-stdin."
        ) from None
    if password != again:
        raise CommandError("The two passwords differ: try again.")
    return password


def read_secret_line() -> str:
    """The first line of standard input. What is no UTF-8 is read as in a login (a script in the system's old code
    page), whatever Python takes the system's character set to be."""
    line: str | bytes = getattr(sys.stdin, "buffer", sys.stdin).readline(MOST_SECRET)
    octets = line.encode("utf-8", "surrogateescape") if isinstance(line, str) else line
    return credential_text(octets.rstrip(b"\r\n"))


def whole_number(most: int) -> Callable[[str], int]:
    """A reader of an argument that is a number from 1 to `most`."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,10}", text) or not 1 <= int(text) <= most:
            raise ArgumentTypeError(f"{text!r} is no whole number from 1 to {most}")
        return int(text)

    return read
