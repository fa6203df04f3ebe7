from typing import Any

from mailsuite.adminkit.command import SubcommandCommand, read_secret_line
from mailsuite.queue import routes
from mailsuite.queue.models import Route


class Command(SubcommandCommand):
    help = "Sends mail for some domains by a named host instead of by their MX."

    def add_verbs(self) -> None:
        add = self.verb("add", self.add, "Send mail for PATTERN by the host of a URL.")
        add.add_argument("pattern", help="example.org, *.example.org or * for everything")
        add.add_argument("url", help=routes.FORM)
        add.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password from standard input: others see a command's words",
        )
        self.verb("remove", self.remove, "Remove a route.").add_argument("pattern")
        self.verb("list", self.list, "List the routes.")

    def subject(self, verb: str, options: dict[str, Any]) -> Route | None:
        if verb == "list":
            return None
        return Route.objects.filter(pattern=routes.route_pattern(options["pattern"])).order_by("pk").last()

    def add(self, pattern: str, url: str, password_stdin: bool, **options: Any) -> None:
        password = read_secret_line() if password_stdin else ""
        route = Route.objects.get(pk=routes.add_route(pattern, url, password))
        self.stdout.write(f"Mail for {route}.")

    def remove(self, pattern: str, **options: Any) -> None:
        routes.remove_route(pattern)
        self.stdout.write(f"The route for {pattern} is removed.")

    def list(self, **options: Any) -> None:
        self.table(
            ("PATTERN", "BY", "USER", "STATE"),
            [
                (row.pattern, f"{row.scheme}://{row.host}:{row.port}", row.username, "on" if row.is_active else "off")
                for row in Route.objects.all()
            ],
        )
