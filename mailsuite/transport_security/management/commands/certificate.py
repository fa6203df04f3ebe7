from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from mailsuite.adminkit.command import SubcommandCommand
from mailsuite.directory.models import Domain
from mailsuite.mail.host_name import is_public
from mailsuite.transport_security import schedule
from mailsuite.transport_security.keys import (
    KeyProblem,
    certificate_names,
    make_next_key,
    next_key_path,
    read_certificate,
    read_keys,
)
from mailsuite.transport_security.models import DaneLook
from mailsuite.transport_security.publishing import tlsa_records, why_no_tlsa
from mailsuite.transport_security.services import uncovered_names
from mailsuite.transport_security.tlsa_look import advise


class Command(SubcommandCommand):
    help = "Shows this host's certificate and its TLSA records (DANE), and changes its key safely."

    def add_verbs(self) -> None:
        self.verb("show", self.show, "Show the certificate, its TLSA records, and what to do about them.")
        self.verb("check", self.look, "Ask DNS for the TLSA records now; exit 1 when none matches the key in use.")
        self.verb("next-key", self.next_key, "Make the next key and a certificate request, ahead of a change of keys.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            super().handle(*args, **options)
        except KeyProblem as problem:
            raise CommandError(str(problem)) from None

    def show(self, **options: Any) -> None:
        certificate = read_certificate(settings.MAILSUITE)
        now = datetime.now(UTC)
        days = (certificate.not_valid_after_utc - now).days
        self.stdout.write(f"certificate  {settings.MAILSUITE.certificate}")
        self.stdout.write(f"names        {', '.join(certificate_names(certificate)) or 'none'}")
        self.stdout.write(f"valid until  {certificate.not_valid_after_utc:%Y-%m-%d} ({days} days)")
        for record in tlsa_records():
            self.stdout.write(f"TLSA         {record.zone_line}")
        if why := why_no_tlsa():
            self.stdout.write(f"TLSA         none: {why}")
        domains = Domain.objects.filter(state=Domain.State.ACTIVE).values_list("name", flat=True)
        for name in uncovered_names(list(domains)):
            self.stdout.write(f"MTA-STS      the certificate does not name {name}: its policy can't be fetched")
        hostname = settings.MAILSUITE.hostname
        look = DaneLook.objects.filter(hostname=hostname).first()
        unseen = "not looked yet: manage.py certificate check"
        if not is_public(hostname):
            unseen = f"others can't look up the name {hostname}: set MAILSUITE_HOSTNAME first"
        self.stdout.write(f"in DNS       {look.text if look else unseen}")
        if look and not look.resolver_validates:
            self.stdout.write(f"outgoing     DANE is off: {look.resolver_text}")
        self.stdout.write(f"next key     {advise(read_keys(settings.MAILSUITE), now).text}")

    def look(self, **options: Any) -> None:
        read_keys(settings.MAILSUITE)
        schedule.look_at_ourselves(datetime.now(UTC))
        self.show()
        look = DaneLook.objects.filter(hostname=settings.MAILSUITE.hostname).first()
        if look and look.state == DaneLook.State.MISMATCH:
            raise CommandError("The TLSA records and the key in use do not fit.")

    def next_key(self, **options: Any) -> None:
        request = make_next_key(settings.MAILSUITE)
        keys = read_keys(settings.MAILSUITE)
        self.stdout.write(
            f"The next key is {next_key_path(settings.MAILSUITE)}.\n"
            f"1. Publish beside the present record: _25._tcp.{settings.MAILSUITE.hostname}. TLSA 3 1 1 {keys.next}\n"
            "2. Wait until `manage.py certificate check` says that it may come into use.\n"
            f"3. Have a certificate made for the request {request}, such as with `certbot certonly --csr {request}`.\n"
            "4. Set MAILSUITE_TLS_CERT and MAILSUITE_TLS_KEY to the certificate and to a copy of that key.\n"
            "5. Take the old record out of DNS a day later.\n"
            "With certbot's own keys: `certbot renew --reuse-key` keeps the key, and with it the TLSA record."
        )
