"""`manage.py alarms …`: who is told of alarms, and whether that works."""

from datetime import UTC, datetime
from typing import Any

from mailsuite.abuse import telling
from mailsuite.abuse.models import AlarmSettings
from mailsuite.adminkit.command import SubcommandCommand


class Command(SubcommandCommand):
    help = "Says who is told of alarms, held mail, DNS records that got worse and a certificate that ends."

    def add_verbs(self) -> None:
        self.verb("show", self.show, "who is told now")
        tell = self.verb("tell", self.tell, "tell these addresses, on other hosts too; none leaves it to postmaster@")
        tell.add_argument("addresses", metavar="ADDRESS", nargs="*")
        self.verb("test", self.test, "send them a test alarm")

    def subject(self, verb: str, options: dict[str, Any]) -> AlarmSettings | None:
        return AlarmSettings.objects.filter(pk=1).first() if verb == "tell" else None

    def show(self, **_: object) -> None:
        named, readers = telling.named(), telling.readers()
        if not readers:
            self.stdout.write(f"Nobody is told: {telling.NOBODY}\nName somebody: manage.py alarms tell you@example.net")
        else:
            why = "" if named else ", by postmaster@ and the administrators' mailboxes: nobody is named"
            self.stdout.write(f"Alarms go to {', '.join(readers)}{why}.")
        for address, reply in telling.refused().items():
            self.stdout.write(f"The last alarm to {address} was refused: {reply}")

    def tell(self, addresses: list[str], **_: object) -> None:
        telling.name(addresses)
        self.show()

    def test(self, **_: object) -> None:
        to = ", ".join(telling.test(datetime.now(UTC)))
        self.stdout.write(f"A test alarm goes to {to}. Whether it arrived: manage.py trace 'A test alarm'")
