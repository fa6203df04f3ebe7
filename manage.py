#!/usr/bin/env python3
"""Mailsuite's command line. `python3 manage.py up` starts everything; `python3 manage.py help` lists the rest."""

import os
import sys

from mailsuite import bootstrap


def main() -> None:
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    locks = [bootstrap.LOCK, bootstrap.DEV_LOCK] if command == "test" else [bootstrap.LOCK]
    try:
        bootstrap.ensure_packages(*locks)
    except bootstrap.BootstrapError as error:
        sys.exit(str(error))
    if command == "install":
        # As the owner of this folder, where those who run it may not write to it.
        bootstrap.compile_sources()
        return
    if command == "test":
        # Not Django's test command: pytest, on every database that this machine has.
        os.execv(sys.executable, [sys.executable, str(bootstrap.BASE / "tests" / "run.py"), *sys.argv[2:]])
    if "--production" in sys.argv[2:]:
        os.environ["MAILSUITE_PRODUCTION"] = "yes"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailsuite.settings")
    from mailsuite.supervisor.command_line import execute

    execute(sys.argv)


if __name__ == "__main__":
    main()
