"""The client of the writer's service, for event loops."""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mailsuite.writer import wire
from mailsuite.writer.operation import (
    GRACE_SECONDS,
    OPERATION_SECONDS,
    Forget,
    Hint,
    Operation,
    Refused,
    StoreBug,
    StoreUnavailable,
    Watch,
)
from mailsuite.writer.reading import CHILD_SECONDS

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.1
# How long an operation waits for a store service that is just being restarted.
PATIENCE_SECONDS = 5.0
# What is large is read by another process before it is filed (mailsuite.writer.reading).
LARGE_SECONDS = OPERATION_SECONDS + CHILD_SECONDS
# What waits in memory while the service does not read.
MAX_UNSENT_OCTETS = 64 * 1024 * 1024
MAX_DOUBTFUL, DOUBTFUL_AT_ONCE, WITHDRAW_AGAIN_SECONDS = 10_000, 100, 5.0
# A process that ends waits no longer for that: it has promised to end within seconds.
LAST_WITHDRAWAL_SECONDS = 2.0


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

    `run` raises Refused (with the code limit for what is too large to be asked for at once), StoreBug or
    StoreUnavailable, within the operation's seconds and some of grace. After the last it was not done, and is not done
    later: the service begins and commits nothing whose time is over. What can't be known (the service died amid it) is
    asked for again where that is harmless (Operation.asked_again), and what stays in doubt is withdrawn as soon as the
    service can be asked (Operation.withdrawal).
    """

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)
        self._transport: asyncio.WriteTransport | None = None
        self._connecting: asyncio.Lock | None = None
        self._waiting: dict[int, tuple[asyncio.Future[Any], Any]] = {}
        self._next_id = 0
        self._on_hint: Callable[[Hint], None] | None = None
        self._doubtful: dict[int, Operation[None]] = {}
        self._withdrawing: asyncio.Task[None] | None = None
        self._closed = False

    async def run(self, operation: Any) -> Any:
        """The operation's answer, once its effect is durable."""
        deadline = time.monotonic() + _seconds(operation)
        try:
            try:
                return await self._ask(operation, deadline)
            except StoreUnavailable:
                again = operation.asked_again()
                if again is None or self._closed or time.monotonic() > deadline:
                    raise
            return await self._ask(again, deadline)
        except StoreUnavailable:
            if withdrawal := operation.withdrawal():
                self.withdraw(withdrawal)
            raise

    def withdraw(self, withdrawal: Operation[None]) -> None:
        """Has it done as soon as the service can be asked: it takes back what may have been done after all."""
        if len(self._doubtful) < MAX_DOUBTFUL:
            self._doubtful[id(withdrawal)] = withdrawal
        if self._withdrawing is None and not self._closed:
            self._withdrawing = asyncio.ensure_future(self._withdraw())

    def send(self, operation: Any) -> None:
        """Sends without waiting; lost when the service is away or does not keep up."""
        if self._transport is None:
            task = asyncio.ensure_future(self._ask(operation, time.monotonic() + _seconds(operation)))
            task.add_done_callback(lambda t: t.cancelled() or t.exception())
        elif self._transport.get_write_buffer_size() < MAX_UNSENT_OCTETS / 2:
            try:
                self._transport.write(wire.request(0, operation))
            except wire.TooLarge as error:
                logger.error("not told to the store: %s", error)

    async def watch(self, on_hint: Callable[[Hint], None]) -> None:
        """Has `on_hint` called for every hint from now on, across reconnections."""
        self._on_hint = on_hint
        await self._connect()

    async def close(self) -> None:
        """Withdraws what is in doubt, if the service can be asked: afterwards nobody knows of it."""
        if self._withdrawing:
            self._withdrawing.cancel()
        try:
            async with asyncio.timeout(LAST_WITHDRAWAL_SECONDS):
                while self._doubtful:
                    await self._withdraw_some()
        except (StoreUnavailable, StoreBug, TimeoutError) as error:
            logger.error("%d operations that may have been done are not withdrawn: %s", len(self._doubtful), error)
        self._closed = True
        if self._transport:
            self._transport.close()

    async def _ask(self, operation: Any, deadline: float) -> Any:
        """`deadline` is a time of the monotonic clock, by which the service must be done."""
        transport = self._transport or await self._connect(deadline)
        if transport.get_write_buffer_size() > MAX_UNSENT_OCTETS:
            raise StoreUnavailable("the store service does not keep up")
        self._next_id += 1
        request_id, loop = self._next_id, asyncio.get_running_loop()
        try:
            frame = wire.request(request_id, operation, 0.0 if operation.lasting else deadline)
        except wire.TooLarge as error:
            logger.error("not asked of the store: %s", error)
            raise Refused("limit", "this is too much to be done at once") from None
        future = loop.create_future()
        self._waiting[request_id] = (future, type(operation).Answer)
        transport.write(frame)
        grace = min(GRACE_SECONDS, operation.limit_seconds)
        patience = loop.call_later(deadline + grace - time.monotonic(), self._give_up, request_id)
        try:
            return await future
        except asyncio.CancelledError:
            if self._waiting.pop(request_id, None) and not operation.lasting:
                self.send(Forget(request_id))
            raise
        finally:
            patience.cancel()

    def _give_up(self, request_id: int) -> None:
        future, _ = self._waiting.pop(request_id, (None, None))
        if future is not None and not future.done():
            future.set_exception(StoreUnavailable("the store service did not answer in time"))

    async def _withdraw(self) -> None:
        try:
            while self._doubtful and not self._closed:
                try:
                    await self._withdraw_some()
                except (StoreUnavailable, StoreBug) as error:
                    logger.warning("%d operations can't be withdrawn yet: %s", len(self._doubtful), error)
                    await asyncio.sleep(WITHDRAW_AGAIN_SECONDS)
        finally:
            self._withdrawing = None

    async def _withdraw_some(self) -> None:
        withdrawals = list(self._doubtful.values())[:DOUBTFUL_AT_ONCE]
        asked = [self._ask(withdrawal, time.monotonic() + withdrawal.limit_seconds) for withdrawal in withdrawals]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        for withdrawal, answer in zip(withdrawals, answers, strict=True):
            if not isinstance(answer, BaseException):
                self._doubtful.pop(id(withdrawal), None)
        if failed:
            raise failed[0]

    async def _connect(self, deadline: float = math.inf) -> asyncio.WriteTransport:
        if self._connecting is None:
            self._connecting = asyncio.Lock()
        async with self._connecting:
            loop = asyncio.get_running_loop()
            give_up_at = min(time.monotonic() + PATIENCE_SECONDS, deadline)
            while self._transport is None:
                try:
                    transport, _ = await loop.create_unix_connection(lambda: _Protocol(self), self._path)
                    self._transport = transport
                    if self._on_hint:
                        transport.write(wire.request(0, Watch()))
                except OSError as error:
                    if self._closed or time.monotonic() > give_up_at:
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
            case wire.Status.TOO_LARGE:
                future.set_exception(StoreBug("done, but too large to be told"))

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


def _seconds(operation: Any) -> float:
    """How long the operation may take."""
    if any(item.octets is None for item in operation.files()):
        return LARGE_SECONDS
    seconds: float = operation.limit_seconds
    return seconds
