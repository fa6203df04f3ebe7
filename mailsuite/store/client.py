"""The store service's clients: `StoreClient` for event loops, `tell_service` for those who write for themselves."""

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from mailsuite.store import wire
from mailsuite.store.handlers import StoreBug, StoreUnavailable
from mailsuite.store.operations import Deliver, Hint, Refused, Touched, Watch

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.1
# How long an operation waits for a store service that is just being restarted.
PATIENCE_SECONDS = 5.0


class _Protocol(asyncio.Protocol):
    def __init__(self, client: "StoreClient") -> None:
        self._client, self._frames = client, wire.Frames()

    def data_received(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            self._client._answered(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client._lost()


class StoreClient:
    """Sends operations and awaits their answers; connects when first needed, and again when the service is restarted.

    `run` raises Refused, StoreBug or StoreUnavailable. After StoreUnavailable it is not known whether the operation
    was done. A Deliver is asked for again by itself: its story's id makes that harmless.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)
        self._transport: asyncio.WriteTransport | None = None
        self._connecting: asyncio.Lock | None = None
        self._waiting: dict[int, tuple[asyncio.Future[Any], Any]] = {}
        self._next_id = 0
        self._on_hint: Callable[[Hint], None] | None = None
        self._closed = False

    async def run(self, operation: Any) -> Any:
        """The operation's answer, once its effect is durable."""
        try:
            return await self._ask(operation)
        except StoreUnavailable:
            if not isinstance(operation, Deliver) or self._closed:
                raise
        return await self._ask(msgspec.structs.replace(operation, again=True))

    def send(self, operation: Any) -> None:
        """Sends without waiting; lost when the service is away."""
        if self._transport is not None:
            self._transport.write(wire.request(0, operation))
        else:
            task = asyncio.ensure_future(self._ask(operation))
            task.add_done_callback(lambda t: t.cancelled() or t.exception())

    async def watch(self, on_hint: Callable[[Hint], None]) -> None:
        """Has `on_hint` called for every hint from now on, across reconnections."""
        self._on_hint = on_hint
        await self._connect()

    async def close(self) -> None:
        self._closed = True
        if self._transport:
            self._transport.close()

    async def _ask(self, operation: Any) -> Any:
        transport = self._transport or await self._connect()
        self._next_id += 1
        future = asyncio.get_running_loop().create_future()
        self._waiting[self._next_id] = (future, type(operation).Answer)
        transport.write(wire.request(self._next_id, operation))
        return await future

    async def _connect(self) -> asyncio.WriteTransport:
        if self._connecting is None:
            self._connecting = asyncio.Lock()
        async with self._connecting:
            loop = asyncio.get_running_loop()
            give_up_at = loop.time() + PATIENCE_SECONDS
            while self._transport is None:
                try:
                    transport, _ = await loop.create_unix_connection(lambda: _Protocol(self), self._path)
                    self._transport = transport
                    if self._on_hint:
                        transport.write(wire.request(0, Watch()))
                except OSError as error:
                    if self._closed or loop.time() > give_up_at:
                        raise StoreUnavailable(f"the store service does not answer: {error}") from None
                    await asyncio.sleep(RECONNECT_SECONDS)
            return self._transport

    def _answered(self, frame: bytes) -> None:
        request_id, status, payload = wire.read_answer(frame)
        if request_id == 0:
            if self._on_hint and status is wire.Status.DONE:
                self._on_hint(wire.decode(payload, Hint))
            return
        future, answer_type = self._waiting.pop(request_id, (None, None))
        if future is None or future.done():
            return
        match status:
            case wire.Status.DONE:
                future.set_result(wire.decode(payload, answer_type))
            case wire.Status.REFUSED:
                future.set_exception(Refused(*wire.decode(payload, tuple[str, str])))
            case wire.Status.BUG:
                future.set_exception(StoreBug(wire.decode(payload, str)))
            case wire.Status.UNAVAILABLE:
                future.set_exception(StoreUnavailable(wire.decode(payload, str)))

    def _lost(self) -> None:
        self._transport = None
        waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            if not future.done():
                future.set_exception(StoreUnavailable("the store service went away"))
        if self._on_hint and not self._closed:
            task = asyncio.ensure_future(self._connect_patiently())
            task.add_done_callback(lambda t: t.cancelled() or t.exception())

    async def _connect_patiently(self) -> None:
        """Watchers ask for nothing, so nobody else would notice that the service is back."""
        while not self._closed:
            try:
                await self._connect()
                break
            except StoreUnavailable:
                continue
        if self._on_hint and not self._closed:
            # Whatever changed meanwhile went untold.
            self._on_hint(Hint([], queued=True))


def tell_service(folder_ids: list[int]) -> None:
    """Tells the service of folders (or, by an empty list, of queue rows) that another transaction changed.

    Best effort: a hint that is lost costs a moment, since watchers look for themselves now and then.
    """
    from django.conf import settings

    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(0.2)
            connection.connect(str(settings.MAILSUITE.store_socket))
            connection.sendall(wire.request(0, Touched(folder_ids)))
    except OSError as error:
        logger.debug("no store service to tell: %s", error)
