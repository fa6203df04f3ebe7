#!/usr/bin/env python3
"""Mailsuite's command line. `python3 manage.py up` starts everything; `python3 manage.py help` lists the rest.

An old Python (from 3.6 on) has to get as far as being told that it is old: what it can't read is imported after that.
"""

import os
import sys

OLDEST_PYTHON = (3, 11)
# Each is a file of tests/bench; without a name the first.
BENCHES = ("run", "checks", "signing", "submission", "soak", "junk_filter")


def refuse_old_python() -> None:
    """Ends the process with what to do where Python is too old to run any of this."""
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        sys.exit(
            f"Mailsuite needs Python {oldest} or newer; {sys.executable} is {sys.version.split()[0]}. Debian has it "
            f"from 12 on, Ubuntu from 24.04 on. Where one is installed beside it: python{oldest} {' '.join(sys.argv)}"
        )


def bench(arguments: "list[str]") -> "list[str]":
    """The script that `manage.py bench [NAME] …` is about, with its arguments."""
    from mailsuite import bootstrap

    name, *more = arguments if arguments[:1] and arguments[0] in BENCHES else [BENCHES[0], *arguments]
    return [str(bootstrap.BASE / "tests" / "bench" / f"{name}.py"), *more]


def main() -> None:
    refuse_old_python()
    from mailsuite import bootstrap

    command = sys.argv[1] if len(sys.argv) > 1 else ""
    locks = [bootstrap.LOCK, bootstrap.DEV_LOCK] if command in ("test", "bench") else [bootstrap.LOCK]
    try:
        bootstrap.ensure_packages(*locks)
    except bootstrap.BootstrapError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("\nStopped; the next start goes on with it.")
    if command == "install":
        # As the owner of this folder, where those who run it may not write to it.
        bootstrap.compile_sources()
        return
    if command == "test":
        # Not Django's test command: pytest, on every database that this machine has.
        os.execv(sys.executable, [sys.executable, str(bootstrap.BASE / "tests" / "run.py"), *sys.argv[2:]])
    if command == "bench":
        os.execv(sys.executable, [sys.executable, *bench(sys.argv[2:])])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailsuite.settings")
    from mailsuite.supervisor.command_line import execute

    execute(sys.argv)


if __name__ == "__main__":
    main()
