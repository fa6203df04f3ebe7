"""What the commands of all rooms share: sub-commands, and refusals told in one line."""

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mailsuite.directory.errors import DirectoryError


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
        try:
            run(**options)
        except DirectoryError as error:
            raise CommandError(str(error)) from None

    def table(self, heading: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Writes columns as wide as what they hold."""
        lines = [[str(cell) for cell in row] for row in (heading, *rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
