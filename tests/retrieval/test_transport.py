"""The transport over real sockets, with a session that knows four words."""

import asyncio
import logging
import socket
import ssl
import warnings
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import uvloop

from mailsuite.server.admission import Admission, AdmissionLimits
from mailsuite.server.octets import OctetBudget
from mailsuite.supervisor.certificate import ensure_certificate
from retrieval import conversation, stream, transport
from retrieval.mail_values import Principal
from retrieval.stream import StreamLimits
from retrieval.transport import Kind, Server, ServerLimits


class Store:
    """A mailbox whose folder changes when told to, and whose login may become void."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.valid = True
        self.principal = Principal(1, 1, "ann@example.org", 0)

    async def changed(self) -> None:
        await self.event.wait()
        self.event.clear()

    async def still_valid(self) -> bool:
        return self.valid


class WordSession:
    """One line, one answer: ECHO x, TLS, FLOOD (without end), BUG, WATCH, IDLE, QUIT."""

    def __init__(self, tls_active: bool, timeout_seconds: float) -> None:
        self.closed = self.wants_starttls = self.idle_or_selected = self.broke_rules = False
        self.mail_store = Store()
        self.timeout_seconds = timeout_seconds
        self.tls_active = tls_active
        self.sign_of_life = b""
        self.abandoned = asyncio.Event()
        self._input = b""

    @property
    def held_octets(self):
        return len(self._input)

    @property
    def is_mid_command(self):
        return self.held_octets > 0

    def greeting(self):
        return b"hello, tls\r\n" if self.tls_active else b"hello\r\n"

    def receive_data(self, data):
        self._input += data or b"EOF\r\n"

    def tls_started(self):
        self._input, self.tls_active, self.wants_starttls = b"", True, False

    def end(self, text):
        self.closed = True
        return f"end: {text}\r\n".encode()

    async def run_ready(self):
        while b"\r\n" in self._input and not (self.closed or self.wants_starttls):
            line, _, self._input = self._input.partition(b"\r\n")
            match line.split()[0]:
                case b"ECHO":
                    yield line + b"\r\n"
                case b"TLS":
                    self.wants_starttls = True
                    yield b"go\r\n"
                    # However long it takes until TLS begins: the client does not wait.
                    await asyncio.sleep(0.02)
                case b"FLOOD":
                    while True:
                        yield b"x" * 65536
                case b"BUG":
                    yield b"half an an"
                    raise RuntimeError("a bug")
                case b"WATCH":
                    self.idle_or_selected = True
                    yield b"watching\r\n"
                case b"IDLE":
                    self.sign_of_life = b"still here\r\n"
                    self.idle_or_selected = True
                    yield b"idling\r\n"
                case b"QUIT" | b"EOF":
                    self.closed = True
                    yield b"bye\r\n"

    async def notify(self):
        yield b"changed\r\n"

    def interrupt(self):
        self.interrupted = True

    async def abandon(self):
        self.abandoned.set()


class Running:
    """A server on a free port and the sessions that it made."""

    def __init__(self, server, port, implicit_port, client_context):
        self.server, self.port, self.implicit_port, self.client_context = server, port, implicit_port, client_context
        self.sessions = []

    async def connect(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        assert await reader.readline() == b"hello\r\n"
        return reader, writer


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    ensure_certificate(certificate, key, "localhost", datetime.now(UTC))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=certificate)


@pytest.fixture
def serve(contexts):
    @asynccontextmanager
    async def serve(timeout_seconds=30.0, **limits):
        stream_limits = StreamLimits(**limits.pop("stream", {}))
        strangers = limits.pop("strangers", False)
        counts = AdmissionLimits(limits.pop("total", 2000), 100)
        admission = Admission(counts, banned=limits.pop("banned", lambda address: False))
        budget = limits.pop("budget", None)
        server = Server(ServerLimits(stream=stream_limits, **limits), contexts[0], admission, budget=budget)
        ports = []
        running = Running(server, 0, 0, contexts[1])

        def make(tls_active, client_address, connection_id):
            running.sessions.append(WordSession(tls_active, timeout_seconds))
            if strangers:
                running.sessions[-1].mail_store = None
            return running.sessions[-1]

        for implicit_tls in (False, True):
            sock = socket.create_server(("127.0.0.1", 0))
            sock.setblocking(False)
            ports.append(sock.getsockname()[1])
            server.listen(sock, Kind("words", make, b"too many\r\n", implicit_tls, b"banned\r\n"))
        running.port, running.implicit_port = ports
        try:
            yield running
        finally:
            await server.close()

    return serve


def run(coroutine):
    async def limited():
        async with asyncio.timeout(30):
            await coroutine

    with warnings.catch_warnings():
        # Clients here drop connections on purpose.
        warnings.simplefilter("ignore", ResourceWarning)
        uvloop.run(limited())


async def comes(condition):
    """Gives others their turn until it holds."""
    for _ in range(1_000_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError


def test_commands_cut_anywhere(serve):
    async def scene():
        async with serve() as running:
            reader, writer = await running.connect()
            for octet in b"ECHO a\r\nECHO b\r\n":
                writer.write(bytes([octet]))
                await asyncio.sleep(0)
            assert await reader.readline() == b"ECHO a\r\n"
            assert await reader.readline() == b"ECHO b\r\n"
            writer.write(b"QUIT\r\n")
            assert await reader.read() == b"bye\r\n"
            await running.sessions[0].abandoned.wait()

    run(scene())


def test_a_client_is_acknowledged_at_once_in_the_middle_of_a_command_alone(serve, monkeypatch):
    """It may keep the rest until then; to whole commands the answer says it."""

    async def scene():
        acknowledged = []
        monkeypatch.setattr(stream, "acknowledge_at_once", lambda sock: acknowledged.append(sock.getpeername()[1]))
        async with serve() as running:
            for port, tls in ((running.port, None), (running.implicit_port, running.client_context)):
                reader, writer = await asyncio.open_connection("localhost" if tls else "127.0.0.1", port, ssl=tls)
                await reader.readline()
                writer.write(b"ECHO a\r\nECHO b\r\n")
                assert [await reader.readline() for _ in range(2)] == [b"ECHO a\r\n", b"ECHO b\r\n"]
                assert acknowledged == []
                writer.write(b"ECHO")
                await comes(lambda: acknowledged)
                assert acknowledged == [writer.get_extra_info("sockname")[1]]
                writer.write(b" c\r\n")
                assert await reader.readline() == b"ECHO c\r\n"
                writer.close()
                acknowledged.clear()

    run(scene())


def test_a_busy_client_that_does_not_log_in(serve):
    async def scene():
        async with serve(login_seconds=0.2) as running:
            reader, writer = await running.connect()
            running.sessions[0].mail_store = None
            said = b""
            while not said.startswith(b"end: "):
                writer.write(b"ECHO still here\r\n")
                said = await reader.readline()
            assert said == b"end: Closed without a login\r\n"

            reader, writer = await running.connect()
            deadline = asyncio.get_running_loop().time() + 0.3
            while asyncio.get_running_loop().time() < deadline:
                writer.write(b"ECHO at home\r\n")
                assert await reader.readline() == b"ECHO at home\r\n"

    run(scene())


def test_starttls_throws_away_what_came_in_clear_text_behind_it(serve):
    def client(running):
        with socket.create_connection(("127.0.0.1", running.port), 10) as plain:
            assert plain.recv(100) == b"hello\r\n"
            plain.sendall(b"TLS\r\nECHO injected\r\n")
            assert plain.recv(100) == b"go\r\n"
            with running.client_context.wrap_socket(plain, server_hostname="localhost") as secure:
                secure.sendall(b"ECHO mine\r\n")
                assert secure.recv(100) == b"ECHO mine\r\n"

    async def scene():
        async with serve() as running:
            await asyncio.to_thread(client, running)

    run(scene())


def test_implicit_tls(serve):
    async def one(running):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", running.implicit_port, ssl=running.client_context, server_hostname="localhost"
        )
        assert await reader.readline() == b"hello, tls\r\n"
        writer.write(b"QUIT\r\n")
        assert await reader.read() == b"bye\r\n"
        writer.close()

    async def scene():
        async with serve() as running:
            await asyncio.gather(*(one(running) for _ in range(30)))

    run(scene())


def test_what_is_no_tls_ends_alone(serve):
    async def scene():
        async with serve() as running:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.implicit_port)
            writer.write(b"A1 NOOP\r\n" * 10)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                while True:
                    await reader.readexactly(1)
            await running.connect()

    run(scene())


def test_client_that_only_stops_sending_gets_its_answers(serve):
    async def scene():
        async with serve() as running:
            reader, writer = await running.connect()
            writer.write(b"ECHO a\r\nQUIT\r\n")
            writer.write_eof()
            assert await reader.read() == b"ECHO a\r\nbye\r\n"

    run(scene())


def test_client_that_vanishes_leaves_nothing_behind(serve):
    async def scene():
        async with serve() as running:
            _, writer = await running.connect()
            writer.transport.abort()
            await running.sessions[0].abandoned.wait()

    run(scene())


def test_silence_ends_the_session(serve):
    async def scene():
        async with serve(timeout_seconds=0.05) as running:
            reader, _ = await running.connect()
            assert await reader.read() == b"end: Closed after long silence\r\n"
            assert running.sessions[0].abandoned.is_set()

    run(scene())


def test_changes_of_the_folder_do_not_make_up_for_words(serve):
    """Who has gone without a word would else be waited for as long as mail comes."""

    async def scene():
        async with serve(timeout_seconds=0.5) as running:
            reader, writer = await running.connect()
            writer.write(b"WATCH\r\n")
            assert await reader.readline() == b"watching\r\n"
            said = []
            while not said or said[-1] == b"changed\r\n":
                running.sessions[0].mail_store.event.set()
                said.append(await reader.readline())
            assert said[-1] == b"end: Closed after long silence\r\n" and len(said) > 1

    run(scene())


def test_who_waits_in_silence_is_given_signs_of_life(serve, monkeypatch):
    monkeypatch.setattr(conversation, "SIGN_SECONDS", 0.02)

    async def scene():
        async with serve(timeout_seconds=20) as running:
            reader, writer = await running.connect()
            writer.write(b"ECHO a\r\nIDLE\r\n")
            assert await reader.readline() + await reader.readline() == b"ECHO a\r\nidling\r\n"
            assert [await reader.readline() for _ in range(3)] == [b"still here\r\n"] * 3
            running.sessions[0].mail_store.event.set()
            while (line := await reader.readline()) == b"still here\r\n":
                pass
            assert line == b"changed\r\n" and await reader.readline() == b"still here\r\n"
            running.sessions[0].timeout_seconds = 0
            while (line := await reader.readline()) == b"still here\r\n":
                pass
            assert line == b"end: Closed after long silence\r\n"

    run(scene())


def test_signs_of_life_come_to_all_connections_of_a_client_at_once():
    """And to different clients at different times."""
    times = [100.0, 130.5, 219.9, 1_000_000.25]
    for address in ("192.0.2.1", "2001:db8::1"):
        moments = {round(now + conversation.seconds_to_sign(address, now), 6) % 120 for now in times}
        assert len(moments) == 1
        assert all(0 < conversation.seconds_to_sign(address, now) <= 120 for now in times)
    assert len({round(conversation.seconds_to_sign(f"192.0.2.{at}", 0)) for at in range(100)}) > 30


def test_client_that_does_not_read_is_cut_off(serve):
    async def scene():
        async with serve(stream={"send_seconds": 0.1, "unsent_octets": 65536}) as running:
            _, writer = await running.connect()
            writer.transport.pause_reading()
            writer.write(b"FLOOD\r\n")
            await running.sessions[0].abandoned.wait()

    run(scene())


def test_unread_input_is_bounded(serve):
    async def scene():
        async with serve(stream={"send_seconds": 20, "unread_octets": 65536}) as running:
            with socket.create_connection(("127.0.0.1", running.port)) as client:
                client.setblocking(False)
                client.send(b"FLOOD\r\n")
                with pytest.raises(BlockingIOError):
                    for _ in range(10_000):
                        client.send(b"x" * 65536)
                        await asyncio.sleep(0)
                connection = next(iter(running.server._admission))
                assert len(connection.stream._received) < 1_000_000
                connection.stream.abort()

    run(scene())


def test_change_of_the_folder_is_told(serve):
    async def scene():
        async with serve() as running:
            reader, writer = await running.connect()
            writer.write(b"WATCH\r\n")
            assert await reader.readline() == b"watching\r\n"
            for _ in range(3):
                running.sessions[0].mail_store.event.set()
                assert await reader.readline() == b"changed\r\n"
            writer.write(b"ECHO a\r\n")
            assert await reader.readline() == b"ECHO a\r\n"

    run(scene())


def test_login_that_became_void_ends_the_session(serve, monkeypatch):
    monkeypatch.setattr(transport, "VALIDITY_SECONDS", 0.01)

    async def scene():
        async with serve() as running:
            watcher = asyncio.ensure_future(running.server.end_invalid())
            reader, writer = await running.connect()
            writer.write(b"ECHO a\r\n")
            await reader.readline()
            running.sessions[0].mail_store.valid = False
            assert await reader.read() == b"end: This login is not valid any more\r\n"
            watcher.cancel()

    run(scene())


def test_bug_ends_its_own_connection_alone(serve, caplog):
    async def scene():
        async with serve() as running:
            other_reader, other_writer = await running.connect()
            reader, writer = await running.connect()
            writer.write(b"BUG\r\n")
            assert await reader.read() in (b"", b"half an an")
            assert running.sessions[1].abandoned.is_set()
            other_writer.write(b"ECHO a\r\n")
            assert await other_reader.readline() == b"ECHO a\r\n"

    with caplog.at_level(logging.ERROR):
        run(scene())
    assert "a bug" in caplog.text


def test_closing_says_goodbye_and_accepts_nobody(serve):
    async def scene():
        async with serve() as running:
            reader, _ = await running.connect()
            await running.server.close()
            assert (
                await reader.read() == b"end: Service unavailable: the server is shutting down; wait and try again\r\n"
            )
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", running.port)

    run(scene())


def test_a_stranger_without_a_login_makes_room_for_a_newcomer(serve):
    async def scene():
        async with serve(total=2, strangers=True) as running:
            known_reader, known = await running.connect()
            stranger, _ = await running.connect()
            running.sessions[0].mail_store = Store()
            known.write(b"ECHO here\r\n")
            await known_reader.readline()
            await running.connect()
            assert (
                await stranger.read()
                == b"end: Service unavailable: closed to make room for others; wait and try again\r\n"
            )
            await running.sessions[1].abandoned.wait()
            assert not running.sessions[0].abandoned.is_set()

    run(scene())


def test_a_stranger_who_does_not_read_its_answers_makes_room_for_a_newcomer(serve):
    async def scene():
        async with serve(total=1, strangers=True) as running:
            _, writer = await running.connect()
            writer.transport.pause_reading()
            writer.write(b"FLOOD\r\n")
            stream = next(iter(running.server._admission)).stream
            await comes(lambda: stream.is_unread)
            reader, _ = await asyncio.open_connection("127.0.0.1", running.port)
            assert await reader.readline() == b"hello\r\n"
            await running.sessions[0].abandoned.wait()

    run(scene())


def test_who_has_logged_in_stays_and_the_newcomer_is_refused(serve):
    async def scene():
        async with serve(total=1) as running:
            reader, writer = await running.connect()
            writer.write(b"ECHO here\r\n")
            await reader.readline()
            newcomer, _ = await asyncio.open_connection("127.0.0.1", running.port)
            assert await newcomer.read() == b"too many\r\n"
            writer.write(b"QUIT\r\n")
            await reader.read()
            await running.sessions[0].abandoned.wait()
            await running.connect()

    run(scene())


def test_a_handshake_that_does_not_come_makes_room_without_a_word(serve):
    async def scene():
        async with serve(total=1) as running:
            silent, _ = await asyncio.open_connection("127.0.0.1", running.implicit_port)
            await running.connect()
            assert await silent.read() == b""

    run(scene())


def test_who_is_banned_is_told_so_and_makes_nobody_go(serve):
    async def scene():
        async with serve(total=1, banned=lambda address: "a ban") as running:
            for port, said in ((running.port, b"banned\r\n"), (running.implicit_port, b"")):
                reader, _ = await asyncio.open_connection("127.0.0.1", port)
                assert await reader.read() == said

    run(scene())


def test_what_all_connections_hold_together_is_counted(serve):
    async def scene():
        budget = OctetBudget()
        async with serve(budget=budget) as running:
            reader, writer = await running.connect()
            writer.write(b"ECHO a\r\nhalf a line")
            assert await reader.readline() == b"ECHO a\r\n"
            await comes(lambda: budget.held == len(b"half a line"))
            writer.write(b"\r\nQUIT\r\n")
            await reader.read()
            await running.sessions[0].abandoned.wait()
        assert budget.held == 0

    run(scene())


def test_once_too_much_is_held_who_holds_most_is_ended(serve):
    async def scene():
        budget = OctetBudget(limit=100_000, even_share=1000)
        async with serve(budget=budget) as running:
            modest_reader, modest = await running.connect()
            modest.write(b"x" * 500)
            reader, greedy = await running.connect()
            await comes(lambda: budget.held)
            budget.take(99_400)
            greedy.write(b"x" * 2000)
            assert (
                await reader.read() == b"end: Service unavailable: too much is under way here; wait and try again\r\n"
            )
            modest.write(b"\r\nECHO a\r\n")
            assert await modest_reader.readline() == b"ECHO a\r\n"

    run(scene())


def test_under_pressure_less_waits_to_be_sent(serve):
    async def scene():
        budget = OctetBudget(limit=10**9)
        async with serve(budget=budget) as running:
            _, writer = await running.connect()
            writer.transport.pause_reading()
            budget.take(8 * 10**8)
            writer.write(b"FLOOD\r\n")
            connection = next(iter(running.server._admission))
            await comes(lambda: not connection.stream._writable)
            assert connection.stream._transport.get_write_buffer_limits()[1] == budget.even_share
            assert budget.held > 8 * 10**8
            writer.transport.abort()
            await running.sessions[0].abandoned.wait()
            assert budget.held == 8 * 10**8

    run(scene())
