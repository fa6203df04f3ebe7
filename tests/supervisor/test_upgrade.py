"""An old data folder with mail in it, brought up to date by `up`."""

import sqlite3
import subprocess
from contextlib import closing

import psycopg

# As before mailboxes had a mod-sequence: each folder its own, the archive behind the inbox.
FILL = """
from mailsuite.directory.models import Mailbox
from mailsuite.provisioning.domains import add_domain
from mailsuite.provisioning.mailboxes import add_mailbox
from mailsuite.store import shell
from mailsuite.store.models import Folder
from mailsuite.writer.storage import mail_storage
mail_storage().prepare()
add_domain("old.test")
add_mailbox("ann@old.test", "a long enough passphrase")
for role, count in (("inbox", 3), ("archive", 1)):
    for _ in range(count):
        shell.append(Folder.objects.get(role=role), b"Subject: x\\r\\n\\r\\n")
shell.delete(Folder.objects.get(role="inbox").messages.filter(uid=2))
"""
AS_IT_WAS = (
    "UPDATE store_folder SET highest_modseq = 41 WHERE role = 'inbox'",
    "UPDATE store_folder SET highest_modseq = 7 WHERE role = 'archive'",
    "UPDATE store_tombstone SET modseq = 41",
)
APPEND = """
from mailsuite.store import shell
from mailsuite.store.models import Folder
shell.append(Folder.objects.get(role="archive"), b"Subject: y\\r\\n\\r\\n")
"""
ROLES = "SELECT role, highest_modseq FROM store_folder WHERE role IN ('inbox', 'archive') ORDER BY role"
MESSAGES = "SELECT f.role, m.uid, m.created_modseq FROM store_message m JOIN store_folder f ON f.id = m.folder_id"


def connect(suite):
    url = suite.environment.get("DATABASE_URL")
    return closing(psycopg.connect(url) if url else sqlite3.connect(suite.data / "mailsuite.sqlite3"))


def rows(suite, *statements):
    """What the last of the statements answers."""
    with connect(suite) as database:
        for statement in statements:
            answer = database.execute(statement)
        found = answer.fetchall() if answer.description else []
        database.commit()
    return found


def test_folders_get_the_mod_sequence_of_their_mailbox(new_suite, require_program):
    suite = new_suite()
    if "DATABASE_URL" in suite.environment:
        require_program("pg_dump", "postgresql-client")
    suite.manage("shell", "-c", FILL)
    suite.manage("migrate", "store", "0005")
    rows(suite, *AS_IT_WAS)
    suite.manage("up", "--prepare-only")
    [copy] = (suite.data / "backups").iterdir()
    assert not names_created_modseq(copy)
    assert rows(suite, "SELECT highest_modseq FROM store_usage") == [(41,)]
    assert rows(suite, ROLES) == [("archive", 7), ("inbox", 41)]
    suite.manage("shell", "-c", APPEND)
    assert rows(suite, ROLES) == [("archive", 42), ("inbox", 41)]
    assert sorted(rows(suite, MESSAGES)) == [("archive", 1, 1), ("archive", 2, 42), ("inbox", 1, 1), ("inbox", 3, 1)]
    assert rows(suite, "SELECT uid, modseq, message_id, created_modseq FROM store_tombstone") == [(2, 41, None, 1)]


def names_created_modseq(copy) -> bool:
    if copy.suffix == ".sqlite3":
        with closing(sqlite3.connect(copy)) as database:
            schema = "".join(row[0] for row in database.execute("SELECT sql FROM sqlite_schema WHERE sql NOTNULL"))
    else:
        schema = subprocess.run(
            ["pg_restore", "--schema-only", "--file=-", copy], capture_output=True, text=True, check=True
        ).stdout
    assert "store_message" in schema
    return "created_modseq" in schema
