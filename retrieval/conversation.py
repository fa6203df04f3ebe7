"""One session over one connection: read, feed, write, time out, start TLS. Knows no command of any protocol."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol
from zlib import crc32

from mailsuite.mail.foreign import foreign_protocol
from mailsuite.protocol.words import unavailable
from mailsuite.server.admission import Admission
from retrieval.mail_store import MailStore
from retrieval.stream import Stream

GIVING_WAY_SECONDS = 1.0
# A client that waits for us (IMAP's IDLE) hears something as often: NATs and firewalls on the way forget a connection
# that is silent, the quickest after some minutes, and what was sent finds out whether the client is still there.
SIGN_SECONDS = 120


class Session(Protocol):
    """What IMAP and POP3 sessions have in common; retrieval.imap.session says how it is used."""

    @property
    def closed(self) -> bool:
        """Whether the connection is to be closed, once what was said is sent."""
        ...

    @property
    def wants_starttls(self) -> bool:
        """Whether TLS is to be started, once what was said is sent."""
        ...

    @property
    def mail_store(self) -> MailStore | None:
        """What the client that has logged in may reach; None before."""
        ...

    @property
    def idle_or_selected(self) -> bool:
        """Whether the client wants to hear of changes as they happen."""
        ...

    @property
    def timeout_seconds(self) -> float:
        """How long the client may be silent."""
        ...

    @property
    def sign_of_life(self) -> bytes:
        """What to say now and then to a client that waits for us in silence; nothing where none is to be said."""
        ...

    @property
    def broke_rules(self) -> bool:
        """Whether it was ended for breaking the protocol, by a client that had not logged in."""
        ...

    @property
    def held_octets(self) -> int:
        """What it has received and not dealt with, for want of the rest."""
        ...

    @property
    def is_mid_command(self) -> bool:
        """Whether the rest of a command is awaited, and no answer is due before it."""
        ...

    def greeting(self) -> bytes:
        """What is said first."""
        ...

    def receive_data(self, data: bytes, /) -> None:
        """Takes what the client sent; b"" is the end of the stream."""
        ...

    def tls_started(self) -> None:
        """TLS is active: what was said before does not count."""
        ...

    def end(self, text: str) -> bytes:
        """Ends the session at the server's wish; returns what to say."""
        ...

    def interrupt(self) -> None:
        """Have what takes long and serves nobody any more end soon."""
        ...

    def run_ready(self) -> AsyncIterator[bytes]:
        """Runs the commands that are here; yields answers as they come."""
        ...

    def notify(self) -> AsyncIterator[bytes]:
        """Yields what has changed, to a client that wants to hear of it."""
        ...

    async def abandon(self) -> None:
        """Gives up what the session holds: its connection is gone."""
        ...


@dataclass(slots=True, eq=False)
class Connection:
    """One client's. `login_by` and `quiet_since`, when it had last said or been answered something, are by the event
    loop's clock; `ending` says why the server wants it to end; `offence` is what the client did that counts against it
    (mailsuite.access.offences), "" for nothing."""

    id: str
    client_address: str
    stream: Stream
    login_by: float
    admission: "Admission[Connection]"
    session: Session | None = None
    task: asyncio.Task[None] | None = None
    ending: str = ""
    has_spoken: bool = False
    is_waiting: bool = False
    offence: str = ""
    quiet_since: float = 0.0

    def end(self, text: str, seconds: float) -> None:
        """Has the session end once it is done with its command, within so many seconds."""
        self.ending = self.ending or text
        self.stream.wake()
        self.stream.abort_after(seconds)
        if self.session is not None:
            self.session.interrupt()
        if self.session is None and self.task is not None:
            self.task.cancel()

    def may_give_way(self) -> bool:
        """Whether no command is under way; that of a stranger who does not read its answers counts for none."""
        return self.session is None or self.is_waiting or (self.session.mail_store is None and self.stream.is_unread)

    def give_way(self) -> None:
        """Closes for a newcomer."""
        self.end(unavailable("closed to make room for others"), GIVING_WAY_SECONDS)


async def converse(connection: Connection, session: Session, context: ssl.SSLContext) -> None:
    """Runs the session until it is closed. Raises ConnectionEnded."""
    stream, time = connection.stream, asyncio.get_running_loop().time
    stream.on_lost = session.interrupt
    connection.quiet_since = time()
    changed: asyncio.Task[None] | None = None
    try:
        while not session.closed:
            async for octets in session.run_ready():
                if session.wants_starttls:
                    # What the client sends once it has read this belongs to TLS.
                    stream.stop_reading()
                await stream.send(octets)
                connection.quiet_since = time()
                # A thousand commands may have come at once: others have their turn between any two.
                await asyncio.sleep(0)
            if session.wants_starttls:
                await stream.start_tls(context)
                session.tls_started()
            if session.mail_store is not None:
                connection.admission.vouch(connection, session.mail_store.principal.mailbox_id)
            changed = _awaiting_changes(session, changed, stream)
            if session.closed or not await _more(connection, session):
                continue
            if stream.has_input and not await _heard(connection, session, stream.take()):
                continue
            if changed is not None and changed.done():
                changed = None
                async for octets in session.notify():
                    await stream.send(octets)
    finally:
        if changed is not None:
            changed.cancel()


async def _more(connection: Connection, session: Session) -> bool:
    """Waits for something to do; False when the session was ended instead, because of the time or the server."""
    connection.stream.keeps(session.held_octets)
    if connection.stream.holds_too_much:
        connection.ending = connection.ending or unavailable("too much is under way here")
    try:
        if not connection.ending:
            connection.is_waiting = True
            if session.is_mid_command:
                connection.stream.acknowledge_at_once()
            await _wait(connection, session)
        text = connection.ending
    except TimeoutError:
        text = "Closed after long silence" if session.mail_store else "Closed without a login"
    finally:
        connection.is_waiting = False
    if text:
        await connection.stream.send(session.end(text))
    return not text


async def _wait(connection: Connection, session: Session) -> None:
    """Returns when there is something to do, with signs of life meanwhile. Raises TimeoutError when the client has been
    silent for too long."""
    while True:
        left, sign = _patience(connection, session), session.sign_of_life
        if sign:
            left = min(left, seconds_to_sign(connection.client_address, asyncio.get_running_loop().time()))
        try:
            return await connection.stream.wait(left)
        except TimeoutError:
            if not sign:
                raise
            await connection.stream.send(sign)


def seconds_to_sign(client_address: str, now: float) -> float:
    """How many seconds there are until the next one: for all connections of a client at once, so that a phone wakes up
    once, and at another time for each client."""
    return SIGN_SECONDS - (now + crc32(client_address.encode())) % SIGN_SECONDS


async def _heard(connection: Connection, session: Session, octets: bytes) -> bool:
    """Hands on what the client said; False when the session was ended instead, because it speaks something else."""
    foreign = "" if connection.has_spoken else foreign_protocol(octets)
    connection.has_spoken = True
    if foreign:
        connection.offence = "foreign-protocol"
        await connection.stream.send(session.end(f"{foreign} is not spoken here"))
    else:
        connection.quiet_since = asyncio.get_running_loop().time()
        session.receive_data(octets)
        if session.mail_store is not None:
            # Whoever has yet to log in makes no progress by words.
            connection.admission.progressed(connection)
    return not foreign


def _patience(connection: Connection, session: Session) -> float:
    """How many seconds there are to wait for the client. Raises TimeoutError when there are none."""
    until = connection.quiet_since + session.timeout_seconds
    if session.mail_store is None:
        until = min(until, connection.login_by)
    left = until - asyncio.get_running_loop().time()
    if left <= 0:
        raise TimeoutError
    return left


def _awaiting_changes(
    session: Session, changed: asyncio.Task[None] | None, stream: Stream
) -> asyncio.Task[None] | None:
    """The task that wakes the stream when the selected folder changes, if there is one selected."""
    store = session.mail_store if session.idle_or_selected and not session.closed else None
    if store is None:
        if changed is not None:
            changed.cancel()
        return None
    if changed is None:
        changed = asyncio.get_running_loop().create_task(store.changed())
        changed.add_done_callback(lambda _: stream.wake())
    return changed
