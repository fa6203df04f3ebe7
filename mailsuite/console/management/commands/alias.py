from typing import Any

from django.db.models import Prefetch

from mailsuite.console.directory_command import DirectoryCommand
from mailsuite.directory import parsing
from mailsuite.directory.models import Alias, AliasTarget
from mailsuite.provisioning import effects, restoring, services


class Command(DirectoryCommand):
    help = "Makes, lists and removes aliases: addresses, catch-alls (@example.org), patterns (sales-*@example.org)."

    def add_verbs(self) -> None:
        add = self.verb("add", self.add, "Have mail for ADDRESS go to the targets, here or elsewhere.")
        add.add_argument("address")
        add.add_argument("targets", nargs="+", metavar="target")
        add.add_argument("--no-sending", action="store_true", help="members may not send as this address")
        self.verb("remove", self.remove, "Remove an alias; for 30 days it can be restored.").add_argument("address")
        self.verb("restore", self.restore, "Bring a removed alias back.").add_argument("address")
        shown = self.verb("list", self.list, "List the aliases.")
        shown.add_argument("domain", nargs="?", default="")
        shown.add_argument("--removed", action="store_true", help="those that can be restored")

    def subject(self, verb: str, options: dict[str, Any]) -> Alias | None:
        if verb == "list":
            return None
        return Alias.objects.filter(address_key=parsing.alias(options["address"])[1]).order_by("pk").last()

    def add(self, address: str, targets: list[str], no_sending: bool, **options: Any) -> None:
        services.add_alias(address, targets, members_may_send=False if no_sending else None)
        self.stdout.write(f"{address} leads to {', '.join(targets)}.")

    def remove(self, address: str, **options: Any) -> None:
        ways = effects.of_alias(parsing.live_alias(address))
        services.remove_alias(address)
        self.tell([f"The alias {address} is removed.", *ways])

    def restore(self, address: str, **options: Any) -> None:
        restored = services.restore_alias(restoring.find_removed_alias(address))
        self.stdout.write(f"The alias {restored} is there again.")

    def list(self, domain: str, removed: bool, **options: Any) -> None:
        if removed:
            rows = restoring.removed_aliases()
            return self.removed(rows.filter(domain__name=parsing.domain_name(domain)) if domain else rows)
        aliases = Alias.objects.filter(removed_at=None).exclude(kind=Alias.Kind.FORWARD)
        aliases = aliases.prefetch_related(Prefetch("targets", AliasTarget.objects.filter(removed_at=None)))
        if domain:
            aliases = aliases.filter(domain=parsing.live_domain(domain))
        self.table(
            ("ALIAS", "KIND", "STATE", "TARGETS"),
            [
                (row.address, row.kind, "on" if row.is_active else "off", ", ".join(map(str, row.targets.all())))
                for row in aliases
            ],
        )
