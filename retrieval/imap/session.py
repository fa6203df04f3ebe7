"""IMAP4rev1 (RFC 3501) without sockets: octets in, octets out, the store awaited in between.

The transport's part:

    session = ImapSession(limits, hostname, tls_active, starttls_available, directory, client_address, views=views)
    send(session.greeting())
    loop:
        session.receive_data(octets)                  # b"" at end of stream
        async for octets in session.run_ready():      # runs every complete command; drain between the pieces
            send(octets)
        if session.closed: close
        if session.wants_starttls: upgrade, then session.tls_started(); nothing read before it counts
        wait for octets or session.timeout_seconds; on time-out send(session.end("...")), which closes
        meanwhile send(session.sign_of_life) every two minutes
        meanwhile, if session.idle_or_selected, race `session.mail_store.changed()`, and when it returns:
            async for octets in session.notify():     # nothing outside IDLE: the next command tells
                send(octets)
    finally: await session.abandon()

`views` is one ViewCache for all sessions of a process. `run_ready` and `notify` never run at the same time. Commands
run one after the other in the order they came, so answers of pipelined commands never mix (RFC 3501 §5.5). In an answer
a handler's untagged responses come first, then what others have changed, then the tagged end; EXPUNGE is told by no
FETCH, STORE, SEARCH or COPY of sequence numbers (RFC 3501 §7.4.1).
"""

import logging
from binascii import b2a_base64
from collections.abc import AsyncIterator

from mailsuite.protocol.lines import LineTooLong
from mailsuite.protocol.literals import Announcement, CommandLine, CommandReader
from mailsuite.protocol.sasl import EXCHANGES, Credentials, Exchange, SaslError, decode_response
from retrieval.imap.append import (
    Appending,
    Phase,
    abandon_append,
    append_announced,
    feed_append,
    finish_append,
    literal_fits,
)
from retrieval.imap.commands import Authenticate
from retrieval.imap.context import Completion, Context, ImapLimits, State
from retrieval.imap.dispatch import Verb, take_verb
from retrieval.imap.errors import BadCommand
from retrieval.imap.failures import completion_of
from retrieval.imap.grammar import Scanner
from retrieval.imap.login_commands import NEEDS_TLS, capabilities, log_in
from retrieval.imap.parsers import parse_arguments
from retrieval.imap.updates import FolderVanished, claim_seen, untagged_updates
from retrieval.imap.view_cache import ViewCache
from retrieval.mail_store import Directory, MailStore

logger = logging.getLogger(__name__)

CHUNK_OCTETS = 64 * 1024


class ImapSession:
    """One client's session; see the head of this module."""

    def __init__(
        self,
        limits: ImapLimits,
        hostname: str,
        tls_active: bool,
        starttls_available: bool,
        directory: Directory,
        client_address: str,
        *,
        session_id: str = "",
        version: str = "",
        views: ViewCache | None = None,
    ) -> None:
        self.closed = False
        self.wants_starttls = False
        self.broke_rules = False
        self._context = Context(
            *(limits, hostname, directory, client_address, tls_active, starttls_available, version),
            views=views or ViewCache(),
        )
        self._session_id = session_id
        self._reader = CommandReader()
        self._at_end_of_stream = False
        self._bad_commands = self._bugs = 0
        self._appending: Appending | None = None
        self._idle_tag = b""
        self._exchange: tuple[bytes, Exchange] | None = None

    @property
    def mail_store(self) -> MailStore | None:
        """The store of who has logged in."""
        return self._context.store_or_none

    @property
    def idle_or_selected(self) -> bool:
        """Whether the transport should wait for changes of the store, too."""
        return bool(self._idle_tag) or self._context.view_or_none is not None

    @property
    def timeout_seconds(self) -> float:
        """How long the client may be silent (RFC 3501 §5.4). Who waits in IDLE may for long: there are clients that
        never begin it anew, as RFC 2177 §3 has them do."""
        limits = self._context.limits
        if self._idle_tag:
            return limits.waiting_seconds
        return limits.login_seconds if self._context.state is State.NOT_AUTHENTICATED else limits.idle_seconds

    @property
    def sign_of_life(self) -> bytes:
        """What to say now and then to a client that waits in IDLE."""
        return b"* OK Still here\r\n" if self._idle_tag else b""

    @property
    def held_octets(self) -> int:
        """What has arrived of a command that is not complete."""
        return self._reader.held_octets

    @property
    def is_mid_command(self) -> bool:
        """Whether the rest of a command is awaited: of a line, a literal or what stands behind one."""
        return self._appending is not None or self._reader.held_octets > 0

    def greeting(self) -> bytes:
        context = self._context
        return f"* OK [CAPABILITY {capabilities(context)}] {context.hostname} ready\r\n".encode()

    def receive_data(self, octets: bytes) -> None:
        """Take what the client sent, b"" at end of stream. What comes behind STARTTLS in clear text is dropped."""
        self._at_end_of_stream = self._at_end_of_stream or not octets
        if not self.wants_starttls:
            self._reader.receive(octets)

    def tls_started(self) -> None:
        """Begin anew under TLS, with nothing that came before it (RFC 3501 §6.2.1)."""
        self._reader.clear()
        self._context.tls_active, self.wants_starttls = True, False

    def end(self, text: str) -> bytes:
        """Close the session; return its last words."""
        self.closed, self._context.state = True, State.LOGOUT
        return f"* BYE {text}\r\n".encode("ascii", "replace")

    def interrupt(self) -> None:
        """Have a search end soon: the client is gone, or the session is to end."""
        self._context.interrupt()

    async def abandon(self) -> None:
        """Leave nothing behind when the connection is gone."""
        self.closed = True
        if self._appending is not None:
            await abandon_append(self._appending)
        if self._context.store_or_none is not None:
            await self._context.store.watch(None)

    async def run_ready(self) -> AsyncIterator[bytes]:
        """Run every command that is complete; yields what is to be sent."""
        while not (self.closed or self.wants_starttls):
            try:
                step = self._next_step()
            except LineTooLong:
                self._give_up("A line is too long")
                yield self.end(self._context.closing_text)
                return
            if step is None:
                break
            async for octets in step:
                yield octets
        self.closed = self.closed or self._at_end_of_stream

    async def notify(self) -> AsyncIterator[bytes]:
        """Note that the folder may have changed; in IDLE yields what has."""
        view = self._context.view_or_none
        if view is None:
            return
        view.stale = True
        if not self._idle_tag:
            return
        try:
            told = await untagged_updates(self._context, expunges=True, look=False, claim=False)
        except FolderVanished:
            told = self.end("The selected folder was deleted")
        if told:
            yield told

    def _next_step(self) -> AsyncIterator[bytes] | None:
        """Return what the octets that are here call for, or None when more are needed. Raises LineTooLong."""
        limits = self._context.limits
        if self._appending is not None and self._appending.phase is Phase.LITERAL:
            octets = self._reader.take_octets(min(self._appending.missing_octets, CHUNK_OCTETS))
            return self._append_octets(self._appending, octets) if octets else None
        if self._appending is not None or self._idle_tag or self._exchange is not None:
            line = self._reader.take_line(limits.login_line_octets)
            return None if line is None else self._line(line)
        logged_in = self._context.state is not State.NOT_AUTHENTICATED
        ready = self._reader.next(limits.line_octets if logged_in else limits.login_line_octets)
        if isinstance(ready, Announcement):
            return self._literal_announced(ready)
        return None if ready is None else self._command(ready)

    def _line(self, line: bytes) -> AsyncIterator[bytes]:
        if line.endswith(b"+}"):  # what nobody asked for is on its way, and must not be run as commands (RFC 7888 §4)
            self._give_up("A literal can't stand here")
        if self._appending is not None:
            return self._end_append(self._appending, line)
        if self._exchange is not None:
            return self._continue_exchange(*self._exchange, line)
        return self._end_idle(line)

    async def _command(self, line: CommandLine) -> AsyncIterator[bytes]:
        """Run one complete command."""
        scanner = Scanner(line.octets, limits=self._context.limits.grammar)
        tag = scanner.tag()
        try:
            if not tag:
                raise BadCommand("Expected a tag")
            if not line.is_clean:
                raise BadCommand("A command can't hold NUL or bare CR")
            name, verb = take_verb(scanner, self._context.state)
            command = parse_arguments(name, scanner)
        except Exception as problem:
            yield self._completed(tag or b"*", self._failure(problem))
            return
        if isinstance(command, Authenticate):
            steps = self._authenticate(tag, command)
        elif verb.handler is not None:
            steps = self._run(tag, verb, command)
        else:
            steps = {"LOGOUT": self._logout, "STARTTLS": self._starttls, "IDLE": self._idle}[name](tag)
        async for octets in steps:
            yield octets

    async def _run(self, tag: bytes, verb: Verb, command: object) -> AsyncIterator[bytes]:
        """Yield a handler's answer in pieces worth sending, then what others changed, then the tagged end."""
        context = self._context
        completion = Completion("OK", "Completed")
        gathered: list[bytes] = []
        gathered_octets = 0
        try:
            assert verb.handler is not None
            if verb.current and context.view.stale:
                gathered.append(await untagged_updates(context, expunges=verb.expunges, look=False))
            async for answer in verb.handler(context, command):
                if isinstance(answer, Completion):
                    completion = answer
                    continue
                gathered.append(answer)
                gathered_octets += len(answer)
                if context.is_mid_answer or gathered_octets >= CHUNK_OCTETS:
                    yield b"".join(gathered)
                    gathered.clear()
                    gathered_octets = 0
            gathered.append(await untagged_updates(context, expunges=verb.expunges, look=verb.asks))
        except Exception as problem:  # every command gets its tagged answer, whatever went wrong
            completion = self._failure(problem)
        if context.is_mid_answer:  # a literal was promised and can't be kept: no word of ours may stand in its place
            logger.error("IMAP session %s: an answer broke off: %s", self._session_id, completion.text)
            self.closed = True
        else:
            yield b"".join(gathered) + self._completed(tag, completion)

    def _failure(self, problem: Exception) -> Completion:
        """Return how a command ends that ran into this; what is no problem of the client's or the store's is a bug."""
        completion = completion_of(problem)
        if completion is None:
            self._bugs += 1
            reference = f"{self._session_id}.{self._bugs}"
            logger.error("IMAP bug %s", reference, exc_info=problem)
            return Completion("NO", f"An error of ours, logged as {reference}", "SERVERBUG")
        self._bad_commands += completion.status == "BAD"
        if self._bad_commands >= self._context.limits.bad_commands:
            self._give_up("Too many bad commands")
        if isinstance(problem, FolderVanished):
            self._context.closing_text = completion.text
        return completion

    def _give_up(self, text: str) -> None:
        """Have the session end with these words, because the client breaks the protocol."""
        self._context.closing_text = text
        self.broke_rules = self._context.state is State.NOT_AUTHENTICATED

    def _completed(self, tag: bytes, completion: Completion) -> bytes:
        """Return the tagged line, and the session's end where that is due."""
        if completion.status == "OK" and self._context.state is not State.NOT_AUTHENTICATED:
            self._bad_commands = 0
        line = completion.line(tag)
        closing_text = self._context.closing_text
        return line + self.end(closing_text) if closing_text else line

    async def _logout(self, tag: bytes) -> AsyncIterator[bytes]:
        yield self.end("Logging out") + Completion("OK", "LOGOUT completed").line(tag)

    async def _starttls(self, tag: bytes) -> AsyncIterator[bytes]:
        if self._context.tls_active or not self._context.starttls_available:
            yield self._completed(tag, self._failure(BadCommand("TLS is active already, or not available")))
            return
        self._reader.clear()
        self.wants_starttls = True
        yield Completion("OK", "Begin TLS now").line(tag)

    async def _authenticate(self, tag: bytes, command: Authenticate) -> AsyncIterator[bytes]:
        """RFC 3501 §6.2.2, with an initial response (RFC 4959)."""
        mechanism = EXCHANGES.get(command.mechanism)
        if not self._context.tls_active:
            yield self._completed(tag, NEEDS_TLS)
        elif mechanism is None:
            yield self._completed(tag, Completion("NO", "There is no such mechanism", "CANNOT"))
        else:
            yield await self._step_exchange(tag, mechanism(), command.initial_response)

    async def _continue_exchange(self, tag: bytes, exchange: Exchange, line: bytes) -> AsyncIterator[bytes]:
        if line == b"*":
            self._exchange = None
            yield self._completed(tag, self._failure(BadCommand("Authentication cancelled")))
        else:
            yield await self._step_exchange(tag, exchange, line)

    async def _step_exchange(self, tag: bytes, exchange: Exchange, response: bytes | None) -> bytes:
        """Return the next challenge, or the tagged end."""
        self._exchange = None
        try:
            answer = exchange.step(None if response is None else decode_response(response))
            if isinstance(answer, Credentials):
                return self._completed(tag, await log_in(self._context, answer))
        except SaslError as problem:
            return self._completed(tag, self._failure(BadCommand(str(problem))))
        except Exception as problem:
            return self._completed(tag, self._failure(problem))
        self._exchange = tag, exchange
        return b"+ " + b2a_base64(answer)[:-1] + b"\r\n"

    async def _idle(self, tag: bytes) -> AsyncIterator[bytes]:
        """RFC 2177: from here on `notify` tells changes at once, until DONE."""
        try:
            told = await untagged_updates(self._context, expunges=True, look=True)
        except Exception as problem:
            yield self._completed(tag, self._failure(problem))
            return
        self._idle_tag = tag
        yield told + b"+ Idling\r\n"

    async def _end_idle(self, line: bytes) -> AsyncIterator[bytes]:
        tag, self._idle_tag = self._idle_tag, b""
        try:
            await claim_seen(self._context)
        except Exception as problem:
            yield self._completed(tag, self._failure(problem))
            return
        if line.strip().upper() == b"DONE":
            yield self._completed(tag, Completion("OK", "IDLE completed"))
        else:
            yield self._completed(tag, self._failure(BadCommand("Expected DONE")))

    async def _literal_announced(self, announcement: Announcement) -> AsyncIterator[bytes]:
        """Let a literal come, refuse it, or begin an APPEND with it."""
        scanner = Scanner(announcement.octets, limits=self._context.limits.grammar)
        tag = scanner.tag() or b""
        appending = await append_announced(self._context, tag, scanner, announcement) if tag else None
        if appending is not None:
            self._reader.drop_command()
            if appending.problem is not None and not self._is_dropped(announcement):
                yield self._completed(tag, self._failure(appending.problem))
                return
            self._appending = appending
        elif literal_fits(self._context, announcement):
            self._reader.keep_literal(announcement.size)
        else:
            self._reader.drop_command()
            if not announcement.synchronizing:  # it is on its way and not worth reading (RFC 7888 §4)
                self._give_up("A literal is too large")
            yield self._completed(tag or b"*", self._failure(BadCommand("A literal is too large here")))
            return
        if announcement.synchronizing:
            yield b"+ OK\r\n"

    def _is_dropped(self, refused: Announcement) -> bool:
        """Whether to read the refused message and go on; else it does not come, or the session ends before it does."""
        limits = self._context.limits
        if not refused.synchronizing and refused.size > max(limits.dropped_octets, limits.message_octets):
            self._give_up("A literal is too large")
        return not refused.synchronizing and not self._context.closing_text

    async def _append_octets(self, appending: Appending, octets: bytes) -> AsyncIterator[bytes]:
        await feed_append(appending, octets)
        return
        yield

    async def _end_append(self, appending: Appending, rest: bytes) -> AsyncIterator[bytes]:
        self._appending = None
        try:
            completion = await finish_append(self._context, appending, rest)
            told = await untagged_updates(self._context, expunges=True, look=False)
        except Exception as problem:
            completion, told = self._failure(problem), b""
        yield told + self._completed(appending.tag, completion)
