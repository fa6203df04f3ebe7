"""Runs the tests on SQLite and, where PostgreSQL's server programs are, beside that on a throw-away cluster.

`python3 manage.py test` calls it; arguments go on to pytest, `--sqlite-only` leaves the second run out.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))

from postgresql_cluster import find_programs, throw_away_cluster  # noqa: E402

BASE = Path(__file__).resolve().parent.parent
PYTEST = (sys.executable, "-m", "pytest")
END_SECONDS = 30
NO_TESTS_COLLECTED = 5


def main(arguments: list[str]) -> int:
    # So that a cluster is removed when the run is ended from outside.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sqlite_only = "--sqlite-only" in arguments
    arguments = [argument for argument in arguments if argument != "--sqlite-only"]
    programs = None if sqlite_only else find_programs()
    if programs is None:
        first = run_on_sqlite(arguments)
        if sqlite_only:
            return first
        say("PostgreSQL's server programs are not here (Debian: apt install postgresql): tested on SQLite alone.")
        return first or (1 if os.environ.get("MAILSUITE_CI") else 0)
    # Side by side: each of them waits much of its time, for peers and programs.
    with throw_away_cluster(programs) as url, started_on_postgresql(arguments, url) as (process, printed):
        first = run_on_sqlite(arguments)
        say("Tests on PostgreSQL")
        second = follow(process, printed)
    # What is for SQLite alone leaves nothing for the second run.
    return first or (0 if second == NO_TESTS_COLLECTED else second)


def run_on_sqlite(arguments: list[str]) -> int:
    say("Tests on SQLite")
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.run([*PYTEST, *arguments], cwd=BASE, env=environment).returncode


@contextmanager
def started_on_postgresql(arguments: list[str], url: str) -> Iterator[tuple[subprocess.Popen[bytes], BinaryIO]]:
    """The run in the background, and what it prints; it is ended when the caller is ended first."""
    own_cache = ("-o", "cache_dir=.pytest_cache/postgresql")
    with tempfile.NamedTemporaryFile() as written, open(written.name, "rb") as printed:
        process = subprocess.Popen(
            [*PYTEST, *own_cache, *arguments],
            cwd=BASE,
            env=os.environ | {"DATABASE_URL": url},
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
        )
        try:
            yield process, printed
        finally:
            # As Ctrl-C would, so that the servers that it started end too.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def follow(process: subprocess.Popen[bytes], printed: BinaryIO) -> int:
    """Shows what the run printed, and goes on doing so until it ends; returns its exit status."""
    while True:
        code = process.poll()
        shutil.copyfileobj(printed, sys.stdout.buffer)
        sys.stdout.flush()
        if code is not None:
            return code
        time.sleep(0.2)


def say(text: str) -> None:
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
