"""A PostgreSQL cluster for one run: on a Unix socket in a temporary folder, destroyed at the end."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def find_programs() -> Path | None:
    """The folder of PostgreSQL's server programs: from PATH, or the newest that Debian has installed."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


@contextmanager
def throw_away_cluster(programs: Path) -> Iterator[str]:
    """The URL of a running server, with fsync on as in production."""
    folder = Path(tempfile.mkdtemp(prefix="mailsuite-pg-"))
    folder.chmod(0o755)
    user = _unprivileged_user()
    if user:
        shutil.chown(folder, **user)
    data = str(folder / "data")

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, **_as(user))
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")

    try:
        run("initdb", "-D", data, "-U", "mailsuite", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c max_connections=300"
        run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://mailsuite@/mailsuite?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged_user() -> dict[str, Any]:
    """The user and group to run as, since the server refuses root; empty for who is not root."""
    if os.geteuid():
        return {}
    for name in ("postgres", "nobody"):
        try:
            return {"user": pwd.getpwnam(name).pw_uid, "group": pwd.getpwnam(name).pw_gid}
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL refuses to run as root, and there is no other user to run it as.")


def _as(user: dict[str, Any]) -> dict[str, Any]:
    return user | {"extra_groups": []} if user else {}
