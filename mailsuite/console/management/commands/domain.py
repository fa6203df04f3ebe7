from typing import Any

from django.conf import settings

from mailsuite.console.directory_command import DirectoryCommand
from mailsuite.directory import parsing
from mailsuite.directory.models import Domain, Mailbox
from mailsuite.provisioning import effects, restoring, services
from mailsuite.records.checking import check_domain
from mailsuite.records.page import title_of
from mailsuite.records.planning import records_of
from mailsuite.records.reporting import exit_status, next_step, score
from mailsuite.records.seen import Verdict
from mailsuite.records.setup import read_setup, zone_file
from mailsuite.sizes import write_limit


class Command(DirectoryCommand):
    help = "Hosts domains, and shows the DNS records that they need."

    def add_verbs(self) -> None:
        add = self.verb("add", self.add, "Host a domain, with DKIM keys, postmaster@ and abuse@.")
        add.add_argument("name")
        add.add_argument("--postmaster", default="", metavar="ADDRESS", help="who reads postmaster@ and abuse@")
        add.add_argument("--alias-of", default="", metavar="DOMAIN", help="make it another name of that domain")
        add.add_argument("--quota", default="", help=f"for its new mailboxes: 2G, none; else {_usual()}")
        add.add_argument("--description", default="")
        shown = self.verb("list", self.list, "List the domains.")
        shown.add_argument("--removed", action="store_true", help="those that can be restored")
        for name, run, text in (
            ("remove", self.remove, "Stop hosting a domain; for 30 days it can be restored with its mail."),
            ("restore", self.restore, "Bring a removed domain back with its mailboxes and aliases."),
            ("disable", self.disable, "Take no mail and let nobody sign in, for now."),
            ("enable", self.enable, "Undo disable."),
            ("check", self.check_records, "Show what DNS says now."),
        ):
            self.verb(name, run, text).add_argument("name")
        records = self.verb("records", self.records, "Show the DNS records to publish.")
        records.add_argument("name")
        records.add_argument("--zone", action="store_true", help="as lines of a zone file")

    def subject(self, verb: str, options: dict[str, Any]) -> Domain | None:
        if verb in ("list", "records", "check"):
            return None
        return Domain.objects.filter(name=parsing.domain_name(options["name"])).order_by("pk").last()

    def add(self, name: str, postmaster: str, alias_of: str, quota: str, description: str, **options: Any) -> None:
        domain_id = services.add_domain(
            name,
            postmaster=postmaster,
            alias_of=alias_of,
            description=description,
            default_quota_octets=parsing.quota(quota) if quota else None,
        )
        domain = Domain.objects.get(pk=domain_id)
        name, size = domain.name, write_limit(domain.default_quota_octets)
        self.stdout.write(
            f"{name} is hosted; the quota of its new mailboxes is {size}. Publish its DNS records: manage.py domain "
            f"records {name}"
        )

    def list(self, removed: bool, **options: Any) -> None:
        if removed:
            return self.removed(restoring.removed_domains())
        rows = []
        for domain in Domain.objects.exclude(state=Domain.State.REMOVED).select_related("alias_of"):
            count = domain.mailboxes.exclude(state=Mailbox.State.REMOVED).count()
            quota = write_limit(domain.default_quota_octets)
            rows.append((domain.name, domain.state, count, quota, domain.alias_of or "", domain.description))
        self.table(("DOMAIN", "STATE", "MAILBOXES", "QUOTA", "ALIAS OF", "DESCRIPTION"), rows)

    def remove(self, name: str, **options: Any) -> None:
        ways = effects.of_domain(parsing.live_domain(name))
        services.remove_domain(name)
        self.tell([f"{name} is no longer hosted.", *ways])

    def restore(self, name: str, **options: Any) -> None:
        found = services.restore_domain(restoring.find_removed_domain(name))
        self.stdout.write(f"{found.name} is hosted again; mailboxes: {found.mailboxes}, aliases: {found.aliases}.")
        for line in found.left:
            self.stderr.write(f"Not restored: {line}")

    def disable(self, name: str, **options: Any) -> None:
        services.set_domain_state(name, disabled=True)
        self.stdout.write(f"{name} takes no mail now.")

    def enable(self, name: str, **options: Any) -> None:
        services.set_domain_state(name, disabled=False)
        self.stdout.write(f"{name} takes mail.")

    def records(self, name: str, zone: bool, **options: Any) -> None:
        domain = parsing.live_domain(name)
        if zone:
            self.stdout.write(zone_file(domain), ending="")
            return
        setup = read_setup(domain)
        if setup.receives and setup.host_problem:
            self.stdout.write(f"{setup.host_problem}\n\n")
        unknown = "(none yet)" if setup.host_problem else "(the public address of this host)"
        for record in records_of(setup):
            value = record.value or unknown
            self.stdout.write(f"{record.type:5} {record.name}\n      {value}\n      {record.why}\n")

    def check_records(self, name: str, **options: Any) -> None:
        """Ends with 0 when all that is needed is there, 1 when something is missing or differs, 2 when DNS did not
        say."""
        findings = check_domain(parsing.live_domain(name)).findings
        rows = []
        for finding in findings:
            optional = finding.verdict is Verdict.MISSING and not finding.record.needed
            rows.append(
                ("optional" if optional else finding.verdict.value, finding.record.type, finding.record.name,
                 title_of(finding.record))
            )  # fmt: skip
        self.table(("VERDICT", "TYPE", "NAME", "WHAT"), rows)
        for finding in findings:
            if finding.sentence and (finding.record.needed or finding.verdict is not Verdict.MISSING):
                self.stdout.write(f"\n{finding.record.type} {finding.record.name}: {finding.sentence}")
                for where, side in (("its name servers", finding.own), ("public", finding.public)):
                    for value in side.values[:5] if finding.verdict is not Verdict.OK else ():
                        self.stdout.write(f"    now, {where}: {value}")
        points = score(findings)
        self.stdout.write(f"\nScore: {'not known' if points is None else f'{points} of 100'}")
        self.stdout.write(f"Next: {next_step(findings) or 'nothing, all is well'}")
        if status := exit_status(findings):
            raise SystemExit(status)


def _usual() -> str:
    return write_limit(settings.MAILSUITE.default_quota)
