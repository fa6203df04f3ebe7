"""What tests of a session's store share: a login, filing, reading, and a store service at hand."""

import base64
from datetime import UTC, datetime

from stored_mail import spooled_names

from mailsuite.writer.operation import StoreUnavailable as ServiceUnavailable
from mailsuite.writer.run import execute
from retrieval.orm.directory import OrmDirectory
from retrieval.search_budget import SearchBudget

PASSWORD = "correct horse battery"
MAIL = (
    b"From: Ann =?utf-8?q?=C3=84pfel?= <ann@example.org>\r\nTo: bob@example.org\r\nBcc: secret@example.org\r\n"
    b"Subject: Gr\xc3\xbc\xc3\x9fe\r\nX-Other: needle in a field\r\n\r\nbody with a Word\r\n"
)
LATIN = base64.encodebytes("über ü".encode("iso-8859-1")).strip() + b"\r\n"
BASE64 = (
    b"Subject: b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\n" + LATIN
)


def noting(backend, fails_at=None):
    """The operations that are asked for; the one of that number, counted from 1, finds the store away."""
    run, asked = backend.client.run, []

    async def run_and_note(operation):
        asked.append(operation)
        if len(asked) == fails_at:
            raise ServiceUnavailable("away")
        return await run(operation)

    backend.client.run = run_and_note
    return asked


class DirectClient:
    """Runs operations here and now; `away` stands for a service that does not answer."""

    def __init__(self):
        self.away, self.sent, self.on_hint = False, [], None
        self.withdrawn = []

    async def run(self, operation):
        if self.away:
            raise ServiceUnavailable("away")
        return execute(operation)

    def send(self, operation):
        self.sent.append(operation)

    def withdraw(self, withdrawal):
        self.withdrawn.append(withdrawal)

    async def watch(self, on_hint):
        self.on_hint = on_hint

    async def close(self):
        pass


async def login(backend, password=PASSWORD):
    return await OrmDirectory(backend).login("ann@example.org", password, protocol="imap", client_address="192.0.2.1")


async def append(store, *messages, name="INBOX", bits=0, keywords=()):
    folder = await store.status(name)
    items = []
    for message in messages:
        spool = await store.spool()
        for at in range(0, len(message), 1000):
            await spool.write(message[at : at + 1000])
        items.append(await spool.finish(bits, keywords, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)))
    return folder.folder_id, (await store.append(folder.folder_id, items))[1]


async def rows_of(store, folder_id, uids, fields=()):
    return [row async for some in store.rows(folder_id, uids, fields) for row in some]


def budget(octets=10**9, seconds=60.0):
    return SearchBudget(octets, seconds)


def spool_files():
    return spooled_names()
