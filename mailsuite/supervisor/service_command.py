"""The base of `manage.py store`, `smtpd`, `deliver`, `retrieval` and `web`: one service alone in the foreground."""

import os
import signal
import sys
import threading
from argparse import ArgumentParser
from typing import Any, ClassVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from mailsuite.configuration import SERVICES_BY_LISTENER
from mailsuite.server.service import ServiceContext
from mailsuite.supervisor import log
from mailsuite.supervisor.listeners import ListenError, open_listeners
from mailsuite.supervisor.prepare import PrepareError, make_folders
from mailsuite.supervisor.services import SERVICES
from mailsuite.tls import CertificateError


class ServiceCommand(BaseCommand):
    """Binds the listeners of `service` (or takes them from systemd) and runs it until SIGTERM or Ctrl-C.

    For units and containers; `manage.py up --prepare-only` comes before the first of them.
    """

    service: ClassVar[str]
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--production", action="store_true", help="the real ports on every address")

    def handle(self, *args: Any, **options: Any) -> None:
        log.configure(self.service)
        configuration = settings.MAILSUITE
        names = [name for name, service in SERVICES_BY_LISTENER.items() if service == self.service]
        # A service knows one way of being told to end.
        signal.signal(signal.SIGINT, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        if configuration.tls_cert is None and not configuration.certificate.exists():
            raise CommandError(
                f"Nothing is prepared yet in {configuration.data}: run `manage.py up --prepare-only` before the first "
                "service, with the same settings."
            )
        try:
            make_folders(configuration)
            sockets = open_listeners(configuration, os.environ, names)
            run = next(service for service in SERVICES if service.name == self.service).load()
            code = run(ServiceContext(configuration, sockets, None, self.service))
        except (CertificateError, ListenError, PrepareError) as error:
            raise CommandError(str(error)) from None
        if threading.active_count() > 1:
            # What a thread still waits for, a dead resolver perhaps, was not worth waiting for.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code or 0)
        if code:
            raise SystemExit(code)
