"""Our side of the bench: the whole suite as `manage.py up` starts it, with the peer's mailboxes and aliases."""

import os
import sys
import tempfile
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

# What asks the suite whether it is ready knows its models; the secret that settings make shall not stay.
_data = tempfile.TemporaryDirectory(prefix="mailsuite-bench-settings-")
os.environ |= {"DJANGO_SETTINGS_MODULE": "mailsuite.settings", "MAILSUITE_DATA": _data.name}
django.setup()

from peer import DOMAIN, MAILBOXES, PASSWORD  # noqa: E402
from running_suite import Suite  # noqa: E402

# By the ORM rather than by the command: thousands of aliases, whose adding is not what is measured.
FILL = """
from mailsuite.directory.models import Alias, AliasTarget, Domain
domain = Domain.objects.get(name="{domain}")
names = ["%du@{domain}" % number for number in range({aliases})]
made = Alias.objects.bulk_create(Alias(domain=domain, address=name, address_key=name) for name in names)
targets = ["u%d@{domain}" % (number % {mailboxes}) for number in range({aliases})]
AliasTarget.objects.bulk_create(
    AliasTarget(alias=alias, address=target, address_key=target) for alias, target in zip(made, targets)
)
"""


class Ours:
    name = "Mailsuite"

    def __init__(self, folder: Path, aliases: int, **environment: str) -> None:
        self.suite = Suite(folder, environment)
        self._aliases = aliases

    @property
    def ports(self) -> dict[str, int]:
        return {name: self.suite.port(name.upper()) for name in ("smtp", "submissions", "imap", "imaps", "pop3")}

    def start(self) -> None:
        self.suite.start()
        self.suite.add_domain(DOMAIN)
        rows = "".join(f"u{number}@{DOMAIN},{PASSWORD}\n" for number in range(MAILBOXES))
        table = self.suite.data.parent / "mailboxes.csv"
        table.write_text(rows)
        self.suite.manage("mailbox", "import", str(table), "--weak-password-ok")
        code = FILL.format(domain=DOMAIN, aliases=self._aliases, mailboxes=MAILBOXES)
        self.suite.manage("shell", "-c", code)

    def stop(self) -> None:
        self.suite.stop()
        if self.suite.dns:
            self.suite.dns.stop()

    def pids(self) -> list[int]:
        return self.suite.processes()


def proportional_memory(pids: list[int]) -> float:
    """MB of the processes' memory, shared pages counted once (PSS)."""
    total = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024
