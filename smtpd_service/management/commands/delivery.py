import asyncio
import textwrap
from contextlib import aclosing
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from mailsuite.adminkit.command import SubcommandCommand
from mailsuite.mail.address import AddressError, parse_address
from smtpd_service.probe.live import default_sender, probe_live
from smtpd_service.probe.stage import Stage, Tone

WORDS = {Tone.GOOD: "ok", Tone.NOTE: "note", Tone.WARNING: "WARN", Tone.BAD: "BAD"}
INDENT = " " * 6


class Command(SubcommandCommand):
    help = "Shows what mail to others would meet."

    def add_verbs(self) -> None:
        test = self.verb("test", self.test, "Try a delivery stage by stage, without sending anything.")
        test.add_argument("target", metavar="ADDRESS", help="an address, or a domain alone")
        test.add_argument("--from", dest="sender", default="", metavar="ADDRESS", help="who asks, for MAIL FROM")
        test.add_argument("--brief", action="store_true", help="without what was said and found in detail")

    def test(self, target: str, sender: str, brief: bool, **options: Any) -> None:
        if sender:
            try:
                parse_address(sender)
            except AddressError as error:
                raise CommandError(f"{sender!r} can't be a sender: {error}.") from None
        last = asyncio.run(self._tell(target, sender or default_sender(settings.MAILSUITE), brief=brief))
        if last.tone is Tone.BAD:
            raise CommandError("Mail would not get through.", returncode=1)
        if last.tone is Tone.WARNING:
            raise CommandError("Look at what is marked WARN.", returncode=2)

    async def _tell(self, target: str, sender: str, *, brief: bool) -> Stage:
        """Writes each stage when it comes; returns the last one."""
        async with aclosing(probe_live(target, settings.MAILSUITE, sender)) as stages:
            async for stage in stages:
                self._write(stage, brief=brief)
        return stage

    def _write(self, stage: Stage, *, brief: bool) -> None:
        where = f" {stage.host}" if stage.host else ""
        took = f" ({stage.milliseconds} ms)" if stage.milliseconds else ""
        self.stdout.write(f"{WORDS[stage.tone]:5} {stage.title}{where}{took}")
        self.stdout.write(textwrap.fill(stage.text, 100, initial_indent=INDENT, subsequent_indent=INDENT))
        for line in () if brief else stage.details:
            self.stdout.write(f"{INDENT}  {line}")
        self.stdout.flush()
