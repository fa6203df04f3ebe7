"""DATABASE_URL as Django's DATABASES: two aliases of one database, `default` for writers and `reader` for reads."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from mailsuite.database.patience import LOCK_SECONDS
from mailsuite.env import Environment

# FULL: a commit is on the disk when it returns (promise 1). The page cache is small: the idle suite must stay light.
SQLITE_PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-4000;"

# No single read of ours takes so long; whoever asked has gone.
READ_SECONDS, READ_LOCK_SECONDS = 60, 3
# A server that is not there, or no longer: libpq would wait for minutes to hours (libpq, "Parameter Key Words").
PATIENCE = {
    "connect_timeout": "5",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


def databases(env: Environment, data: Path) -> dict[str, dict[str, Any]]:
    """Return Django's DATABASES for DATABASE_URL; without one a SQLite file in the data folder. What can't be read is
    added to the environment's problems."""
    url = env.text("DATABASE_URL")
    if not url:
        return _sqlite(data / "mailsuite.sqlite3", data)
    try:
        parts = urlsplit(url)
        if parts.scheme in ("postgres", "postgresql") and parts.path.strip("/"):
            return _postgresql(url)
        if parts.scheme == "sqlite" and parts.path.strip("/"):
            return _sqlite(Path(unquote(parts.path)), data)
    except ValueError:  # a port that is no number, a bracket that is not closed
        pass
    # What stands before an @ may be a password.
    shown = re.sub(r"//.*@", "//…@", url)
    env.problems.append(
        f"DATABASE_URL is {shown!r}; it must be postgresql://USER:PASSWORD@HOST/NAME or sqlite:///ABSOLUTE/PATH."
    )
    return _sqlite(data / "mailsuite.sqlite3", data)


def _sqlite(path: Path, data: Path) -> dict[str, dict[str, Any]]:
    common = {"ENGINE": "mailsuite.database.sqlite", "NAME": str(path), "CONN_MAX_AGE": None}
    writer = {"timeout": LOCK_SECONDS, "transaction_mode": "IMMEDIATE", "init_command": SQLITE_PRAGMAS}
    # Whoever only reads would leave an empty file, perhaps not the service's to write.
    reader = {"timeout": LOCK_SECONDS, "init_command": SQLITE_PRAGMAS + "PRAGMA query_only=ON;", "must_exist": True}
    return {
        "default": common | {"OPTIONS": writer, "TEST": {"NAME": str(data / "test.sqlite3")}},
        "reader": common | {"OPTIONS": reader, "TEST": {"MIRROR": "default"}},
    }


def _postgresql(url: str) -> dict[str, dict[str, Any]]:
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    # A socket folder goes into the host parameter, since a URL's host can't hold slashes.
    common: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", None) or unquote(parts.hostname or ""),
        "PORT": str(parts.port or options.pop("port", "")),
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
    }
    options = PATIENCE | options
    limits = f"-c lock_timeout={LOCK_SECONDS * 1000:.0f}"
    # Whoever only reads never waits for one who writes, but for a whole table that somebody locked.
    brief = f"-c lock_timeout={READ_LOCK_SECONDS * 1000:.0f} -c statement_timeout={READ_SECONDS * 1000:.0f}"
    # Whatever the server's default: a commit is on the disk when it returns (promise 1).
    writer = options | {"options": f"-c synchronous_commit=on {limits}"}
    # Repeatable read: a read that spans queries sees one moment.
    readonly = "-c default_transaction_read_only=on -c default_transaction_isolation=repeatable\\ read"
    reader = options | {"options": f"{readonly} {brief}"}
    return {
        "default": common | {"OPTIONS": writer},
        "reader": common | {"OPTIONS": reader, "TEST": {"MIRROR": "default"}},
    }
