from typing import Any

from mailsuite.directory import services
from mailsuite.directory.command import SubcommandCommand
from mailsuite.directory.models import Alias
from mailsuite.directory.services import parsing


class Command(SubcommandCommand):
    help = "Makes, lists and removes aliases: addresses, catch-alls (@example.org), patterns (sales-*@example.org)."

    def add_verbs(self) -> None:
        add = self.verb("add", self.add, "Have mail for ADDRESS go to the targets, here or elsewhere.")
        add.add_argument("address")
        add.add_argument("targets", nargs="+", metavar="target")
        add.add_argument("--no-sending", action="store_true", help="members may not send as this address")
        self.verb("remove", self.remove, "Remove an alias.").add_argument("address")
        self.verb("list", self.list, "List the aliases.").add_argument("domain", nargs="?", default="")

    def add(self, address: str, targets: list[str], no_sending: bool, **options: Any) -> None:
        services.add_alias(address, targets, members_may_send=False if no_sending else None)
        self.stdout.write(f"{address} leads to {', '.join(targets)}.")

    def remove(self, address: str, **options: Any) -> None:
        services.remove_alias(address)
        self.stdout.write(f"The alias {address} is removed.")

    def list(self, domain: str, **options: Any) -> None:
        aliases = Alias.objects.prefetch_related("targets")
        if domain:
            aliases = aliases.filter(domain=parsing.live_domain(domain))
        self.table(
            ("ALIAS", "KIND", "STATE", "TARGETS"),
            [
                (row.address, row.kind, "on" if row.is_active else "off", ", ".join(map(str, row.targets.all())))
                for row in aliases
            ],
        )
