"""One SMTP connection: aiosmtpd's protocol, with its reading, its DATA and its rules replaced.

Used of aiosmtpd is the life of a connection: `connection_made` starts the one task that handles the client,
`connection_lost` ends it, `_cb_client_connected` keeps asyncio's reader and writer; and its names of methods, so that
whoever knows it finds things here. What is overridden, and why:
- `__init__`: aiosmtpd inspects all its members at every connection (a twentieth of a message's time); its settings
  are made once for each listener and copied. Its command limits are one dictionary for all; ours are the dialog's.
- `_handle_client`: commands are read in chunks, so that pipelined ones are answered together; judged by dialog.Dialog.
- `smtp_*`: bring the dialog's events to the pipeline's doors and its replies back. None of them holds a rule.
- `smtp_DATA`: octets go to the spool in chunks. aiosmtpd holds whole messages and lets bare CR and LF through.
- `smtp_STARTTLS`: the loop's own TLS, which costs a tenth of the memory of asyncio's SSLProtocol.
- `_timeout_cb`, `_reset_timeout`: counted from the last progress, and answered by 421 (RFC 5321 §4.5.3.2.7).
- `eof_received`: a client that sends all and shuts down its side still gets its answers.
- `handle_exception` is out of the way with its caller: it says 500 and the exception's text. A bug here is answered by
  451 with an id that the log has too.
"""

import asyncio
import itertools
import logging
import math
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from aiosmtpd.smtp import SMTP
from django.db import DatabaseError

from mailsuite.ids import new_id, reference
from mailsuite.mail import reply as replies
from mailsuite.mail.reply import Reply
from mailsuite.mail.trace_fields import TlsInfo
from mailsuite.pipeline import decisions, doors, refusing
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.intakes import MX, SUBMISSION
from mailsuite.pipeline.logging_in import log_in
from mailsuite.pipeline.parties import Client
from mailsuite.pipeline.transaction import Intake, Services, Transaction
from mailsuite.protocol.content import ContentReader
from mailsuite.protocol.sasl import Credentials
from mailsuite.server.accepting import acknowledge_at_once
from mailsuite.server.admission import Admission
from mailsuite.server.handshake import HANDSHAKE_SECONDS, HandshakeFailed, handshake
from mailsuite.writer.spool import SpoolFile
from smtpd_service.inbound.commands import State
from smtpd_service.inbound.dialog import DataAsked, Dialog, Event, Terms, TlsAsked
from smtpd_service.inbound.parameters import Mail, Rcpt

logger = logging.getLogger(__name__)

CHUNK_OCTETS = 64 * 1024
ENDING_SECONDS = 4.0
GIVING_WAY_SECONDS = 1.0
EVENTS_IN_A_ROW = 20


@dataclass(frozen=True, slots=True)
class Listener:
    """One kind of door. `implicit_tls` means that a connection begins with the handshake."""

    name: str
    terms: Terms
    services: Services
    admission: "Admission[Receiver]"
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False

    @property
    def intake(self) -> Intake:
        """What the mail of its clients passes."""
        return SUBMISSION if self.terms.submission else MX


class Receiver(SMTP):
    """One connection."""

    _settings: dict[str, Any] = {}

    @classmethod
    def prepare(cls, loop: asyncio.AbstractEventLoop, hostname: str) -> None:
        """Have aiosmtpd work out what is the same for all connections of this process; call once in the loop."""
        model = cls.__new__(cls)
        SMTP.__init__(model, None, hostname=hostname, enable_SMTPUTF8=True, loop=loop)
        own = set(vars(asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), loop=loop)))
        cls._settings = {name: value for name, value in vars(model).items() if name not in own and name[:5] != "_smtp"}
        cls._settings |= {"command_size_limits": {}, "_timeout_handle": None}

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop, sock: socket.socket, address: str) -> None:
        self.__dict__.update(self._settings)
        asyncio.StreamReaderProtocol.__init__(
            self, asyncio.StreamReader(limit=CHUNK_OCTETS, loop=loop), self._cb_client_connected, loop=loop
        )
        self.loop = loop
        self._socket = sock
        self._listener = listener
        limits = self._limits = listener.terms.limits
        self._client = Client(address, listener.name)
        self._transaction: Transaction | None = None
        self._deadline: float | None = None
        self._busy = self._has_ended = False
        self._ending: Reply | None = None
        self._began = loop.time()
        stranger_seconds = limits.login_seconds if listener.terms.submission else limits.without_message_seconds
        self._stranger_until = self._began + stranger_seconds
        self._budget, self._unread_octets = listener.services.spool.budget, 0
        self._content: tuple[ContentReader, float] | None = None
        self.opening: asyncio.Task[None] | None = None
        self.has_begun = False
        self.gone = asyncio.Event()

    # The connection's life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the session, after the handshake where TLS begins the connection."""
        self.has_begun = True
        self._dialog = Dialog(self._listener.terms, tls=self._listener.implicit_tls)
        if self._listener.implicit_tls:
            self._client.tls = _tls_info(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Count the connection out, and have what is known of its end told and counted."""
        if self.has_begun and not self._has_ended:
            self._has_ended = True
            self.left()
            self._abandon()
            refusing.note_offence(self._listener.services, self._client, self._dialog.offence)
            super().connection_lost(error)
            assert self._handler_coroutine is not None
            self._handler_coroutine.add_done_callback(self._let_go)

    def _let_go(self, _: "asyncio.Task[None]") -> None:
        """Undo the circles between a connection that is over, its streams and its task: all of it is freed at once, and
        no collection of garbage, which holds up every other session, has to find it."""
        self._client_connected_cb = self._handler_coroutine = self._timeout_handle = None
        del self._writer

    def data_received(self, data: bytes) -> None:
        """Hand octets to the reader; reading stops earlier while all connections hold much together."""
        super().data_received(data)
        self._unread_octets += len(data)
        self._budget.take(len(data))
        reader: Any = self._reader
        if self._budget.is_pressed and len(reader._buffer) > self._budget.even_share and not reader._paused:
            # What the reader does by itself at a higher mark; it goes on once the buffer is read.
            reader._paused = True
            self.transport.pause_reading()  # type: ignore[union-attr]

    def _forget_unread(self, left: int = 0) -> None:
        """Have only so many of the octets that came still counted as held."""
        left = min(left, self._unread_octets)
        self._budget.give(self._unread_octets - left)
        self._unread_octets = left

    def eof_received(self) -> bool | None:
        """Keep the connection open for the answers, where that can be."""
        if not self.has_begun or self.transport is None:
            return None
        self._reader.feed_eof()
        # On TLS there is no half-closed connection.
        return self._client.tls is None

    def left(self) -> None:
        """Have the connection counted out: it is over."""
        self._listener.admission.leave(self)
        self._forget_unread()
        self.gone.set()

    def end(self, reply: Reply = replies.SHUTTING_DOWN) -> None:
        """Close with 421 as soon as nothing is under way (RFC 5321 §3.8); what has been acknowledged stands."""
        self._ending = reply
        if not self.has_begun:
            self._give_up_opening()
        elif not self._busy:
            self._hang_up(reply)

    def may_give_way(self) -> bool:
        """Whether nothing is under way: no message that comes at an honest pace, none that is being filed."""
        if self._content is None:
            return not self._busy
        content, began = self._content
        seconds, limits = self.loop.time() - began, self._limits
        return seconds > limits.honest_seconds and content.size_octets <= seconds * limits.honest_octets_per_second

    def give_way(self) -> None:
        """Close for a newcomer."""
        if not self.has_begun:
            self._give_up_opening()
            return
        self._hang_up(replies.MAKING_ROOM)
        self.loop.call_later(GIVING_WAY_SECONDS, self._abort)

    def break_off(self) -> None:
        """Close with 421 whatever is under way: nobody waits for it any longer, and its client comes again."""
        if self.has_begun and not self.gone.is_set():
            self._hang_up(replies.SHUTTING_DOWN)

    def _give_up_opening(self) -> None:
        if self.opening is not None:
            self.opening.cancel()

    def _abort(self) -> None:
        if self.transport is not None and not self._has_ended:
            self._writer.transport.abort()

    # Time

    def _reset_timeout(self, duration: float | None = None) -> None:
        self._deadline = self.loop.time() + (duration or self._limits.command_seconds)
        if self._timeout_handle is None:
            self._timeout_handle = self.loop.call_later(self._limits.tick_seconds, self._timeout_cb)

    def _timeout_cb(self) -> None:
        # One timer that looks again every few seconds costs less than one for each command.
        if self._deadline is not None and self.loop.time() >= self._deadline:
            self._hang_up(replies.TIMED_OUT)
        else:
            self._timeout_handle = self.loop.call_later(self._limits.tick_seconds, self._timeout_cb)

    def _hang_up(self, reply: Reply) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self._dialog.end(reply)
            self._writer.write(self._dialog.data_to_send())
            self._close()

    def _close(self) -> None:
        """Close once all is sent; a client that doesn't take it is not waited for."""
        if self.transport is not None and not self._has_ended:
            self._writer.close()
            if self._timeout_handle is not None:
                self._timeout_handle.cancel()
            self._timeout_handle = self.loop.call_later(self._limits.linger_seconds, self._writer.transport.abort)

    # Commands

    async def _handle_client(self) -> None:
        self._dialog.greet()
        deadline, chunk = 0.0, b"\n"
        try:
            while True:
                await self._answer_all()
                if self._ending and not self._dialog.closed:
                    self._dialog.end(self._ending)
                await self._flush()
                if self._dialog.closed:
                    break
                if b"\n" in chunk:
                    # A command has so long, in however many pieces it comes.
                    deadline = min(self.loop.time() + self._limits.command_seconds, self._stranger_until)
                chunk = await self._read(deadline, mid_command=not chunk.endswith(b"\n"))
                if not chunk:
                    break
                self._dialog.receive_data(chunk)
        except (ConnectionError, ssl.SSLError, TimeoutError) as error:
            logger.debug("%s: connection lost: %s", self._client.address, error)
        finally:
            self._close()

    async def _answer_all(self) -> None:
        for count in itertools.count(1):
            event = self._dialog.next_event()
            if event is None:
                return
            await self._dispatch(event)
            if count % EVENTS_IN_A_ROW == 0:
                # Answers often come from memory, without waiting: others have their turn too.
                await asyncio.sleep(0)

    async def _dispatch(self, event: Event) -> None:
        self._busy = True
        try:
            await _METHODS[type(event)](self, event)
        except (ConnectionError, ssl.SSLError):
            raise
        except Exception as error:
            reply = self._bug(error)
            if self._dialog.state is State.CONTENT:
                self._dialog.end(replace(reply, code=421))
            else:
                self._dialog.answer(reply)
        finally:
            self._busy = False

    def _abandon(self) -> None:
        if self._transaction is not None:
            self._transaction.abandon()

    def _refuse(self, refusal: Refusal) -> Reply:
        """Refuse for what has to do with no recipient."""
        if self._transaction is not None:
            return refusing.refuse(self._transaction, refusal)
        return refusing.refuse_client(self._listener.services, self._listener.intake, self._client, refusal)

    def _bug(self, error: BaseException) -> Reply:
        """Log a bug under an id that the reply carries; mail must not bounce because of us. A database that does not
        answer is none."""
        if isinstance(error, DatabaseError | TimeoutError):
            logger.error("the directory can't be asked for %s: %s", self._client.address, error or "no answer in time")
            return self._refuse(decisions.STORE_UNAVAILABLE)
        bug = reference(new_id())
        logger.error("bug %s in a session with %s", bug, self._client.address, exc_info=error)
        return replies.LOCAL_ERROR.with_text(f"{replies.LOCAL_ERROR.text} ({bug})")

    async def smtp_MAIL(self, event: Mail) -> None:
        """Bring MAIL to the transaction, and its reply back."""
        self._tell_client()
        self._abandon()
        door = doors.submitting if self._listener.terms.submission else doors.receiving
        services, client = self._listener.services, self._client
        self._transaction = door(services, client, event.envelope, event.reverse_path, event.size_octets)
        self._dialog.answer(await doors.begin(self._transaction))

    async def smtp_RCPT(self, event: Rcpt) -> None:
        """Bring RCPT to the transaction, and its reply back."""
        assert self._transaction is not None
        self._dialog.answer(await doors.add(self._transaction, event.recipient, event.forward_path))

    async def smtp_AUTH(self, event: Credentials) -> None:
        """Have credentials checked; whoever has logged in is no stranger any more."""
        self._tell_client()
        reply = await log_in(self._listener.services, self._client, event)
        if reply.is_positive:
            self._stranger_until = math.inf
            submitter = self._client.submitter
            self._listener.admission.vouch(self, submitter.user_id if submitter else None)
        self._dialog.answer(reply)

    async def smtp_STARTTLS(self, event: TlsAsked) -> None:
        """Shake hands (RFC 3207); what was said before counts no more. Raises ConnectionError where that fails."""
        assert self._listener.tls is not None
        self._dialog.answer(replies.START_TLS)
        await self._flush()
        # Before the handshake, and with no turn of the loop between: nothing that came in clear text may be taken for
        # something said under TLS (RFC 3207 §4.2), nor what comes with the handshake's end be lost.
        self._reader._buffer.clear()  # type: ignore[attr-defined]
        try:
            async with handshake():
                await self._writer.start_tls(self._listener.tls, ssl_handshake_timeout=HANDSHAKE_SECONDS)
        except HandshakeFailed as failed:
            logger.info("%s: TLS handshake failed: %s", self._client.address, failed)
            raise
        self.transport = self._reader._transport = self._writer.transport  # type: ignore[attr-defined]
        self._client.tls = _tls_info(self.transport)
        self._client.submitter = None
        self._dialog.tls_started()

    async def smtp_DATA(self, event: DataAsked) -> None:
        """Take the content to the spool, and have the message filed. Raises ConnectionError when it breaks off."""
        if self._budget.is_spent:
            self._dialog.answer(self._refuse(decisions.TOO_BUSY))
            return
        self._dialog.answer(replies.SEND_DATA)
        await self._flush()
        content = ContentReader(normalize=self._listener.terms.submission)
        file = self._listener.services.spool.new_file()
        self._content = content, self.loop.time()
        try:
            flaw = await self._receive(content, file)
        except BaseException:
            file.discard()
            raise
        finally:
            self._content = None
        self._deadline = None
        # Shielded: a client that goes away now undoes nothing.
        reply = await asyncio.shield(asyncio.ensure_future(self._file_message(file, flaw)))
        self._dialog.message_answered(reply, content.rest)
        self._message_came()

    def _message_came(self) -> None:
        """It is what strangers are here for: they may bring more for a while."""
        now = self.loop.time()
        self._listener.admission.progressed(self)
        if self._stranger_until < math.inf:
            self._stranger_until = now + self._limits.without_message_seconds
            if now - self._began > self._limits.life_seconds:
                self._ending = replies.LONG_ENOUGH

    async def _file_message(self, file: SpoolFile, flaw: Refusal | None) -> Reply:
        try:
            assert self._transaction is not None
            return await doors.take(self._transaction, file, flaw)
        except Exception as error:
            return self._bug(error)
        finally:
            file.release()
            self._transaction = None

    async def _receive(self, content: ContentReader, file: SpoolFile) -> Refusal | None:
        """Move the content to the spool; what is refused already is read on, to stay in step, but thrown away.

        Returns what is wrong with it. Raises ConnectionError when the client goes away or sends beyond all measure.
        """
        began, limit, limits = self.loop.time(), self._listener.terms.size_limit, self._limits
        chunk, flaw = self._dialog.take_rest(), None
        while True:
            octets = content.feed(chunk)
            flaw = flaw or decisions.content(content, size_limit=limit) or await self._spool(file, octets)
            if content.ended:
                return flaw
            if content.size_octets > 2 * limit:
                self._hang_up(replies.MESSAGE_TOO_BIG)
                raise ConnectionAbortedError("content without end")
            slowest = began + limits.content_seconds + content.size_octets / limits.content_octets_per_second
            chunk = await self._read(min(self.loop.time() + limits.chunk_seconds, slowest), mid_command=True)
            if not chunk:
                raise ConnectionAbortedError("end of stream inside DATA")

    async def _spool(self, file: SpoolFile, octets: bytes) -> Refusal | None:
        # Asked again all along: many large messages may come at once, and sizes are what clients make them.
        if refusal := self._listener.services.lacks_room():
            return refusal
        try:
            await file.write(octets)
        except OSError as error:
            logger.error("can't spool: %s", error)
            file.discard()
            return decisions.STORAGE_FULL
        return None

    async def _read(self, deadline: float, *, mid_command: bool) -> bytes:
        """Return what the client says next; `mid_command` when that is the rest of what it has begun."""
        self._deadline = deadline
        if mid_command:
            acknowledge_at_once(self._socket)
        # What was read before has been dealt with.
        self._forget_unread(len(self._reader._buffer))  # type: ignore[attr-defined]
        return await self._reader.read(CHUNK_OCTETS)

    async def _flush(self) -> None:
        octets = self._dialog.data_to_send()
        if octets and self.transport is not None:
            self._writer.write(octets)
            await self._writer.drain()

    def _tell_client(self) -> None:
        self._client.hello, self._client.extended = self._dialog.hello, self._dialog.extended


_METHODS: dict[type[Any], Callable[[Receiver, Any], Awaitable[None]]] = {
    Mail: Receiver.smtp_MAIL,
    Rcpt: Receiver.smtp_RCPT,
    Credentials: Receiver.smtp_AUTH,
    TlsAsked: Receiver.smtp_STARTTLS,
    DataAsked: Receiver.smtp_DATA,
}


def _tls_info(transport: asyncio.BaseTransport) -> TlsInfo:
    cipher = transport.get_extra_info("cipher") or ("", "", 0)
    session = transport.get_extra_info("ssl_object")
    return TlsInfo((session.version() if session else cipher[1]) or cipher[1], cipher[0])
