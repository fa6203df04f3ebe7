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

What the commands are is the registry's (retrieval.imap.registry); nothing here knows one by its name. A command that
needs more of its client while it runs asks for it (retrieval.imap.continuation), and stands until that is there.
"""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from mailsuite.protocol.lines import LineTooLong
from mailsuite.protocol.literals import Announcement, CommandLine, CommandReader
from retrieval.imap.context import Completion, Context, ImapLimits, Output, State
from retrieval.imap.continuation import Ask, NextLineOrChange, NextOctets
from retrieval.imap.errors import BadCommand
from retrieval.imap.failures import completion_of
from retrieval.imap.grammar import Scanner
from retrieval.imap.registry import REGISTRY, Registry
from retrieval.imap.updates import FolderVanished, untagged_updates
from retrieval.imap.verb import Verb
from retrieval.imap.view_cache import ViewCache
from retrieval.mail_store import Directory, MailStore

logger = logging.getLogger(__name__)

CHUNK_OCTETS = 64 * 1024
_IDLING = b"* OK Still here\r\n"


@dataclass(slots=True)
class _Running:
    """A command under way; `asked` is what it stands for, None while it has the word."""

    tag: bytes
    verb: Verb
    answers: Output
    asked: Ask | None = None


class ImapSession:
    """One client's session; see the head of this module."""

    __slots__ = (
        *("_at_end_of_stream", "_bad_commands", "_bugs", "_context", "_reader", "_registry", "_running", "_session_id"),
        *("broke_rules", "closed"),
    )

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
        registry: Registry = REGISTRY,
    ) -> None:
        self.closed = False
        self.broke_rules = False
        self._registry = registry
        self._context = Context(
            *(limits, hostname, directory, client_address, tls_active, starttls_available, registry.capabilities),
            version=version,
            views=views or ViewCache(),
        )
        self._session_id = session_id
        self._reader = CommandReader()
        self._at_end_of_stream = False
        self._bad_commands = self._bugs = 0
        self._running: _Running | None = None

    @property
    def wants_starttls(self) -> bool:
        """Whether the transport is to start TLS, once what was said is sent."""
        return self._context.wants_starttls

    @property
    def mail_store(self) -> MailStore | None:
        """The store of who has logged in."""
        return self._context.store_or_none

    @property
    def idle_or_selected(self) -> bool:
        """Whether the transport should wait for changes of the store, too."""
        return self._awaits_changes or self._context.view_or_none is not None

    @property
    def timeout_seconds(self) -> float:
        """How long the client may be silent (RFC 3501 §5.4). Who waits in IDLE may for long: there are clients that
        never begin it anew, as RFC 2177 §3 has them do."""
        limits = self._context.limits
        if self._awaits_changes:
            return limits.waiting_seconds
        return limits.login_seconds if self._context.state is State.NOT_AUTHENTICATED else limits.idle_seconds

    @property
    def sign_of_life(self) -> bytes:
        """What to say now and then to a client that waits in IDLE."""
        return _IDLING if self._awaits_changes else b""

    @property
    def held_octets(self) -> int:
        """What has arrived of a command that is not complete."""
        return self._reader.held_octets

    @property
    def is_mid_command(self) -> bool:
        """Whether the rest of a command is awaited: of a line, a literal or what stands behind one."""
        asked = self._running.asked if self._running is not None else None
        return self._reader.held_octets > 0 or (asked is not None and asked.is_mid_command)

    def greeting(self) -> bytes:
        """Return the first words (RFC 3501 §7.1.1), with the capabilities."""
        context = self._context
        return f"* OK [CAPABILITY {context.capabilities}] {context.hostname} ready\r\n".encode()

    def receive_data(self, octets: bytes) -> None:
        """Take what the client sent, b"" at end of stream. What comes behind STARTTLS in clear text is dropped."""
        self._at_end_of_stream = self._at_end_of_stream or not octets
        if not self.wants_starttls:
            self._reader.receive(octets)

    def tls_started(self) -> None:
        """Begin anew under TLS, with nothing that came before it (RFC 3501 §6.2.1)."""
        self._reader.clear()
        self._context.tls_active, self._context.wants_starttls = True, False

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
        running, self._running = self._running, None
        if running is not None:
            await running.answers.aclose()
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
        """Note that the folder may have changed; yields what has when the command that runs waits for that (IDLE)."""
        view, running = self._context.view_or_none, self._running
        if view is None:
            return
        view.stale = True
        if running is not None and self._awaits_changes:
            async for octets in self._go_on(running, None):
                yield octets

    @property
    def _awaits_changes(self) -> bool:
        return self._running is not None and isinstance(self._running.asked, NextLineOrChange)

    def _next_step(self) -> AsyncIterator[bytes] | None:
        """Return what the octets that are here call for, or None when more are needed. Raises LineTooLong."""
        if self._running is not None:
            return self._heard(self._running)
        limits, logged_in = self._context.limits, self._context.state is not State.NOT_AUTHENTICATED
        ready = self._reader.next(limits.line_octets if logged_in else limits.login_line_octets)
        if isinstance(ready, Announcement):
            return self._literal_announced(ready)
        return None if ready is None else self._command(ready)

    def _heard(self, running: _Running) -> AsyncIterator[bytes] | None:
        """Go on with the command if what it asked for is here. Raises LineTooLong."""
        if isinstance(running.asked, NextOctets):
            octets = self._reader.take_octets(min(running.asked.at_most, CHUNK_OCTETS))
            return self._go_on(running, octets) if octets else None
        line = self._reader.take_line(self._context.limits.login_line_octets)
        if line is None:
            return None
        if line.endswith(b"+}"):  # what nobody asked for is on its way, and must not be run as commands (RFC 7888 §4)
            self._give_up("A literal can't stand here")
        return self._go_on(running, line)

    async def _command(self, line: CommandLine) -> AsyncIterator[bytes]:
        """Run one complete command."""
        scanner = Scanner(line.octets, limits=self._context.limits.grammar)
        tag = scanner.tag()
        try:
            if not tag:
                raise BadCommand("Expected a tag")
            if not line.is_clean:
                raise BadCommand("A command can't hold NUL or bare CR")
            verb = self._registry.take_verb(scanner, self._context.state)
            command = verb.parse(scanner)
            scanner.end()
        except Exception as problem:
            yield self._completed(tag or b"*", self._failure(problem))
            return
        async for octets in self._begin(tag, verb, command):
            yield octets

    def _begin(self, tag: bytes, verb: Verb, command: object) -> AsyncIterator[bytes]:
        self._running = _Running(tag, verb, verb.run(self._context, command))
        return self._go_on(self._running, None, is_new=True)

    async def _go_on(self, running: _Running, heard: bytes | None, *, is_new: bool = False) -> AsyncIterator[bytes]:
        """Give the command the word, with what it asked for. Yields its answer in pieces worth sending; once it is
        through, what others changed and the tagged end."""
        context, verb, running.asked = self._context, running.verb, None
        completion = Completion("OK", "Completed")
        gathered: list[bytes] = []
        gathered_octets = 0
        try:
            if is_new and verb.current and context.view.stale:
                gathered.append(await untagged_updates(context, expunges=verb.expunges, ask=False))
            while True:
                try:
                    answer = await running.answers.asend(heard)
                except StopAsyncIteration:
                    break
                heard = None
                if isinstance(answer, bytes):
                    gathered.append(answer)
                    gathered_octets += len(answer)
                    if not (context.is_mid_answer or gathered_octets >= CHUNK_OCTETS):
                        continue
                elif isinstance(answer, Completion):
                    completion = answer
                    continue
                else:
                    running.asked = answer
                    gathered.append(answer.prompt)
                octets = b"".join(gathered)
                if octets:
                    yield octets
                if running.asked is not None:
                    return
                gathered.clear()
                gathered_octets = 0
            gathered.append(await untagged_updates(context, expunges=verb.expunges, ask=verb.asks))
        except Exception as problem:  # every command gets its tagged answer, whatever went wrong
            completion = self._failure(problem)
        self._running = None
        if context.is_mid_answer:  # a literal was promised and can't be kept: no word of ours may stand in its place
            logger.error("IMAP session %s: an answer broke off: %s", self._session_id, completion.text)
            self.closed = True
        else:
            yield b"".join(gathered) + self._completed(running.tag, completion)

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
        if completion.status == "BYE":
            return self.end(completion.text)
        if completion.status == "OK" and self._context.state is not State.NOT_AUTHENTICATED:
            self._bad_commands = 0
        self.closed = self.closed or self._context.state is State.LOGOUT
        line = completion.line(tag)
        closing_text = self._context.closing_text
        return line + self.end(closing_text) if closing_text else line

    async def _literal_announced(self, announcement: Announcement) -> AsyncIterator[bytes]:
        """Let a literal come, refuse it, or begin the command that takes it as it comes."""
        scanner = Scanner(announcement.octets, limits=self._context.limits.grammar)
        tag = scanner.tag() or b""
        taking = self._command_to_literal(scanner, announcement) if tag else None
        if taking is not None:
            self._reader.drop_command()
            async for octets in self._begin(tag, *taking):
                yield octets
            return
        if self._literal_fits(announcement):
            self._reader.keep_literal(announcement.size)
        else:
            self._reader.drop_command()
            if not announcement.synchronizing:  # it is on its way and not worth reading (RFC 7888 §4)
                self._give_up("A literal is too large")
            yield self._completed(tag or b"*", self._failure(BadCommand("A literal is too large here")))
            return
        if announcement.synchronizing:
            yield b"+ OK\r\n"

    def _command_to_literal(self, scanner: Scanner, announcement: Announcement) -> tuple[Verb, object] | None:
        """Return the command that takes the announced literal as it comes; None when it belongs to the line."""
        try:
            verb = self._registry.take_verb(scanner, self._context.state)
        except BadCommand:
            return None
        if verb.parse_to_literal is None or not announcement.is_clean:
            return None
        command = verb.parse_to_literal(self._context, scanner, announcement)
        return None if command is None else (verb, command)

    def _literal_fits(self, announcement: Announcement) -> bool:
        """Whether a literal that belongs to the line may come, and be held in memory."""
        limits = self._context.limits
        if self._context.state is State.NOT_AUTHENTICATED:
            literal, command = limits.login_literal_octets, limits.login_line_octets + limits.login_literal_octets
        else:
            literal, command = limits.literal_octets, limits.command_octets
        fits = announcement.size <= literal and len(announcement.octets) + announcement.size <= command
        return fits and announcement.is_clean
