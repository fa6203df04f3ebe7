"""A POP3 session over a MailStore: answers the dialog's events. Still no sockets, clocks or tasks of its own."""

import logging
import secrets
from collections.abc import AsyncIterator

from mailsuite.mail.structure import decode_parts
from mailsuite.protocol.content import DotStuffer
from retrieval.mail_store import Directory, MailStore
from retrieval.mail_values import LeasedMaildrop, MessageRow, Refused, RowField, StoreUnavailable
from retrieval.pop3.context import LoginRequested, MessageRequested, Pop3Limits, State, UpdateRequested
from retrieval.pop3.dialog import Dialog
from retrieval.pop3.maildrop import Maildrop
from retrieval.pop3.multiline import LineCounter

logger = logging.getLogger(__name__)

CHUNK_OCTETS = 64 * 1024
MAX_MESSAGES = 1_000_000


class BrokenOff(Exception):
    """A message can't be sent to its end: the connection must close, or the client would take a part for the whole."""


class Pop3Session:
    """What the transport runs: feed `receive_data`, send what `run_ready` yields, `abandon` at the end."""

    def __init__(
        self,
        limits: Pop3Limits,
        hostname: str,
        tls_active: bool,
        starttls_available: bool,
        directory: Directory,
        client_address: str,
    ) -> None:
        self._dialog = Dialog(hostname, limits, tls_active=tls_active, starttls_available=starttls_available)
        self._limits, self._directory, self._client_address = limits, directory, client_address
        self.mail_store: MailStore | None = None
        self._token = secrets.token_hex(16)
        # The transport has no changes to wait for.
        self.idle_or_selected = False

    @property
    def closed(self) -> bool:
        """Whether the connection is to be closed."""
        return self._dialog.closed

    @property
    def wants_starttls(self) -> bool:
        """Whether the transport is to start TLS, once what was said is sent."""
        return self._dialog.wants_starttls

    @property
    def broke_rules(self) -> bool:
        """Whether it was ended for breaking the protocol, by a client that had not logged in."""
        return self._dialog.broke_rules

    @property
    def timeout_seconds(self) -> float:
        """How long the client may be silent."""
        limits = self._limits
        return limits.login_seconds if self._dialog.state is State.AUTHORIZATION else limits.idle_seconds

    @property
    def sign_of_life(self) -> bytes:
        """What to say to a client that waits in silence: nothing."""
        return b""  # POP3 has no word that nobody asked for

    @property
    def held_octets(self) -> int:
        """What has arrived of a line that is not complete."""
        return self._dialog.held_octets

    @property
    def is_mid_command(self) -> bool:
        """Whether the rest of a line is awaited."""
        return self._dialog.held_octets > 0

    def greeting(self) -> bytes:
        """Return the first words (RFC 1939 §4)."""
        return self._dialog.greeting()

    def receive_data(self, data: bytes) -> None:
        """Take what the client sent, b"" at end of stream."""
        self._dialog.receive_data(data)

    def tls_started(self) -> None:
        """Begin anew under TLS, with nothing that came before it (RFC 2595 §4)."""
        self._dialog.tls_started()

    def end(self, text: str) -> bytes:
        """Ends the session for a reason of the server's; returns what there is to say."""
        self._dialog.end(text)
        return self._dialog.data_to_send()

    def interrupt(self) -> None:
        """No command takes long, but QUIT, which is to do what it was asked for (RFC 1939 §6)."""

    async def run_ready(self) -> AsyncIterator[bytes]:
        """Does all commands that have arrived in full; yields what there is to send."""
        while True:
            event = self._dialog.next_event()
            output = self._dialog.data_to_send()
            if output:
                yield output
            match event:
                case LoginRequested(name, password):
                    await self._login(name, password)
                case MessageRequested():
                    async for chunk in self._message(event):
                        yield chunk
                case UpdateRequested(uids):
                    await self._update(uids)
                case None if not output:
                    return

    async def notify(self) -> AsyncIterator[bytes]:
        """POP3 tells of nothing by itself."""
        return
        yield b""

    async def abandon(self) -> None:
        """Unlocks the maildrop if the session still holds it; to be called however the connection ended."""
        store, self.mail_store = self.mail_store, None
        if store is not None:
            try:
                await store.release_maildrop(self._token)
            except Exception as error:
                _log_bug("a maildrop stays locked until its lease ends", error)

    async def _login(self, name: str, password: str) -> None:
        try:
            answer, store = await self._directory.login(
                name, password, protocol="pop3", client_address=self._client_address
            )
            if store is None:
                self._dialog.login_failed(answer.reason)
                return
            # Before the answer, which may get lost: whatever happens, the lock is given back.
            self.mail_store = store
            leased = await store.lease_maildrop(self._token)
            self._dialog.login_done(await _open_maildrop(store, leased))
        except Exception as error:
            _log_bug("a POP3 login came to nothing", error)
            await self.abandon()
            self._dialog.login_failed(error.code if isinstance(error, Refused) else "unavailable")

    async def _message(self, event: MessageRequested) -> AsyncIterator[bytes]:
        """The response with the message, whatever other sessions have done to it since the login."""
        try:
            row = await self._find(event)
            first = await self._octets(row, 0) if row else b""
        except Exception as error:
            _log_bug("a message could not be read", error)
            self._dialog.refused("[SYS/TEMP] the message can't be read now; try again later")
            return
        if row is None:
            self._dialog.refused("this session has lost its lock, and that message was removed since; log in again")
            return
        yield f"+OK {row.size_octets} octets\r\n".encode()
        stuffer = DotStuffer()
        async for chunk in self._wanted(row, event.lines, first):
            yield stuffer.stuff(chunk)
        self._dialog.message_sent()
        yield stuffer.end()
        # A client that looks at headers has not read the message.
        if event.lines != 0:
            assert self.mail_store is not None
            await self.mail_store.mark_fetched([row], "POP3")

    async def _find(self, event: MessageRequested) -> MessageRow | None:
        assert self.mail_store is not None
        fields: tuple[RowField, ...] = () if event.lines is None else ("parts",)
        row = await self.mail_store.maildrop_row(self._dialog.maildrop.folder_id, event.uid, fields)
        return row if row and row.unique_id == event.unique_id else None

    async def _octets(self, row: MessageRow, start: int) -> bytes:
        assert self.mail_store is not None
        return await self.mail_store.octets(row, start, min(start + CHUNK_OCTETS, row.size_octets))

    async def _wanted(self, row: MessageRow, lines: int | None, first: bytes) -> AsyncIterator[bytes]:
        """The message, or its header and so many lines of its body, in chunks."""
        body_start = row.size_octets if lines is None else row.prefix_octets + decode_parts(row.parts or b"").body_start
        counter, at, chunk = LineCounter(lines or 0), 0, first
        while at < row.size_octets:
            if not chunk:
                raise BrokenOff(f"message {row.message_id} ends at {at} of {row.size_octets} octets")
            head = chunk[: max(0, body_start - at)]
            at += len(chunk)
            yield head + counter.cut(chunk[len(head) :])
            if at >= body_start and counter.done:
                return
            chunk = await self._next(row, at)

    async def _next(self, row: MessageRow, at: int) -> bytes:
        try:
            return await self._octets(row, at)
        except (StoreUnavailable, Refused) as error:
            raise BrokenOff(f"message {row.message_id} broke off at {at}: {error}") from error

    async def _update(self, uids: list[int]) -> None:
        if not uids:
            await self.abandon()
            self._dialog.updated()
            return
        assert self.mail_store is not None
        try:
            await self.mail_store.quit_maildrop(self._dialog.maildrop.folder_id, self._token, uids)
        except Exception as error:
            _log_bug("QUIT may not have removed everything", error)
            self._dialog.update_failed()
        else:
            self.mail_store = None
            self._dialog.updated()


def _log_bug(text: str, error: Exception) -> None:
    """What the store says is to be expected; anything else is a bug of ours and wants its traceback."""
    expected = isinstance(error, StoreUnavailable | Refused)
    logger.log(logging.INFO if expected else logging.ERROR, "%s: %s", text, error, exc_info=not expected)


async def _open_maildrop(store: MailStore, leased: LeasedMaildrop) -> Maildrop:
    """The inbox as it was when it was locked. Refused: limit, when it has too many messages to number."""
    if leased.message_count > MAX_MESSAGES:
        raise Refused("limit", f"the inbox has {leased.message_count} messages")
    maildrop = Maildrop(leased.folder_id)
    async for entries in store.maildrop_entries(leased):
        for entry in entries:
            maildrop.add(*entry)
    return maildrop
