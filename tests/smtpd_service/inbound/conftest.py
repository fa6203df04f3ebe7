import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Any

import pytest
import uvloop
from resolutions import resolved

from mailsuite.access.ban_list import BAN_LIST
from mailsuite.authcheck.checker import Checker
from mailsuite.authcheck.signatures import SignatureChecker
from mailsuite.directory.resolution import Kind, LocalTarget, Part, Resolution
from mailsuite.mail import srs
from mailsuite.mail.address import Address, Path
from mailsuite.pipeline.evaluator import Evaluator
from mailsuite.pipeline.parties import Submitter
from mailsuite.pipeline.services import LoginAnswer, SigningKey
from mailsuite.pipeline.transaction import Services
from mailsuite.resolver.answers import ZoneResolver
from mailsuite.server.admission import Admission, AdmissionLimits
from mailsuite.store.operations import Deliver
from mailsuite.supervisor.certificate import ensure_certificate
from mailsuite.tls import server_context
from mailsuite.trace.operations import TellStory
from mailsuite.writer.local_storage import LocalStorage
from mailsuite.writer.spool import Spool
from mailsuite.writer.storage import MailStorage
from smtpd_service.inbound.limits import SmtpLimits
from smtpd_service.inbound.listener import close, listen, make_listeners

SIZE_LIMIT = 2_000_000


SRS_SECRETS = (b"srs secret",)


@dataclass
class FakeDirectory:
    """ann and bob at example.org, 20 octets left for full@; team@ leads to both and a stranger."""

    keys: tuple[SigningKey, ...] = ()
    broken: Exception | None = None
    revoked: bool = False
    sent_too_much: bool = False
    used: dict[int, int] = field(default_factory=dict)
    remote: dict[str, Resolution] = field(default_factory=dict)
    asked_for_usage: list[list[int]] = field(default_factory=list)
    keeps_no_more_for: set[int | None] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.people = {
            "ann@example.org": LocalTarget(1, 1, "ann@example.org", 0, "active"),
            "bob@example.org": LocalTarget(2, 1, "bob@example.org", 0, "active"),
            "full@example.org": LocalTarget(3, 1, "full@example.org", 1000, "active"),
        }
        self.used[3] = 980

    async def resolve(self, path: Path) -> Resolution:
        if self.broken:
            raise self.broken
        assert path.address is not None
        if path.is_bare_postmaster:
            return resolved("postmaster", [self.people["ann@example.org"]])
        key = path.address.key
        if key in self.remote:
            return self.remote[key]
        if path.address.domain == "disabled.example":
            return Resolution(Kind.DISABLED, domain_id=2)
        if path.address.domain != "example.org":
            return Resolution(Kind.UNHOSTED)
        if srs.is_srs(path.address.local_part):
            try:
                original = srs.reverse(path.address, SRS_SECRETS, datetime.now(UTC).date())
            except srs.SrsError:
                return Resolution(Kind.UNKNOWN, domain_id=1, reason="rewritten-sender-invalid")
            return resolved(str(path), remote=[str(original)])
        base, _, detail = path.address.local_part.partition("+")
        target = self.people.get(Address(base, path.address.domain).key)
        if target is None:
            return Resolution(Kind.UNKNOWN, domain_id=1)
        part = Part(f"mailbox {target.mailbox_id}", str(path), 1, {target.mailbox_id: target})
        return Resolution(Kind.RESOLVED, (part,), 1, detail=detail or None)

    async def is_hosted(self, domain: str) -> bool:
        return domain == "example.org"

    async def used_octets(self, mailbox_ids: Sequence[int]) -> dict[int, int]:
        self.asked_for_usage.append(list(mailbox_ids))
        return {mailbox_id: self.used.get(mailbox_id, 0) for mailbox_id in mailbox_ids}

    async def keeps_no_more(self, domain_id: int | None) -> bool:
        return domain_id in self.keeps_no_more_for

    async def may_send_as(self, user_id: int, address: Address) -> bool:
        return address.key in ("ann@example.org", "team@example.org")

    async def login(self, name: str, password: str, client_address: str) -> LoginAnswer:
        if (name, password) == ("ann@example.org", "right"):
            return LoginAnswer(Submitter(7, name, 1, 1))
        return LoginAnswer(None, try_later=password == "blocked")

    async def still_holds(self, submitter: Submitter) -> bool:
        return not self.revoked

    async def has_sent_too_much(self, mailbox_id: int) -> bool:
        return self.sent_too_much

    async def signing_keys(self, domain: str) -> tuple[SigningKey, ...]:
        return self.keys if domain == "example.org" else ()


class FakeStore:
    """Keeps what it is given, with its octets; spool files it removes as the store service does."""

    def __init__(self, storage: MailStorage) -> None:
        self._storage = storage
        self.delivered: list[tuple[Deliver, bytes]] = []
        self.told: list[TellStory] = []
        self.error: Exception | None = None
        self.hold: threading.Event | None = None
        self.asked = threading.Event()

    async def run(self, operation: Any) -> Any:
        self.asked.set()
        if self.hold:
            await asyncio.to_thread(self.hold.wait)
        if self.error:
            raise self.error
        assert isinstance(operation, Deliver)
        octets = operation.octets
        if octets is None:
            with self._storage.open_spooled(operation.spool) as file:
                octets = file.read()
            self._storage.discard_spooled([operation.spool])
        assert len(octets) == operation.size_octets
        self.delivered.append((operation, octets))

    def send(self, operation: Any) -> None:
        self.told.append(operation)

    @property
    def reasons(self) -> list[str]:
        return [told.story.reason for told in self.told]


class Talk:
    """A client that sends exact octets and reads replies."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(10)
        self._buffer = b""

    def send(self, *lines: str | bytes) -> None:
        octets = b"".join(line if isinstance(line, bytes) else line.encode() + b"\r\n" for line in lines)
        self.sock.sendall(octets)

    def line(self) -> str:
        while b"\r\n" not in self._buffer:
            chunk = self.sock.recv(65536)
            if not chunk:
                return "" if not self._buffer else self._buffer.decode()
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line.decode()

    def reply(self) -> str:
        """The last line of the next reply."""
        while (line := self.line())[3:4] == "-":
            pass
        return line

    def ask(self, *lines: str | bytes) -> str:
        self.send(*lines)
        return self.reply()

    def start_tls(self) -> None:
        assert self.ask("STARTTLS").startswith("220 2.0.0 ")
        self.wrap()

    def wrap(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock)
        self._buffer = b""

    def mail(self, content: bytes, *recipients: str, sender: str = "x@other.example") -> str:
        self.send(f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{one}>" for one in recipients), "DATA")
        replies = [self.reply() for _ in range(len(recipients) + 2)]
        assert replies[-1].startswith("354"), replies
        return self.ask(content + b".\r\n")

    def closed(self) -> bool:
        """Whether the server has closed: nothing more comes."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.sock.close()


class Server:
    """The listeners on a loop of their own, in a thread."""

    def __init__(self, folder: FilePath, certificate: FilePath, key: FilePath, **settings: Any) -> None:
        self.storage = LocalStorage(folder / "mail")
        self.storage.prepare()
        self.directory, self.store = FakeDirectory(), FakeStore(self.storage)
        self.spool = Spool(self.storage)
        total = settings.pop("total", 50)
        limits = AdmissionLimits(total, 50)
        self.admission, self.submission_admission = Admission(limits), Admission(limits)
        smtp_limits = SmtpLimits(**settings.pop("limits", {}))
        evaluator = settings.pop("evaluator", None)
        if isinstance(evaluator, dict):
            # A DNS zone: mail is evaluated by it.
            checker = Checker(ZoneResolver(evaluator), SignatureChecker(), host="mx.example.org")
            evaluator = Evaluator(checker, ("mx.example.org",))
        here = Services(
            "mx.example.org",
            self.directory,
            self.store,
            self.spool,
            SRS_SECRETS,
            BAN_LIST.note,
            evaluator=evaluator,
            **{"disk_reserve_octets": 0, **settings},
        )
        self._listeners = make_listeners(
            here,
            mx_admission=self.admission,
            submission_admission=self.submission_admission,
            size_limit=SIZE_LIMIT,
            tls=server_context(certificate, key, tickets=False),
            limits=smtp_limits,
        )
        self._sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in self._listeners}
        self._loop = uvloop.new_event_loop()
        self.loop_errors: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda loop, context: self.loop_errors.append(context))
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._servers = self._call(listen(self._listeners, {name: [sock] for name, sock in self._sockets.items()}))
        self._talks: list[Talk] = []

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def connect(self, name: str = "SMTP", *, hello: str | None = "client.example", wrap: bool = True) -> Talk:
        talk = Talk(socket.create_connection(self._sockets[name].getsockname()))
        self._talks.append(talk)
        if name == "SUBMISSIONS" and wrap:
            talk.wrap()
        if hello is not None:
            assert talk.reply() == "220 mx.example.org ESMTP"
            assert talk.ask(f"EHLO {hello}") == "250 HELP"
        return talk

    def log_in(self) -> Talk:
        talk = self.connect("SUBMISSIONS")
        assert talk.ask("AUTH PLAIN AGFubkBleGFtcGxlLm9yZwByaWdodA==").startswith("235 2.7.0 ")
        return talk

    def close(self) -> None:
        self._call(close(self._servers, [self.admission, self.submission_admission]))

    def stop(self) -> None:
        assert not self.loop_errors
        for talk in self._talks:
            talk.close()
        self.close()
        self._call(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        assert not self.loop_errors


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[FilePath, FilePath]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    ensure_certificate(certificate, key, "mx.example.org", datetime.now(UTC))
    return certificate, key


@pytest.fixture
def make_server(tmp_path, certificate) -> Any:
    made: list[Server] = []

    def make(**settings: Any) -> Server:
        made.append(Server(tmp_path, *certificate, **settings))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server()
