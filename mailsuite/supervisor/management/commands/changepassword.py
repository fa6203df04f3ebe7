from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mailsuite.adminkit.command import password_arguments, read_password
from mailsuite.directory import history, parsing
from mailsuite.directory.models import User
from mailsuite.errors import ChangeRefused
from mailsuite.provisioning import services


class Command(BaseCommand):
    """In the place of Django's, which asks for the password at a terminal alone."""

    help = "Sets the password of an account, an administrator's perhaps that has no mailbox."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address")
        password_arguments(parser)

    def handle(self, *args: Any, address: str, weak_password_ok: bool, must_change: bool, **options: Any) -> None:
        try:
            services.set_password(
                address,
                read_password(**options),
                weak_password_ok=weak_password_ok,
                must_change=must_change,
            )
        except ChangeRefused as error:
            raise CommandError(str(error)) from None
        if user := User.objects.filter(address_key=parsing.address(address).key, removed_at=None).first():
            history.note(user, "manage.py changepassword", history.shell())
        self.stdout.write(f"The password of {address} is changed.")
