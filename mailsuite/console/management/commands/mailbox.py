from typing import Any

from django.core.management.base import CommandError

from mailsuite.adminkit.command import MUST_CHANGE, password_arguments, read_password
from mailsuite.console.directory_command import DirectoryCommand
from mailsuite.directory import history, parsing
from mailsuite.directory.models import Alias, Mailbox
from mailsuite.provisioning import effects, restoring, services, suspension
from mailsuite.provisioning.mailbox_import import import_mailboxes
from mailsuite.sizes import write_limit

IMPORT = (
    "Make many from a CSV file: address,password[,quota[,name]]. Passwords in clear, no hashes; blanks around a field "
    "don't count."
)


class Command(DirectoryCommand):
    help = "Makes, lists and changes mailboxes."

    def add_verbs(self) -> None:
        add = self.verb("add", self.add, "Make a mailbox, and its account unless that is there already.")
        add.add_argument("address")
        add.add_argument("--quota", default="", help="such as 1G or none; the domain's when not given")
        add.add_argument("--name", default="", help="the person's name")
        add.add_argument("--owner", default="", metavar="ADDRESS", help="another account that shall own it")
        password_arguments(add)
        password = self.verb("password", self.password, "Set the password of a mailbox's account.")
        password.add_argument("address")
        password_arguments(password)
        for name, run, text in (
            ("suspend", self.suspend, "Refuse logins, end sessions, hold its mail in the queue; mail to it is taken."),
            ("resume", self.resume, "Undo suspend; what is held stays held."),
            ("revoke-app-passwords", self.revoke_app_passwords, "Void all app passwords of its account."),
            ("release-held", self.release_held, "Send its mail that is held in the queue."),
            ("drop-held", self.drop_held, "Drop its mail that is held in the queue, telling nobody."),
            ("remove", self.remove, "Make it unknown; for 30 days it can be restored with its mail."),
        ):
            self.verb(name, run, text).add_argument("address")
        quota = self.verb("quota", self.quota, "Change a mailbox's quota.")
        quota.add_argument("address")
        quota.add_argument("quota", help="such as 1G or none")
        restore = self.verb("restore", self.restore, "Bring a removed mailbox back with its mail and account.")
        restore.add_argument("address")
        restore.add_argument("--as", dest="as_address", default="", metavar="ADDRESS", help="under another address")
        restore.add_argument("--owner", default="", metavar="ADDRESS", help="give it to an account that is there")
        restore.add_argument("--id", type=int, help="one of several with this address, by its id in list --removed")
        forward = self.verb("forward", self.forward, "Send its mail on to other addresses; without any, show where to.")
        forward.add_argument("address")
        forward.add_argument("targets", nargs="*", metavar="target")
        keep = forward.add_mutually_exclusive_group()
        keep.add_argument("--keep", action="store_true", default=True, help="and keep a copy (this is the default)")
        keep.add_argument("--no-keep", action="store_false", dest="keep", help="and keep none")
        keep.add_argument("--stop", action="store_true", help="keep its mail to itself again")
        rename = self.verb("rename", self.rename, "Give it another address; the old one stays as an alias.")
        rename.add_argument("address")
        rename.add_argument("new_address", metavar="new-address")
        shown = self.verb("list", self.list, "List the mailboxes.")
        shown.add_argument("domain", nargs="?", default="")
        shown.add_argument("--removed", action="store_true", help="those that can be restored")
        load = self.verb("import", self.load, IMPORT)
        load.add_argument("file", help="- for standard input")
        load.add_argument("--weak-password-ok", action="store_true", help="for test accounts")
        load.add_argument("--must-change", action="store_true", help=MUST_CHANGE)

    def subject(self, verb: str, options: dict[str, Any]) -> Mailbox | None:
        if verb in ("list", "import") or (verb == "forward" and not (options["targets"] or options["stop"])):
            return None
        address = options.get("as_address") or options.get("new_address") or options["address"]
        return Mailbox.objects.filter(address_key=parsing.address(address).key).order_by("pk").last()

    def add(
        self,
        address: str,
        quota: str,
        name: str,
        owner: str,
        weak_password_ok: bool,
        must_change: bool,
        **options: Any,
    ) -> None:
        parsing.own_domain(parsing.address(address).domain)
        if owner and options["password_stdin"]:
            raise CommandError(f"The account {owner} keeps its password: leave --password-stdin out.")
        account = owner or (address if services.joins_account(address) and not options["password_stdin"] else "")
        mailbox_id = services.add_mailbox(
            address,
            "" if account else read_password(**options),
            name=name,
            quota_octets=parsing.quota(quota) if quota else None,
            owner=owner,
            weak_password_ok=weak_password_ok,
            must_change=must_change,
        )
        kept = f" It belongs to the account {account}, which keeps its password." if account else ""
        size = write_limit(Mailbox.objects.get(pk=mailbox_id).quota_octets)
        self.stdout.write(f"{address} is ready; its quota: {size}.{kept}")
        if roles := effects.roles_read_by(address):
            self.stdout.write(f"It gets the mail of {', '.join(roles)} as well: change that with manage.py alias.")

    def password(self, address: str, weak_password_ok: bool, must_change: bool, **options: Any) -> None:
        services.set_password(
            address, read_password(**options), weak_password_ok=weak_password_ok, must_change=must_change
        )
        self.stdout.write(f"The password of {address} is changed.")

    def suspend(self, address: str, **options: Any) -> None:
        count = suspension.suspend(address)
        others = suspension.still_open(parsing.live_mailbox(address).pk)
        self.stdout.write(f"{address} is suspended; messages held in the queue: {count}.{others}")

    def resume(self, address: str, **options: Any) -> None:
        services.resume_mailbox(address)
        self.stdout.write(f"{address} is active.")

    def revoke_app_passwords(self, address: str, **options: Any) -> None:
        count = services.revoke_all_app_passwords(parsing.live_mailbox(address).user_id)
        self.stdout.write(f"App passwords that are void now: {count}.")

    def release_held(self, address: str, **options: Any) -> None:
        self.stdout.write(f"Messages that go on: {suspension.release_held(address)}.")

    def drop_held(self, address: str, **options: Any) -> None:
        self.stdout.write(f"Messages that are dropped: {suspension.drop_held(address, 'the command line')}.")

    def remove(self, address: str, **options: Any) -> None:
        ways = effects.of_mailbox(parsing.live_mailbox(address))
        services.remove_mailbox(address)
        self.tell([f"{address} is removed.", *ways])

    def restore(self, address: str, as_address: str, owner: str, id: int | None, **options: Any) -> None:
        mailbox_id = restoring.find_removed_mailbox(address) if id is None else id
        restored = services.restore_mailbox(mailbox_id, as_address=as_address, owner=owner)
        self.tell([f"{restored} is there again.", effects.NOT_RESTORED])

    def forward(self, address: str, targets: list[str], keep: bool, stop: bool, **options: Any) -> None:
        if stop and targets:
            raise CommandError("Leave the targets out with --stop.")
        if not keep and not targets:
            raise CommandError("Name the targets as well with --no-keep.")
        if stop:
            services.stop_forwarding(address)
        elif targets:
            services.forward_mailbox(address, targets, keep=keep)
        self.stdout.write(f"Mail of {address} {effects.forwarded(parsing.live_mailbox(address))}.")

    def rename(self, address: str, new_address: str, **options: Any) -> None:
        services.rename_mailbox(address, new_address)
        self.tell([f"{address} is {new_address} now.", effects.renamed(address, new_address)])

    def quota(self, address: str, quota: str, **options: Any) -> None:
        services.change_mailbox(address, quota_octets=parsing.quota(quota))
        self.stdout.write(f"The quota of {address} is changed.")

    def list(self, domain: str, removed: bool, **options: Any) -> None:
        if removed:
            rows = restoring.removed_mailboxes()
            return self.removed(rows.filter(domain__name=parsing.domain_name(domain)) if domain else rows)
        mailboxes = Mailbox.objects.exclude(state=Mailbox.State.REMOVED).select_related("usage")
        if domain:
            mailboxes = mailboxes.filter(domain=parsing.live_domain(domain))
        of_forwards = Alias.objects.filter(kind=Alias.Kind.FORWARD, removed_at=None)
        forwards = set(of_forwards.values_list("address_key", flat=True))
        self.table(
            ("MAILBOX", "STATE", "USED", "QUOTA", "FORWARD", "NAME"),
            [
                (
                    *(row.address, row.state, _size(row.usage.used_octets), _size(row.quota_octets) or "none"),
                    *("yes" if row.address_key in forwards else "", row.name),
                )
                for row in mailboxes.iterator()
            ],
        )

    def load(self, file: str, weak_password_ok: bool, must_change: bool, **options: Any) -> None:
        try:
            with open(0 if file == "-" else file, newline="", encoding="utf-8-sig") as lines:
                count = import_mailboxes(
                    lines,
                    weak_password_ok=weak_password_ok,
                    must_change=must_change,
                    by=history.shell(),
                    progress=self._progress,
                )
        except UnicodeDecodeError:
            raise CommandError(f"{file} is no UTF-8 text: save it as UTF-8, such as “CSV UTF-8”.") from None
        except OSError as error:
            raise CommandError(f"{file} can't be read: {error.strerror}.") from None
        self.stdout.write(f"{count} {'mailbox is' if count == 1 else 'mailboxes are'} ready.")

    def _progress(self, done: int, of: int) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{done} of {of} passwords hashed", ending="\n" if done == of else "")


def _size(octets: int) -> str:
    """`1.5G`; "" for 0."""
    size = float(octets)
    for unit in ("", "K", "M", "G"):
        if size < 1024:
            return f"{size:.3g}{unit}" if octets else ""
        size /= 1024
    return f"{size:.3g}T"
