"""The suite's main path on a storage that has no paths: nobody but the storage knows where octets are.

SMTP, submission, IMAP, POP3 and the outbound queue on real sockets, in this process, which has the messages in memory.
"""

import asyncio
import imaplib
import poplib
import re
import smtplib
import socket
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
import uvloop
from crash_load import tls_context
from django.conf import settings
from django.db import connections
from memory_storage import MemoryStorage
from smtp_sink import Behaviour, Sink
from store_here import StoreHere
from tls_policies import Opportunistic

from mailsuite.access import authentication
from mailsuite.access.password_hasher import Argon2idHasher
from mailsuite.directory.cache import CACHE
from mailsuite.pipeline.orm_directory import OrmDirectory
from mailsuite.pipeline.transaction import Services
from mailsuite.provisioning import services
from mailsuite.queue.models import QueuedRecipient
from mailsuite.resolver.answers import Mx, ZoneResolver
from mailsuite.server.admission import Admission, AdmissionLimits
from mailsuite.server.octets import OctetBudget
from mailsuite.store.models import Content, Message
from mailsuite.store.sweep import sweep
from mailsuite.supervisor.certificate import ensure_certificate
from mailsuite.tls import server_context
from mailsuite.writer.spool import Spool
from mailsuite.writer.storage import mail_storage
from retrieval import daemon as retrieval
from retrieval.orm.backend import Backend
from retrieval.orm.directory import OrmDirectory as RetrievalDirectory
from retrieval.transport import Server, ServerLimits
from smtpd_service.inbound.limits import SmtpLimits
from smtpd_service.inbound.listener import close, listen, make_listeners
from smtpd_service.outbound.courier import Courier
from smtpd_service.outbound.destinations import Destinations
from smtpd_service.outbound.queue_reader import QueueReader
from smtpd_service.outbound.retry import RetryPlan
from smtpd_service.outbound.worker import Worker

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
ANN, PASSWORD, HOST = "ann@example.org", "correct horse battery", "mx.example.org"
LOOPBACK = [ip_network("127.0.0.0/8")]
ZONE = {("far.test", "MX"): [Mx(10, "mx.far.test")], ("mx.far.test", "A"): ["127.0.0.1"]}
LISTENERS = ("SMTP", "SUBMISSIONS", "IMAPS", "POP3S")
DAY = timedelta(days=1, seconds=1)


def mail(subject: str, needle: str, lines: int = 1) -> bytes:
    """A message; one of 20,000 lines is too large to stay in memory or to be read in the writer's own process."""
    head = f"From: Bob <bob@far.test>\r\nTo: ann@example.org\r\nSubject: {subject}\r\nMessage-ID: <{needle}@far.test>"
    return (head + "\r\n\r\n" + "a line of the message\r\n" * lines + f"and a {needle} in it\r\n").encode()


SMALL, LARGE = mail("small", "thimble"), mail("large", "haystack", 20_000)


class Suite:
    """All services but the store's on one loop, in a thread."""

    def __init__(self, tls, sink_port: int) -> None:
        self.store = StoreHere()
        self._tls, self._sink_port = tls, sink_port
        self._sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in LISTENERS}
        self.ports = {name: sock.getsockname()[1] for name, sock in self._sockets.items()}
        self._loop, self._ended = uvloop.new_event_loop(), asyncio.Event()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        assert self._begun.wait(20)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._loop.close()

    async def _serve(self) -> None:
        budget, limits = OctetBudget(), AdmissionLimits(50, 50)
        admissions = [Admission(limits), Admission(limits)]
        self._directory = OrmDirectory(is_exhausted=lambda _: False)
        listeners = make_listeners(
            self._pipeline(budget),
            mx_admission=admissions[0],
            submission_admission=admissions[1],
            size_limit=10_000_000,
            tls=self._tls,
            limits=SmtpLimits(),
        )
        smtp = await listen(listeners, {name: [self._sockets[name]] for name in LISTENERS[:2]})
        backend = Backend(settings.MAILSUITE, self.store, budget)
        server = Server(ServerLimits(), self._tls, Admission(limits), lambda *_: None, budget)
        kinds = retrieval._kinds(HOST, 10_000_000, RetrievalDirectory(backend))
        for name in LISTENERS[2:]:
            server.listen(self._sockets[name], kinds[name])
        reader = QueueReader()
        delivering = asyncio.ensure_future(self._worker(reader).run(self._ended))
        self._begun.set()
        await self._ended.wait()
        await delivering
        reader.close()
        await close(smtp, admissions)
        await server.close()
        await backend.close()
        self._directory.close()
        await asyncio.get_running_loop().shutdown_default_executor()
        connections.close_all()

    def _pipeline(self, budget: OctetBudget) -> Services:
        return Services(
            HOST,
            self._directory,
            self.store,
            Spool(mail_storage(), budget),
            (b"secret",),
            disk_reserve_octets=0,
        )

    def _worker(self, reader: QueueReader) -> Worker:
        def new_courier(hop) -> Courier:
            destinations = Destinations(ZoneResolver(ZONE), (), LOOPBACK, port=self._sink_port)
            return Courier(hop, destinations=destinations, policy=Opportunistic(), helo=HOST, allowed=LOOPBACK)

        return Worker(
            store=self.store,
            reader=reader,
            new_courier=new_courier,
            storage=mail_storage(),
            plan=RetryPlan([timedelta(hours=1)]),
            token="token",
        )


@pytest.fixture
def storage(settings, monkeypatch):
    settings.STORAGES = settings.STORAGES | {"mail": {"BACKEND": "memory_storage.MemoryStorage"}}
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    monkeypatch.setattr(Argon2idHasher, "time_cost", 1)
    monkeypatch.setattr(Argon2idHasher, "memory_cost", 8)
    authentication._dummy_hash.cache_clear()
    authentication.forget_logins()
    CACHE.clear()
    storage = mail_storage()
    assert isinstance(storage, MemoryStorage)
    return storage


@pytest.fixture
def sink():
    with Sink(Behaviour(recipient=lambda address: "550 5.1.1 who?" if "nobody" in address else "250 ok")) as sink:
        yield sink


@pytest.fixture
def suite(storage, sink, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    ensure_certificate(certificate, key, HOST, datetime.now(UTC))
    services.add_domain("example.org", key_pairs=[])
    services.add_mailbox(ANN, PASSWORD)
    suite = Suite(server_context(certificate, key), sink.port)
    yield suite
    suite.stop()


@pytest.fixture
def imap(suite):
    client = imaplib.IMAP4_SSL("127.0.0.1", suite.ports["IMAPS"], ssl_context=tls_context(), timeout=30)
    client.login(ANN, PASSWORD)
    client.select()
    yield client
    client.logout()


def receive(suite, *messages: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", suite.ports["SMTP"], "far.test", timeout=30) as client:
        for message in messages:
            client.sendmail("bob@far.test", [ANN], message)


def fetched(imap, number: int, item: str) -> bytes:
    _, [(_, octets), *_] = imap.fetch(str(number), f"({item})")
    return octets


def found(imap, *criteria: str) -> list[int]:
    return [int(number) for number in imap.search(None, *criteria)[1][0].split()]


def test_what_comes_by_smtp_is_read_by_imap_and_pop3(suite, imap, storage):
    receive(suite, SMALL, LARGE)
    imap.noop()
    for number, message in enumerate((SMALL, LARGE), 1):
        whole = fetched(imap, number, "BODY.PEEK[]")
        assert whole.endswith(b"\r\n" + message) and whole == Message.objects.get(uid=number).octets()
        start = len(whole) - len(message) - 10
        assert fetched(imap, number, f"BODY.PEEK[]<{start}.30>") == whole[start : start + 30]
        assert fetched(imap, number, "BODY.PEEK[TEXT]") == message.partition(b"\r\n\r\n")[2]
        assert message.startswith(fetched(imap, number, "BODY.PEEK[HEADER.FIELDS (From)]").rstrip())
    assert (found(imap, "BODY", "thimble"), found(imap, "TEXT", "haystack")) == ([1], [2])
    assert found(imap, "SUBJECT", "large") == [2]
    client = poplib.POP3_SSL("127.0.0.1", suite.ports["POP3S"], context=tls_context(), timeout=30)
    client.user(ANN)
    client.pass_(PASSWORD)
    assert b"\r\n".join(client.retr(2)[1]).endswith(LARGE.rstrip())
    assert client.top(1, 0)[1][-2] == b"Message-ID: <thimble@far.test>"
    client.quit()
    assert len(storage.blobs) == 2 and not storage.spool


def test_what_is_appended_copied_and_expunged_leaves_what_is_named_and_nothing_else(imap, storage):
    for message in (SMALL, LARGE):
        assert imap.append("INBOX", None, None, message)[0] == "OK"
    imap.create("Kept")
    assert imap.copy("1", "Kept")[0] == "OK"
    imap.store("1:2", "+FLAGS", "(\\Deleted)")
    imap.expunge()
    imap.select("Kept")
    assert fetched(imap, 1, "BODY.PEEK[]") == SMALL
    imap.unselect()
    now = datetime.now(UTC)
    assert sum(sweep(now + day * DAY) for day in range(2, 6)) == 1
    assert list(storage.blobs) == [Content.objects.get().blob] and not storage.spool


def test_what_is_submitted_goes_out_and_what_is_refused_comes_back(suite, imap, sink, storage):
    with smtplib.SMTP_SSL(
        "127.0.0.1", suite.ports["SUBMISSIONS"], "laptop", timeout=30, context=tls_context()
    ) as client:
        client.login(ANN, PASSWORD)
        large = LARGE.replace(b"Bob <bob@far.test>", ANN.encode())
        for message in (SMALL.replace(b"Bob <bob@far.test>", ANN.encode()), large):
            client.sendmail(ANN, ["bob@far.test", "nobody@far.test"], message)
    suite.store.wait_for(lambda: Message.objects.filter(content__subject__startswith="Not delivered").count() == 2)
    sent = sorted((message.data for message in sink.wait_for_messages(2)), key=len)
    assert b"\r\nSubject: small\r\n" in sent[0] and sent[1].endswith(large.partition(b"\r\n\r\n")[2])
    assert not QueuedRecipient.objects.filter(settled_at=None).exists()
    imap.noop()
    returned = [fetched(imap, number, "BODY.PEEK[]") for number in (1, 2)]
    assert sorted(set(re.findall(rb"Message-ID: <(thimble|haystack)@", b"".join(returned)))) == [
        b"haystack",
        b"thimble",
    ]
    assert not storage.spool
