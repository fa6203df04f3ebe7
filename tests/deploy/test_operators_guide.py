"""What deploy/ tells operators is what the code does."""

import imaplib
import os
import re
import shlex
import shutil
import sqlite3
import ssl
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

BASE = Path(__file__).resolve().parent.parent.parent
DEPLOY = BASE / "deploy"
PASSWORD = "a long password"


def sources():
    yield from ((BASE / "manage.py").read_text(),)
    for room in ("mailsuite", "smtpd_service", "retrieval"):
        yield from (path.read_text() for path in (BASE / room).rglob("*.py"))


def guide():
    return "\n".join(path.read_text() for path in sorted((DEPLOY / "guide").glob("*.md")))


def test_every_setting_is_in_the_example():
    named = {name for text in sources() for name in re.findall(r"\bMAILSUITE_[A-Z0-9_]*[A-Z0-9]\b", text)}
    known = set(re.findall(r"MAILSUITE_[A-Z0-9_]*[A-Z0-9]\b", (DEPLOY / "env.example").read_text()))
    # Families such as MAILSUITE_LISTEN_ are spelt out in the example.
    assert {name for name in named if not any(one.startswith(name) for one in known)} == set()
    assert {"MAILSUITE_LISTEN_SMTP", "MAILSUITE_LISTEN_HTTPS", "MAILSUITE_SECRET_KEY_OLD"} <= known


def test_every_check_is_in_the_guide():
    ids = {name for text in sources() for name in re.findall(r'id="(mailsuite\.[EW]\d+)"', text)}
    assert ids and ids == set(re.findall(r"mailsuite\.[EW]\d+", guide()))


def commands():
    """Each `mailsuite …` that the guide has a reader type."""
    code = re.findall(r"(?m)^    (mailsuite .+)$|`(mailsuite [^`]+)`", (BASE / "README.md").read_text() + guide())
    typed = {re.sub(r" +#.*|…", "", block or words).strip() for block, words in code}
    return sorted(typed - {"mailsuite"})


def test_every_command_of_the_guide_is_understood():
    assert len(commands()) > 30
    for line in commands():
        _, name, *words = shlex.split(line)
        if name != "help" and "--help" not in words:
            command = load_command_class(get_commands()[name], name)
            command.create_parser("manage.py", name).parse_args(words)


def test_the_command_of_an_installed_host_and_its_hook_are_what_the_guide_sets_up(tmp_path):
    text = (DEPLOY / "mailsuite").read_text()
    unit = (DEPLOY / "mailsuite.service").read_text()
    for path in ("MAILSUITE_ENV_FILE=/etc/mailsuite/env", "/opt/mailsuite/.venv/bin/python"):
        assert path in text and path in unit
    assert "-u mailsuite " in text and "User=mailsuite\n" in unit
    assert all(os.access(DEPLOY / name, os.X_OK) for name in ("mailsuite", "deploy-certificate"))
    # The hook, in another folder and without the service's group.
    tls, renewed, hook = tmp_path / "tls", tmp_path / "renewed", (DEPLOY / "deploy-certificate").read_text()
    renewed.mkdir()
    for name in ("fullchain", "privkey"):
        (renewed / f"{name}.pem").write_text(name)
    hook = hook.replace("/etc/mailsuite/tls", str(tls)).replace(" -g mailsuite", "")
    subprocess.run(["sh", "-c", hook], env=os.environ | {"RENEWED_LINEAGE": str(renewed)}, check=True)
    assert {path.name: path.read_text() for path in tls.iterdir()} == {
        f"{name}.pem": name for name in ("fullchain", "privkey")
    }
    example = (DEPLOY / "env.example").read_text()
    assert "\n#MAILSUITE_TLS_CERT=/etc/mailsuite/tls/fullchain.pem\n" in example and "/tls/privkey.pem\n" in example


def anchors(path):
    """What a link into the chapter may name: its headings, as GitHub and the admin make anchors of them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere():
    pages = [
        BASE / "README.md",
        BASE / "CONTRIBUTING.md",
        DEPLOY / "README.md",
        *sorted((DEPLOY / "guide").glob("*.md")),
    ]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)]+)\)", page.read_text())]
    assert len(links) > 20
    for page, link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert "//" in link or (target.exists() and (not anchor or anchor in anchors(target))), (page.name, link)
    chapters = {path.name for path in (DEPLOY / "guide").glob("*.md")}
    assert chapters == set(re.findall(r"guide/(\w+\.md)", (DEPLOY / "README.md").read_text()))


def test_the_container_has_all_that_runs():
    text = (DEPLOY / "Containerfile").read_text()
    copied = re.findall(r"^COPY (\S+(?: \S+)*) \S+$", text, re.MULTILINE)
    paths = {path for group in copied for path in group.split()}
    assert {
        "requirements.lock",
        "manage.py",
        "pyproject.toml",
        "mailsuite",
        "deploy/guide",
        "deploy/env.example",
        "smtpd_service",
        "retrieval",
    } == paths
    assert all((BASE / path).exists() for path in paths)


@pytest.mark.sqlite_only
@pytest.mark.interop
def test_database_messages_and_secret_are_all_that_a_restored_host_needs(new_suite):
    first, second = new_suite().start(), new_suite(from_nothing=True)
    first.add_domain("example.org")
    first.add_mailbox("ann@example.org", PASSWORD)
    with log_in(first) as client:
        client.append("INBOX", "(\\Flagged)", None, b"Subject: kept\r\n\r\n" + b"text\r\n" * 10_000)
        before = seen(client)
    second.data.mkdir(mode=0o700)
    copy_database(first.data / "mailsuite.sqlite3", second.data / "mailsuite.sqlite3")
    shutil.copytree(first.data / "mail", second.data / "mail")
    first.stop()
    without = second.run("check")
    assert without.returncode and "mailsuite.E002" in without.stderr
    shutil.copy(first.data / "secret.key", second.data / "secret.key")
    second.start()
    with log_in(second) as client:
        assert seen(client) == before
    second.stop()


def test_the_database_is_copied_while_mail_comes_in(tmp_path):
    """SQLite's .backup, in steps, begins anew whenever somebody has committed between two of them."""
    database, ended = tmp_path / "database", threading.Event()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.executescript("PRAGMA journal_mode=WAL; CREATE TABLE mail (octets BLOB)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO mail VALUES (zeroblob(?))", [(4000,)] * 5000)
        connection.execute("COMMIT")

    def receive():
        with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as connection:
            while not ended.is_set():
                connection.execute("INSERT INTO mail VALUES (zeroblob(400))")

    thread = threading.Thread(target=receive)
    thread.start()
    try:
        copy_database(database, tmp_path / "copy")
    finally:
        ended.set()
        thread.join()
    with closing(sqlite3.connect(tmp_path / "copy")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT COUNT(*) FROM mail").fetchone()[0] >= 5000


def copy_database(database, copy):
    """Runs what the guide has the program sqlite3 do: SQL, in this library as well."""
    [command] = re.findall(r'sqlite3 DATA/mailsuite\.sqlite3 "([^"]+)"', guide())
    with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as connection:
        connection.execute(command.replace("COPY", str(copy)))


def log_in(suite):
    context = ssl.create_default_context(cafile=suite.certificate)
    client = imaplib.IMAP4_SSL("localhost", suite.port("IMAPS"), ssl_context=context, timeout=30)
    client.login("ann@example.org", PASSWORD)
    return client


def seen(client):
    client.select(readonly=True)
    return client.response("UIDVALIDITY")[1], client.fetch("1", "(UID FLAGS BODY.PEEK[])")[1]
