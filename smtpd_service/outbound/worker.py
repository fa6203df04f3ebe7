"""The delivery worker: takes what is due, carries it to its destinations, writes what came of it.

Mail for one next hop waits in a Lane; each lane has a few sessions, all lanes together some more. Lanes take turns, and
retries leave a part of everything to fresh mail, so that no number of dead or slow hosts keeps the others waiting.
A Job is one message with those of its recipients that go the same way and need the same of a host. A claim is held
under this worker's token from before a host is dialled until its result is written; results wait for a store service
that is away, however long.
"""

import asyncio
import logging
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import Any

from msgspec import structs

from mailsuite.ids import new_id, reference
from mailsuite.queue.operations import Claim, RenewClaims, Settle
from mailsuite.writer.operation import Refused, StoreUnavailable
from mailsuite.writer.storage import MailStorage
from smtpd_service.outbound.courier import Courier, Delivery, Letter
from smtpd_service.outbound.destinations import NextHop
from smtpd_service.outbound.leases import Leases, Store
from smtpd_service.outbound.queue_reader import QueueReader
from smtpd_service.outbound.results import Verdict, bare, judge
from smtpd_service.outbound.retry import RetryPlan
from smtpd_service.outbound.routing import find_route
from smtpd_service.outbound.seven_bit import seven_bit_letter
from smtpd_service.outbound.stored_message import StoredMessage
from smtpd_service.outbound.transaction import Fate, Mail, Outcome

logger = logging.getLogger(__name__)

CLAIM_LIMIT = 100
MAX_HELD = 2000
MAX_SESSIONS = 100
SESSIONS_PER_LANE = 2
# Where no more is left than this, it is for mail that is tried for the first time.
FRESH_HELD = MAX_HELD // 4
FRESH_SESSIONS = MAX_SESSIONS // 4
# After so many messages a session gives way where sessions are scarce.
TURN = 20
# A destination with this many messages waiting here is not claimed for until some are done.
LANE_JOBS = 20
POLL_SECONDS = 1.0
STORE_RETRY_SECONDS = 1.0
# How often it is looked up whom a notification goes to, when their mailboxes are removed meanwhile.
TELL_TRIES = 3
# At the end: to hear whether hosts took what was sent whole, since all of it is sent again otherwise; to write results.
# The supervisor's patience with this service is longer (mailsuite.supervisor.services).
FINISH_SECONDS = 30.0
STOP_SECONDS = 8.0
# What is known of mail whose host did not say in that time.
STOPPED = Outcome(
    Fate.UNKNOWN,
    "4.4.2",
    "This host was stopped before the reply to the final dot: it may have been delivered, and is sent again",
    "lost-after-final-dot",
)


@dataclass(frozen=True, slots=True)
class Job:
    hop: NextHop
    claims: Sequence[Claim]

    @property
    def recipient_ids(self) -> list[int]:
        return [claim.recipient_id for claim in self.claims]

    @property
    def is_fresh(self) -> bool:
        return self.claims[0].attempt_count == 1


@dataclass(slots=True)
class Lane:
    """Jobs for one next hop; `sessions` are at work on them."""

    hop: NextHop
    jobs: deque[Job] = field(default_factory=deque)
    sessions: int = 0


class Worker:
    """`new_courier` makes what delivers for a next hop; `storage` has the messages."""

    def __init__(
        self,
        *,
        store: Store,
        reader: QueueReader,
        new_courier: Callable[[NextHop], Courier],
        storage: MailStorage,
        plan: RetryPlan,
        token: str,
    ) -> None:
        self._store, self._reader, self._new_courier = store, reader, new_courier
        self._storage, self._plan = storage, plan
        self._leases = Leases(store, token)
        self._lanes: OrderedDict[str, Lane] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._settling: set[asyncio.Task[None]] = set()
        # Those that sent a final dot and await its reply.
        self._finishing: set[asyncio.Task[Any] | None] = set()
        self._sessions = 0
        self._stopping = False
        self._wake = asyncio.Event()
        # The busy destinations beside which nothing was due, and until when there is no point in asking again.
        self._nothing: tuple[set[str], float] = (set(), 0.0)

    def wake(self) -> None:
        """Something came into the queue: look at once."""
        self._nothing = (set(), 0.0)
        self._wake.set()

    async def give_back_of(self, token: str) -> None:
        """Makes due again what a worker left behind that is known to have ended. Raises StoreUnavailable."""
        ids = await self._reader.held_by(token)
        for start in range(0, len(ids), CLAIM_LIMIT):
            await self._store.run(RenewClaims(token, ids[start : start + CLAIM_LIMIT], 0))
        if ids:
            logger.info("%d recipients that a worker left behind are due again", len(ids))

    async def run(self, ended: asyncio.Event) -> None:
        """Works until `ended` is set, then finishes what is under way, within seconds."""
        renewing = asyncio.create_task(self._leases.keep_renewing())
        ending = asyncio.create_task(ended.wait())
        ending.add_done_callback(lambda _: self._wake.set())
        try:
            while not ended.is_set():
                self._wake.clear()
                await self._take_due()
                await self._sleep()
        finally:
            ending.cancel()
            await self._stop()
            renewing.cancel()

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _take_due(self) -> None:
        try:
            if self._leases.has_strays:
                await self._leases.give_back_strays(await self._reader.held_by(self._leases.token))
            while (room := MAX_HELD - len(self._leases)) > 0:
                busy = self._busy_destinations()
                if self._is_pointless(busy):
                    return
                due = await self._reader.next_due()
                if due is None or due > datetime.now(UTC):
                    return
                self._nothing = (busy, asyncio.get_running_loop().time() + POLL_SECONDS)
                claims = await self._leases.claim(min(room, CLAIM_LIMIT), busy, fresh=room <= FRESH_HELD)
                if not claims:
                    return
                self._nothing = (set(), 0.0)
                await self._dispatch(claims)
        except StoreUnavailable as error:
            logger.warning("nothing can be claimed now: %s", error)
        except Exception:
            logger.exception("Looking for due mail failed")

    def _is_pointless(self, busy: set[str]) -> bool:
        """Whether the store was asked just now, and had nothing: behind busy destinations it looks through all their
        mail to find that out."""
        known, until = self._nothing
        return known <= busy and asyncio.get_running_loop().time() < until

    def _busy_destinations(self) -> set[str]:
        full = [lane for lane in self._lanes.values() if len(lane.jobs) >= LANE_JOBS]
        return {claim.destination for lane in full for job in lane.jobs for claim in job.claims}

    async def _dispatch(self, claims: Sequence[Claim]) -> None:
        try:
            routes = await self._reader.routes()
            here = await self._reader.rehosted(claims)
        except Exception:
            await self._leases.give_back((claim.recipient_id for claim in claims), untried=True)
            raise
        grouped: dict[tuple[int, str, bool], tuple[NextHop, list[Claim]]] = {}
        self._settle_here([claim for claim in claims if claim.recipient_id in here], here)
        for claim in claims:
            if claim.recipient_id in here:
                continue
            hop = NextHop(claim.destination, find_route(claim.destination, routes))
            # Apart: an address that needs SMTPUTF8 of the host must not keep the others from it.
            key = (claim.message_id, hop.key, claim.recipient.forward_path.isascii())
            grouped.setdefault(key, (hop, []))[1].append(claim)
        for hop, some in grouped.values():
            lane = self._lanes.setdefault(hop.key, Lane(hop))
            lane.hop = hop
            lane.jobs.append(Job(hop, some))
        self._start_sessions()

    def _start_sessions(self) -> None:
        """Round and round the lanes; whoever gets one goes to the end, so that a full lane keeps no other waiting."""
        for _ in range(SESSIONS_PER_LANE):
            for lane in list(self._lanes.values()):
                if self._may_start(lane):
                    self._lanes.move_to_end(lane.hop.key)
                    lane.sessions += 1
                    self._sessions += 1
                    self._spawn(self._tasks, self._serve(lane))

    def _may_start(self, lane: Lane) -> bool:
        if self._stopping or lane.sessions >= min(SESSIONS_PER_LANE, len(lane.jobs)):
            return False
        return self._sessions < (MAX_SESSIONS if lane.jobs[0].is_fresh else MAX_SESSIONS - FRESH_SESSIONS)

    async def _serve(self, lane: Lane) -> None:
        """One session's life: the lane's jobs, one after the other, until there is none left, its turn is over, or the
        route has changed."""
        hop, done = lane.hop, 0
        courier = self._new_courier(hop)
        try:
            while lane.jobs and not self._stopping and lane.hop.route == hop.route:
                if done >= TURN and self._sessions >= MAX_SESSIONS - FRESH_SESSIONS:
                    break
                done += 1
                await self._deliver(courier, lane.jobs.popleft())
                if courier.unreachable:
                    self._settle_waiting(lane, courier.unreachable)
            await courier.close()
        finally:
            courier.abort()
            lane.sessions -= 1
            self._sessions -= 1
            if not lane.jobs and not lane.sessions:
                self._lanes.pop(lane.hop.key, None)
            self._start_sessions()
            self._wake.set()

    async def _deliver(self, courier: Courier, job: Job) -> None:
        claims = [claim for claim in job.claims if self._leases.holds(claim.recipient_id)]
        if not claims:
            return
        try:
            deliveries = await courier.deliver(self._letter(claims))
        except asyncio.CancelledError:
            await self._interrupted(job, claims, courier.done_so_far())
            raise
        except Exception:
            # Mail must not bounce because of us.
            number = reference(new_id())
            logger.exception("Delivery of %s failed as %s", reference(claims[0].message_id), number)
            outcome = Outcome(Fate.LATER, "4.3.0", f"internal error {number}", "internal-error")
            deliveries = [Delivery(outcome)] * len(claims)
        finally:
            self._finishing.discard(asyncio.current_task())
        self._spawn(self._settling, self._settle(job.hop, claims, deliveries))

    async def _interrupted(self, job: Job, claims: Sequence[Claim], done: Sequence[Delivery | None]) -> None:
        """This host is being stopped amid a delivery: what is known counts, the rest is due at once, except where the
        host may have taken it."""
        if asyncio.current_task() in self._finishing:
            done = [found or Delivery(STOPPED) for found in done]
        known = [(claim, found) for claim, found in zip(claims, done, strict=False) if found]
        if known:
            some, deliveries = zip(*known, strict=True)
            self._spawn(self._settling, self._settle(job.hop, some, deliveries))
        held = {claim.recipient_id for claim, _ in known}
        await self._leases.give_back(number for number in job.recipient_ids if number not in held)

    def _settle_waiting(self, lane: Lane, outcome: Outcome) -> None:
        """Nobody answers there: whoever waits is not made to wait for the same time-outs again."""
        for job in lane.jobs:
            delivery = Delivery(outcome, dialog=f"*: not dialled again: {outcome.text}")
            self._spawn(self._settling, self._settle(job.hop, job.claims, [delivery] * len(job.claims)))
        lane.jobs.clear()

    def _settle_here(self, claims: Sequence[Claim], here: Mapping[int, Delivery]) -> None:
        """What came to be for us does not go out. Claims of one message stand together."""
        for _, some in groupby(claims, key=lambda claim: claim.message_id):
            of_one = list(some)
            deliveries = [here[claim.recipient_id] for claim in of_one]
            self._spawn(self._settling, self._settle(NextHop(of_one[0].destination), of_one, deliveries))

    def _letter(self, claims: Sequence[Claim]) -> Letter:
        first = claims[0]
        message = StoredMessage(self._storage, first.blob, first.prefix, first.size_octets)
        addresses_are_ascii = first.envelope.reverse_path.isascii() and all(
            claim.recipient.forward_path.isascii() for claim in claims
        )
        ids = [claim.recipient_id for claim in claims]
        smtputf8 = not addresses_are_ascii or (first.envelope.smtputf8 and not message.has_ascii_header())
        eight_bit = first.envelope.eight_bit or not first.prefix.isascii()
        mail = Mail(
            structs.replace(first.envelope, smtputf8=smtputf8, eight_bit=eight_bit),
            [claim.recipient for claim in claims],
            first.size_octets,
        )
        seven_bit = partial(seven_bit_letter, claim=first, storage=self._storage, keys=self._reader.signing_keys)
        return Letter(mail, message.chunks, lambda: self._may_finish(ids), self._finished, seven_bit)

    async def _may_finish(self, recipient_ids: Sequence[int]) -> bool:
        """Whether the final dot may be sent. From then on the host may have taken the message, so its word is waited
        for, even when this host is being stopped; once that began, there is no other final dot."""
        enough = await self._leases.may_finish(recipient_ids)
        if self._stopping or not enough:
            return False
        self._finishing.add(asyncio.current_task())
        return True

    def _finished(self) -> None:
        task = asyncio.current_task()
        self._finishing.discard(task)
        if self._stopping and task:
            task.cancel()

    # Writing what came of it

    async def _settle(self, hop: NextHop, claims: Sequence[Claim], deliveries: Sequence[Delivery]) -> None:
        now = datetime.now(UTC)
        deliveries = await self._or_here(claims, deliveries)
        verdicts = [
            judge(claim, delivery, relayed=hop.route is not None, now=now, plan=self._plan, random=random.random)
            for claim, delivery in zip(claims, deliveries, strict=True)
        ]
        tells, patience, gone = True, 3, 0
        while verdicts := [verdict for verdict in verdicts if self._leases.holds(verdict.result.recipient_id)]:
            try:
                await self._write(verdicts, now, tells=tells)
                break
            except Refused as refusal:
                # A lost lease is seen below. Who tells of a mailbox that is gone looks again who is to be told.
                if refusal.code != "lease-lost":
                    gone += 1
                    tells = tells and gone < TELL_TRIES
                    await asyncio.sleep(STORE_RETRY_SECONDS)
            except StoreUnavailable as error:
                logger.warning("results of %s wait: %s", reference(claims[0].message_id), error)
                await asyncio.sleep(STORE_RETRY_SECONDS)
            except Exception:
                logger.exception("Results of %s can't be written", reference(claims[0].message_id))
                patience -= 1
                if not patience:
                    break
                if patience == 1:
                    # What a host took and is not written down would be delivered again with every lease that ends.
                    tells, verdicts = False, [bare(verdict) for verdict in verdicts]
                await asyncio.sleep(STORE_RETRY_SECONDS)
            # What was written after all, or is somebody else's now, is no longer held.
            await self._leases.renew([verdict.result.recipient_id for verdict in verdicts])
        self._leases.forget(claim.recipient_id for claim in claims)
        self._wake.set()

    async def _or_here(self, claims: Sequence[Claim], deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """The deliveries; where no host said that it can't be done, what is done here if the domain came to be ours
        while the mail waited for its turn."""
        unsaid = [claim for claim, delivery in zip(claims, deliveries, strict=True) if delivery.outcome.is_own_verdict]
        if not unsaid:
            return deliveries
        try:
            here = await self._reader.rehosted(unsaid)
        except Exception:
            logger.exception("Whether %s is for us can't be read", reference(claims[0].message_id))
            later = Delivery(Outcome(Fate.LATER, "4.3.0", "the directory can't be read now", "internal-error"))
            here = {claim.recipient_id: later for claim in unsaid}
        return [here.get(claim.recipient_id, tried) for claim, tried in zip(claims, deliveries, strict=True)]

    async def _write(self, verdicts: Sequence[Verdict], now: datetime, *, tells: bool) -> None:
        """Write the results at once, or in parts where they are too much for that: each of a hundred recipients may
        have come home to a list of a thousand."""
        try:
            await self._write_together(verdicts, now, tells=tells)
        except Refused as refusal:
            if refusal.code != "limit" or len(verdicts) < 2:
                raise
            half = len(verdicts) // 2
            await self._write(verdicts[:half], now, tells=tells)
            await self._write(verdicts[half:], now, tells=tells)

    async def _write_together(self, verdicts: Sequence[Verdict], now: datetime, *, tells: bool) -> None:
        told = [verdict.told for verdict in verdicts if verdict.told and tells]
        notifications = await self._reader.notifications(told, now) if told else []
        results = [verdict.result for verdict in verdicts]
        await self._store.run(Settle(self._leases.token, results, notifications))

    # The end

    async def _stop(self) -> None:
        self._stopping = True
        waiting = [job for lane in self._lanes.values() for job in lane.jobs]
        for lane in self._lanes.values():
            lane.jobs.clear()
        ids = [recipient_id for job in waiting for recipient_id in job.recipient_ids]
        await self._leases.give_back(ids, untried=True)
        for task in self._tasks - self._finishing:
            task.cancel()
        if self._finishing:
            logger.info("%d hosts are yet to say whether they took their mail", len(self._finishing))
        await _finish(self._tasks, FINISH_SECONDS)
        await _finish(self._settling, STOP_SECONDS)

    def _spawn(self, tasks: "set[asyncio.Task[None]]", work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def _finish(tasks: "Iterable[asyncio.Task[None]]", seconds: float) -> None:
    """Waits for the tasks, then cancels what is left of them."""
    tasks = set(tasks)
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=STOP_SECONDS)
