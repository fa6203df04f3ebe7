"""`manage.py up`: the whole suite in the foreground."""

import json
import logging
import os
import signal
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db.utils import DatabaseError

from mailsuite.configuration import SERVICES_BY_LISTENER, Configuration
from mailsuite.server.suite_state import forget_state
from mailsuite.supervisor import child, log, welcome
from mailsuite.supervisor.listeners import ListenError, addresses, open_listeners
from mailsuite.supervisor.lock import AlreadyRunning, lock_data_folder
from mailsuite.supervisor.parent import Parent
from mailsuite.supervisor.prepare import Prepared, PrepareError, make_folders, prepare
from mailsuite.supervisor.services import SERVICES
from mailsuite.tls import CertificateError, server_context

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Starts the whole suite in the foreground; the first start prepares the data folder and says what to do next."
    )
    # They run in the child that prepares: the parent must not open a database connection.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--production", action="store_true", help="the real ports on every address")
        parser.add_argument("--no-copy", action="store_true", help="migrate without copying the database first")
        parser.add_argument("--prepare-only", action="store_true", help="do what comes before the services, then end")

    def handle(self, *args: Any, **options: Any) -> None:
        log.configure("up")
        # Until the services run, Ctrl-C simply ends it.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        configuration: Configuration = settings.MAILSUITE
        try:
            make_folders(configuration)
            lock_data_folder(configuration.data)
            forget_state(configuration.data)
            if configuration.tls_cert is not None:
                server_context(configuration.certificate, configuration.certificate_key)
            runs = [(service, service.load()) for service in SERVICES]
            names = [] if options["prepare_only"] else list(SERVICES_BY_LISTENER)
            sockets = open_listeners(configuration, os.environ, names)
            prepared = _prepare_in_child(configuration, copy_first=not options["no_copy"])
        except (AlreadyRunning, CertificateError, ListenError, PrepareError) as error:
            raise CommandError(str(error)) from None
        for line in prepared.warnings:
            logger.warning(line)
        if not options["prepare_only"]:
            parent = Parent(configuration, sockets, runs)
            parent.start()
        print(welcome.text(configuration, prepared, addresses(sockets), at_terminal=sys.stdout.isatty()), flush=True)
        if not options["prepare_only"]:
            parent.run()


def _prepare_in_child(configuration: Configuration, *, copy_first: bool) -> Prepared:
    """Runs `prepare` in a process of its own and returns what it returned. Raises PrepareError."""
    read_end, write_end = os.pipe()

    def main() -> int:
        os.close(read_end)
        try:
            answer: dict[str, Any] = {"prepared": asdict(prepare(configuration, copy_first=copy_first))}
        except PrepareError as error:
            answer = {"error": str(error)}
        except DatabaseError as error:
            logger.debug("the database failed", exc_info=True)
            answer = {"error": f"The database can't be used (DATABASE_URL): {str(error).strip()}"}
        with os.fdopen(write_end, "w") as pipe:
            json.dump(answer, pipe)
        return 0

    pid = child.fork(main, os.getpid())
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    answer = json.loads(text or '{"error": "Preparing ended early; the lines above say why."}')
    if "error" in answer:
        raise PrepareError(answer["error"])
    return Prepared(**answer["prepared"])
