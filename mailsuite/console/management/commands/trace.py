import shlex
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mailsuite.adminkit import parameters
from mailsuite.adminkit.command import whole_number
from mailsuite.console.stories import search, timeline
from mailsuite.console.stories.findings import Findings, findings
from mailsuite.trace import fates


class Command(BaseCommand):
    help = (
        "Tells the story of a message. WORDS are a queue id, an address, a Message-ID, a day (2026-11-23), a domain, "
        "an outcome (refused), or a part of the subject; all of them must fit."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("words", nargs="+")
        parser.add_argument("--limit", type=whole_number(10_000), default=20, help="messages at most (default 20)")

    def handle(self, *args: Any, words: list[str], limit: int, **options: Any) -> None:
        if len(words) > parameters.MOST_WORDS:
            raise CommandError(f"Search for less: {parameters.MOST_WORDS} words at most.")
        stories = search.find(shlex.join(words), limit=limit)
        if not stories:
            raise CommandError("No message fits. Try fewer words, an address, or a day such as 2026-11-23.")
        shares = fates.of_stories(stories, None)
        for story in stories[1:]:
            became = " and ".join(f"{one.count} {one.fate}" for one in shares.get(story.pk, ())) or story.outcome
            self.stdout.write(f"{story.reference}  {story.at:%Y-%m-%d %H:%M}  {became:8}  {story.whose}  {story.what}")
        if len(stories) > 1:
            self.stdout.write("")
        self._tell(stories[0])

    def _tell(self, story: Any) -> None:
        self.stdout.write(f"{story.reference}  {timeline.origin(story)}  {story.whose}")
        for label, text in (("Subject", story.subject), ("From", story.from_text), ("Message-ID", story.message_id)):
            if text:
                self.stdout.write(f"  {label}: {text}")
        for answer in fates.answers(story, None):
            self.stdout.write(f"  {answer.headline}{f' [{answer.reason}]' if answer.reason else ''}")
            for more in filter(None, (answer.advice, answer.said)):
                self.stdout.write(f"    {more}")
        for line in timeline.tell(story):
            self.stdout.write(f"{line.at:%Y-%m-%d %H:%M:%S}  {line.title}  {line.text}".rstrip())
            for detail in line.detail.splitlines():
                self.stdout.write(f"{'':21}{detail}")
        if found := findings(story):
            self._tell_findings(found)

    def _tell_findings(self, found: Findings) -> None:
        """The verdict first, since it is what people ask for; then what it rests on."""
        for verdict in found.verdicts:
            self.stdout.write(f"  {', '.join((*verdict.addresses, verdict.sentence))}")
            for detail in verdict.details:
                self.stdout.write(f"    {detail}")
        for check in found.checks:
            self.stdout.write(f"  {check.name}: {check.result}{f', {check.text}' if check.text else ''}")
        for question in found.questions:
            self.stdout.write(f"    DNS: {question}")
