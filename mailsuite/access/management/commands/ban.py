"""`manage.py ban …`: who is kept out, and who never is."""

from datetime import UTC, datetime
from typing import Any

from django.db.models import Q

from mailsuite.access import bans
from mailsuite.access.models import AllowedNetwork, Ban
from mailsuite.adminkit.command import SubcommandCommand


class Command(SubcommandCommand):
    help = "Keeps networks and guessers out, and lets them in again. It is in force within seconds."

    def add_verbs(self) -> None:
        listing = self.verb("list", self.list_bans, "bans in force, and networks that are never banned")
        listing.add_argument("--all", action="store_true", dest="ended", help="bans that have ended too")
        add = self.verb("add", self.add, "ban a network, or an account from all networks but its own")
        add.add_argument("subject", metavar="NETWORK-OR-ACCOUNT")
        add.add_argument("--days", type=float, help="how long; without it until it is lifted")
        add.add_argument("--note", default="", help="why")
        self.verb("lift", self.lift, "end a ban").add_argument("subject", metavar="NETWORK-OR-ACCOUNT")
        allow = self.verb("allow", self.allow, "never ban a network")
        allow.add_argument("network")
        allow.add_argument("--note", default="", help="why")
        self.verb("disallow", self.disallow, "treat a network like others again").add_argument("network")

    def subject(self, verb: str, options: dict[str, Any]) -> Ban | AllowedNetwork | None:
        if verb in ("add", "lift"):
            kind, subject = bans.parse_subject(options["subject"])
            return Ban.objects.filter(kind=kind, subject=subject).first()
        if verb in ("allow", "disallow"):
            return AllowedNetwork.objects.filter(network=str(bans.parse_network(options["network"]))).first()
        return None

    def list_bans(self, ended: bool, **_: object) -> None:
        bans = Ban.objects.order_by("-started_at")
        if not ended:
            bans = bans.filter(Q(ends_at=None) | Q(ends_at__gt=datetime.now(UTC)))
        rows = [
            (one.subject, one.reason, _time(one.started_at), _time(one.ends_at), one.count, one.refused_count, one.note)
            for one in bans
        ]
        if rows:
            self.table(("WHO", "REASON", "SINCE", "UNTIL", "TIMES", "REFUSED", "NOTE"), rows)
        else:
            self.stdout.write("Nobody is banned.")
        if allowed := ", ".join(AllowedNetwork.objects.values_list("network", flat=True)):
            self.stdout.write(f"Never banned: {allowed}")

    def add(self, subject: str, days: float | None, note: str, **_: object) -> None:
        ends_at = bans.ends_after(days) if days is not None else None
        row = bans.ban(subject, reason=Ban.Reason.BY_HAND, ends_at=ends_at, note=note or "by the command line")
        self.stdout.write(f"{row.subject} is banned until {_time(row.ends_at)}.")

    def lift(self, subject: str, **_: object) -> None:
        bans.lift(subject)
        self.stdout.write(f"{subject} may come in again.")

    def allow(self, network: str, note: str, **_: object) -> None:
        bans.allow(network, note)
        self.stdout.write(f"{network} is never banned from now on.")

    def disallow(self, network: str, **_: object) -> None:
        bans.disallow(network)
        self.stdout.write(f"{network} may be banned like others.")


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "it is lifted"
