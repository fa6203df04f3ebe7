"""Runs the tests on SQLite and, where PostgreSQL's server programs are, once more on a throw-away cluster.

`python3 manage.py test` calls it; arguments go on to pytest, `--sqlite-only` leaves the second run out.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))

from postgresql_cluster import find_programs, throw_away_cluster  # noqa: E402

BASE = Path(__file__).resolve().parent.parent
NO_TESTS_COLLECTED = 5


def main(arguments: list[str]) -> int:
    # So that a cluster is removed when the run is ended from outside.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sqlite_only = "--sqlite-only" in arguments
    arguments = [argument for argument in arguments if argument != "--sqlite-only"]
    first = run_pytest("SQLite", arguments, "")
    if sqlite_only:
        return first
    programs = find_programs()
    if programs is None:
        say("PostgreSQL's server programs are not here (Debian: apt install postgresql): tested on SQLite alone.")
        return first or (1 if os.environ.get("MAILSUITE_CI") else 0)
    with throw_away_cluster(programs) as url:
        second = run_pytest("PostgreSQL", arguments, url)
    # What is for SQLite alone leaves nothing for the second run.
    return first or (0 if second == NO_TESTS_COLLECTED else second)


def run_pytest(label: str, arguments: list[str], url: str) -> int:
    say(f"Tests on {label}")
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    if url:
        environment["DATABASE_URL"] = url
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=BASE, env=environment).returncode


def say(text: str) -> None:
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
