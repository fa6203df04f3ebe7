"""`manage.py status`: whether every listener answers, and every service works."""

import math
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from mailsuite.configuration import Configuration
from mailsuite.server.suite_state import read_state
from mailsuite.supervisor.probe import Answer, ask, ask_store, of_service

PROBE_SECONDS = 5.0
BETWEEN_ROUNDS = 0.05
MOST_WAIT = 86400


class Command(BaseCommand):
    help = (
        "Asks every listener for its greeting and the store for an answer, and whether every service works; exit status"
        " 0 once all of them do, 1 if they don't."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--wait", type=_seconds, default=0.0, metavar="SECONDS", help="keep asking for so long")

    def handle(self, *args: Any, **options: Any) -> None:
        deadline = time.monotonic() + options["wait"]
        while True:
            answers = list(_ask_all(settings.MAILSUITE))
            ready = bool(answers) and all(answer.ready for answer in answers)
            if ready or time.monotonic() >= deadline:
                break
            time.sleep(BETWEEN_ROUNDS)
        for answer in answers:
            self.stdout.write(str(answer))
        if not ready:
            raise SystemExit(1)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MOST_WAIT:
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0 to {MOST_WAIT}")
    return seconds


def _ask_all(configuration: Configuration) -> Iterator[Answer]:
    """Asks what the running suite says it serves; without one, what the settings name."""
    state = read_state(configuration.data)
    listeners = state.listeners if state else configuration.listeners
    if state is None or "store" in state.services:
        yield ask_store(configuration.store_socket, PROBE_SECONDS)
    for name, pids in state.services.items() if state else ():
        troubles = [text for key, text in state.troubles.items() if key.partition("/")[0] == name] if state else []
        yield of_service(name, pids, "; ".join(troubles))
    for name, places in listeners.items():
        for host, port in places:
            yield ask(name, host, port, PROBE_SECONDS)
