"""Runs manage.py where the pinned packages are: here, or in a virtual environment beside manage.py that it makes.

Written for the standard library alone.
"""

import compileall
import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import IO

BASE = Path(__file__).resolve().parent.parent
ENVIRONMENT = BASE / ".venv"
LOCK = BASE / "requirements.lock"
DEV_LOCK = BASE / "requirements-dev.lock"
ROOMS = ("mailsuite", "smtpd_service", "retrieval")
# Of a step that failed; pip's reason stands at the end.
LAST_LINES = 20
# Nobody waits for longer without a sign.
PROGRESS_SECONDS = 1.0
# What pip says of one try and the next to reach the index of packages, and what of it says that there is no way there.
_RETRY = "WARNING: Retrying ("
_UNREACHABLE = re.compile(r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|ProxyError")


class BootstrapError(Exception):
    """The packages can't be had; str() says in plain words why and what to do."""


def ensure_packages(*locks: Path) -> None:
    """Returns when everything that `locks` pin is importable. If need be makes the environment, installs, and starts
    this command again inside it, so that what calls this must not have begun anything yet."""
    is_ready = _is_whole() and all(_stamp(lock).exists() for lock in locks)
    if is_ready and _is_inside():
        return
    if all(_is_installed(lock) for lock in locks):
        return
    if not is_ready:
        install(locks)
    python = str(ENVIRONMENT / "bin" / "python")
    os.execv(python, [python, *sys.argv])


def _is_inside() -> bool:
    return Path(sys.prefix).resolve() == ENVIRONMENT.resolve()


def _is_whole() -> bool:
    """Whether the environment's Python is the one that its packages are for: an upgrade of the system puts another in
    that one's place, or takes it away. Which one it is shows inside."""
    packages = ENVIRONMENT / "lib" / "python{}.{}".format(*sys.version_info)
    return (ENVIRONMENT / "bin" / "python").exists() and (packages.exists() or not _is_inside())


def _stamp(lock: Path) -> Path:
    """The file that says that exactly this lock is installed: its name holds the lock's digest."""
    return ENVIRONMENT / f".installed-{lock.stem}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"


def _is_installed(lock: Path) -> bool:
    """Whether this interpreter has all pinned versions already, as in a container or an environment of the system's."""
    pins = [line.split()[0].split("==") for line in lock.read_text().splitlines() if "==" in line.split(";")[0]]
    try:
        return all(metadata.version(name) == version for name, version in pins)
    except metadata.PackageNotFoundError:
        return False


def install(locks: tuple[Path, ...]) -> None:
    """Brings the environment to what the locks pin; of several at once, one does it and the others wait."""
    with open(BASE / "manage.py") as guard:
        _take(guard)
        if not os.access(ENVIRONMENT if ENVIRONMENT.exists() else BASE, os.W_OK):
            raise BootstrapError(
                f"The packages in {ENVIRONMENT} are not those that this version wants, and this user may not write "
                "there. Run `python3 manage.py install` once as the owner of that folder."
            )
        # Without pip it is what a failed or interrupted attempt left.
        if not _is_whole() or not (ENVIRONMENT / "bin" / "pip").exists():
            _make_environment()
        for lock in locks:
            if not _stamp(lock).exists():
                _install_lock(lock)


def _take(guard: IO[str]) -> None:
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Waiting for another command that installs the packages", file=sys.stderr, flush=True)
        fcntl.flock(guard, fcntl.LOCK_EX)


def base_folder(project: Path, argv: list[str]) -> Path:
    """Where the data folder and the env file are without further word: `project` where manage.py is beside the
    packages; where they are installed, the folder of the manage.py that was called, else the current one."""
    if (project / "manage.py").exists():
        return project
    called = Path(argv[0]).absolute() if argv else Path()
    return called.parent if called.name == "manage.py" else Path.cwd()


def compile_sources() -> None:
    """Has Python compile this project once, for those who run it and may not write here: each of their commands would
    do so anew, for a second."""
    for room in ROOMS:
        compileall.compile_dir(BASE / room, quiet=1)


def _make_environment() -> None:
    code, said = _step(
        f"Making a virtual environment in {ENVIRONMENT}", [sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)]
    )
    if code:
        python = f"python{sys.version_info.major}.{sys.version_info.minor}"
        raise BootstrapError(
            f"{sys.executable} can't make a virtual environment. On Debian: apt install python3-venv "
            f"(or {python}-venv). It said:\n{said}"
        )


def _install_lock(lock: Path) -> None:
    count = sum("==" in line for line in lock.read_text().splitlines())
    python = str(ENVIRONMENT / "bin" / "python")
    command = [python, "-m", "pip", "install", "--require-hashes", "--no-deps", "--disable-pip-version-check"]
    command += ["--no-input", "--progress-bar", "off", "-r", str(lock)]
    code, said = _step(f"Installing the {count} packages of {lock.name} (once; about a minute)", command)
    if code:
        raise BootstrapError(_why_not_installed(lock, said))
    for old in ENVIRONMENT.glob(f".installed-{lock.stem}-*"):
        old.unlink()
    _stamp(lock).touch()


def _why_not_installed(lock: Path, said: str) -> str:
    """What to do, and what pip said, without the same line for each of its tries."""
    lines = said.splitlines()
    tries = [line for line in lines if line.startswith(_RETRY)]
    reason = "\n".join([*tries[-1:], *(line for line in lines if line not in tries)])
    what = f"The packages of {lock.name} could not be installed."
    if _UNREACHABLE.search(said):
        what += (
            " This machine does not reach the index of Python packages: connect it, or name one that it reaches "
            "(PIP_INDEX_URL) or a proxy (https_proxy), and do this again."
        )
    return f"{what} pip said:\n{reason}"


def _step(text: str, command: list[str]) -> tuple[int, str]:
    """Runs a command under one line that says what is done and, at a terminal, for how long already; elsewhere a dot a
    second follows in the next line. Returns its exit status, and the end of what it said, which nobody sees while all
    goes well."""
    shows_time = sys.stderr.isatty()
    print(text, file=sys.stderr, end="" if shows_time else "\n", flush=True)
    began, dots = time.monotonic(), 0
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        while True:
            try:
                code = process.wait(timeout=PROGRESS_SECONDS)
                break
            except subprocess.TimeoutExpired:
                dots += 1
                said_now = f"\r{text}: {time.monotonic() - began:.0f} s" if shows_time else "."
                print(said_now, file=sys.stderr, end="", flush=True)
        if shows_time or dots:
            print(file=sys.stderr)
        said.seek(0)
        return code, "\n".join(said.read().strip().splitlines()[-LAST_LINES:])
