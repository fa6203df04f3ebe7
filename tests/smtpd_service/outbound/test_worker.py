"""Who gets a session when there are fewer than hosts: a store in memory, couriers that do as told."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from memory_storage import MemoryStorage

from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.queue.operations import Arrival, AttemptResult, Claim, ClaimDue, RenewClaims, Settle
from mailsuite.writer.operation import Refused, StoreUnavailable
from smtpd_service.outbound import worker as module
from smtpd_service.outbound.courier import Delivery
from smtpd_service.outbound.retry import RetryPlan
from smtpd_service.outbound.routing import RouteFacts, Security
from smtpd_service.outbound.transaction import Fate, Mail, Outcome
from smtpd_service.outbound.worker import Worker

NOW = datetime.now(UTC)
TAKEN = Outcome(Fate.DELIVERED, "2.0.0", "250 taken", "accepted", 250)
ROUTE = RouteFacts("*", "smarthost.test", 587, Security.OPPORTUNISTIC)


class Queue:
    """Store and reader at once: `waiting` are those due, `held` those claimed, `settled` where the others went."""

    def __init__(self):
        self.waiting: dict[int, Claim] = {}
        self.held: dict[int, Claim] = {}
        self.settled: dict[int, str] = {}
        self.results: list[AttemptResult] = []
        self.asked: list[ClaimDue] = []
        self.given_back: list[RenewClaims] = []
        self.route: list[RouteFacts] = []
        self.here: dict[str, Delivery] = {}
        # Each attempt to write results, and whether it fails; what composing notifications raises, one after the other.
        self.writes: list[tuple[list[AttemptResult], list[object]]] = []
        self.writing_fails = lambda results: False
        self.composing_fails: list[Exception] = []

    def put(self, *destinations, attempts=0):
        for destination in destinations:
            number = len(self.waiting) + len(self.held) + len(self.settled) + 1
            self.waiting[number] = Claim(
                number, number, EnvelopeRecipient(f"bob@{destination}"),
                Envelope("", expires_at=NOW + timedelta(days=5)), destination, attempts, False, "x", b"", 1, NOW,
            )  # fmt: skip

    async def run(self, operation):
        match operation:
            case ClaimDue(limit=limit, busy_destinations=busy, fresh=fresh):
                self.asked.append(operation)
                found = [
                    claim
                    for claim in self.waiting.values()
                    if claim.destination not in busy and not (fresh and claim.attempt_count)
                ][:limit]
                for claim in found:
                    self.held[claim.recipient_id] = self.waiting.pop(claim.recipient_id)
                return [replace_count(claim) for claim in found]
            case RenewClaims(recipient_ids=ids, lease_seconds=0):
                self.given_back.append(operation)
                for number in ids:
                    self.waiting[number] = self.held.pop(number)
                return ids
            case RenewClaims(recipient_ids=ids):
                return [number for number in ids if number in self.held]
            case Settle(results=results, notifications=notifications):
                self.writes.append((results, notifications))
                if self.writing_fails(results):
                    raise RuntimeError("can't be written")
                self.results += results
                for result in results:
                    self.settled[result.recipient_id] = self.held.pop(result.recipient_id).destination
                return [result.recipient_id for result in results]

    async def next_due(self):
        return NOW - timedelta(minutes=1) if self.waiting else None

    async def routes(self):
        return self.route

    async def notifications(self, fates, now):
        if self.composing_fails:
            raise self.composing_fails.pop(0)
        return [f"{fate.action} {fate.claim.recipient.forward_path}" for fate in fates]

    async def signing_keys(self, claim, author_domain):
        return ()

    async def rehosted(self, claims):
        return {claim.recipient_id: self.here[claim.destination] for claim in claims if claim.destination in self.here}


def replace_count(claim):
    fields = {name: getattr(claim, name) for name in claim.__struct_fields__}
    return Claim(**fields | {"attempt_count": claim.attempt_count + 1})


class Hosts:
    """Makes couriers: `slow` destinations never answer, each other delivery waits for `pace`."""

    def __init__(self, slow=(), pace=0.0):
        self.slow, self.pace, self.hops = set(slow), pace, []
        self.outcomes: dict[str, Outcome] = {}
        # What the answer to the final dot waits for, and what is known of a delivery that is cancelled.
        self.final: dict[str, asyncio.Event] = {}
        self.after_dot = 0
        self.mails: list[Mail] = []
        self.known: list[Delivery | None] = []

    def __call__(self, hop):
        self.hops.append(hop)
        return _Courier(self, hop)


class _Courier:
    unreachable = None

    def __init__(self, hosts, hop):
        self._hosts, self._hop = hosts, hop

    async def deliver(self, letter):
        self._hosts.mails.append(letter.mail)
        if outcome := self._hosts.outcomes.get(self._hop.domain):
            return [Delivery(outcome) for _ in letter.mail.recipients]
        if self._hop.domain in self._hosts.slow:
            await asyncio.Event().wait()
        if final := self._hosts.final.get(self._hop.domain):
            assert await letter.may_finish()
            self._hosts.after_dot += 1
            await final.wait()
            letter.finished()
            return [Delivery(TAKEN, offers_dsn=True) for _ in letter.mail.recipients]
        await asyncio.sleep(self._hosts.pace)
        return [Delivery(TAKEN, offers_dsn=True) for _ in letter.mail.recipients]

    async def close(self):
        return None

    def abort(self):
        return None

    def done_so_far(self):
        return self._hosts.known


def work(queue, hosts, story):
    """Runs a worker while `story(worker, until)` goes on; `until(condition)` waits for one, but not for ever."""

    async def until(condition):
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - of things that set no event
                await asyncio.sleep(0.005)

    async def run():
        worker = Worker(
            store=queue,
            reader=queue,
            new_courier=hosts,
            storage=MemoryStorage(),
            plan=RetryPlan([timedelta(hours=1)]),
            token="token",
        )
        ended = asyncio.Event()
        running = asyncio.create_task(worker.run(ended))
        try:
            await story(worker, until)
        finally:
            ended.set()
            await running

    asyncio.run(run())


@pytest.fixture(autouse=True)
def short_end(monkeypatch):
    monkeypatch.setattr(module, "STOP_SECONDS", 0.05)


def test_fresh_mail_does_not_wait_for_retries_at_slow_hosts():
    queue = Queue()
    slow = [f"slow{n}.test" for n in range(150)]
    queue.put(*(name for name in slow for _ in range(20)), attempts=3)

    async def story(worker, until):
        await until(lambda: len(queue.held) >= module.MAX_HELD - module.FRESH_HELD)
        queue.put("quick.test")
        worker.wake()
        await until(lambda: "quick.test" in queue.settled.values())

    work(queue, Hosts(slow), story)


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr(module, "STORE_RETRY_SECONDS", 0.0)


def test_what_a_host_took_is_written_down_even_if_its_words_can_t_be(no_pauses):
    """Else it would be delivered again with every lease that ends."""
    queue = Queue()
    queue.writing_fails = lambda results: any(result.reply for result in results)
    queue.put("far.test")

    async def story(worker, until):
        await until(lambda: queue.settled)

    work(queue, Hosts(), story)
    [result] = queue.results
    assert (result.state, result.reason, result.reply, len(queue.writes)) == ("delivered", "accepted", "", 3)


@pytest.mark.parametrize("problem", [StoreUnavailable("no database"), RuntimeError("a bug, this once")])
def test_a_failure_is_told_once_the_database_answers_again(no_pauses, problem):
    queue, hosts = Queue(), Hosts()
    hosts.outcomes["far.test"] = Outcome(Fate.NEVER, "5.1.1", "550 nobody", "recipient-refused", 550)
    queue.composing_fails = [problem]
    queue.put("far.test")

    async def story(worker, until):
        await until(lambda: queue.settled)

    work(queue, hosts, story)
    assert [notifications for _, notifications in queue.writes] == [["failed bob@far.test"]]


def test_an_address_that_needs_smtputf8_goes_apart(monkeypatch):
    """Else a host without it would have the others bounce too."""
    queue, hosts = Queue(), Hosts()
    queue.put("far.test", "far.test", "far.test")
    for number, name in enumerate(("ann", "jörg", "bob"), 1):
        claim = queue.waiting[number]
        queue.waiting[number] = msgspec.structs.replace(
            claim, message_id=1, recipient=EnvelopeRecipient(f"{name}@far.test")
        )

    async def story(worker, until):
        await until(lambda: len(queue.settled) == 3)

    work(queue, hosts, story)
    assert sorted((mail.envelope.smtputf8, [one.forward_path for one in mail.recipients]) for mail in hosts.mails) == [
        (False, ["ann@far.test", "bob@far.test"]),
        (True, ["jörg@far.test"]),
    ]


def test_a_lane_that_is_always_full_gives_way(monkeypatch):
    monkeypatch.setattr(module, "MAX_SESSIONS", 2)
    monkeypatch.setattr(module, "FRESH_SESSIONS", 0)
    queue = Queue()
    queue.put(*["busy.test"] * 90)

    async def story(worker, until):
        await until(lambda: len(queue.settled) > 1)
        queue.put("other.test")
        worker.wake()
        await until(lambda: len(queue.settled) == 91)

    work(queue, Hosts(pace=0.001), story)
    assert list(queue.settled.values()).index("other.test") < 3 * module.TURN


def test_behind_a_dead_host_the_store_is_not_asked_again_and_again():
    """Each look passes by all the mail for it."""
    queue = Queue()
    queue.put(*["dead.test"] * 500, *["steady.test"] * (module.LANE_JOBS - 1))

    async def story(_worker, until):
        await until(lambda: len(queue.settled) == module.LANE_JOBS - 1)

    work(queue, Hosts(["dead.test"], pace=0.02), story)
    assert len(queue.asked) < 6


def test_what_was_not_tried_when_the_worker_ends_is_given_back_as_such():
    queue = Queue()
    queue.put(*["slow.test"] * 10)
    hosts = Hosts(["slow.test"])

    async def story(_worker, until):
        await until(lambda: len(queue.held) == 10 and len(hosts.hops) == 2)

    work(queue, hosts, story)
    untried = [number for one in queue.given_back if one.untried for number in one.recipient_ids]
    tried = [number for one in queue.given_back if not one.untried for number in one.recipient_ids]
    assert (sorted(untried), sorted(tried)) == ([3, 4, 5, 6, 7, 8, 9, 10], [1, 2])


def test_a_changed_route_is_followed_by_what_waits():
    queue = Queue()
    queue.route = [ROUTE]
    queue.put(*["far.test"] * 10)
    hosts = Hosts(pace=0.01)

    async def story(worker, until):
        await until(lambda: queue.settled)
        queue.route = [replace(ROUTE, security=Security.STARTTLS)]
        queue.put("far.test")
        worker.wake()
        await until(lambda: len(queue.settled) == 11)

    work(queue, hosts, story)
    assert {hop.route.security for hop in hosts.hops} == {Security.OPPORTUNISTIC, Security.STARTTLS}
    assert len(hosts.hops) > 2


def test_results_that_are_too_much_at_once_are_written_in_parts(no_pauses):
    """Each recipient of one message that comes home may lead to a list of a thousand."""
    queue = Queue()

    def too_much(results):
        if len(results) > 2:
            raise Refused("limit", "too much")
        return False

    queue.writing_fails = too_much
    queue.here["new.test"] = HERE
    queue.put(*["new.test"] * 7)
    queue.waiting = {number: msgspec.structs.replace(claim, message_id=1) for number, claim in queue.waiting.items()}

    async def story(_worker, until):
        await until(lambda: len(queue.results) == 7)

    work(queue, Hosts(), story)
    assert [len(results) for results, _ in queue.writes] == [7, 3, 1, 2, 4, 2, 2]


HERE = Delivery(Outcome(Fate.DELIVERED, "2.0.0", "hosted here by now", "hosted-here"), arrival=Arrival())
LOOP = Outcome(Fate.NEVER, "5.4.6", "the DNS sends mail for new.test back to this host", "mail-loop")


def test_mail_for_a_domain_that_is_ours_by_now_is_not_sent_out():
    queue, hosts = Queue(), Hosts()
    queue.here["new.test"] = HERE
    queue.put("new.test", "far.test")

    async def story(_worker, until):
        await until(lambda: len(queue.results) == 2)

    work(queue, hosts, story)
    assert [hop.domain for hop in hosts.hops] == ["far.test"]
    assert {one.recipient_id: (one.state, one.arrival) for one in queue.results} == {
        1: ("delivered", Arrival()),
        2: ("delivered", None),
    }


def test_a_domain_that_comes_to_be_ours_while_its_mail_waits_for_its_turn_is_no_loop():
    queue, hosts = Queue(), Hosts()
    hosts.outcomes["new.test"] = LOOP

    class Hosting(Hosts):
        def __call__(self, hop):
            queue.here["new.test"] = HERE
            return hosts(hop)

    queue.put("new.test")

    async def story(_worker, until):
        await until(lambda: queue.results)

    work(queue, Hosting(), story)
    assert [(one.state, one.arrival) for one in queue.results] == [("delivered", Arrival())]


def test_a_loop_of_what_is_not_ours_stays_one():
    queue, hosts = Queue(), Hosts()
    hosts.outcomes["far.test"] = LOOP
    queue.put("far.test")

    async def story(_worker, until):
        await until(lambda: queue.results)

    work(queue, hosts, story)
    assert [(one.state, one.reason) for one in queue.results] == [("failed", "mail-loop")]


def test_at_the_end_the_answer_to_a_final_dot_is_waited_for_and_nothing_else():
    queue, hosts = Queue(), Hosts(["slow.test"])
    queue.put("thorough.test", "slow.test")

    async def answer_late():
        while not queue.given_back:  # noqa: ASYNC110 - of things that set no event
            await asyncio.sleep(0.005)
        hosts.final["thorough.test"].set()

    async def story(_worker, until):
        hosts.final["thorough.test"] = asyncio.Event()
        await until(lambda: hosts.after_dot == 1 and len(hosts.hops) == 2)
        hosts.answering = asyncio.create_task(answer_late())

    work(queue, hosts, story)
    assert [(one.recipient_id, one.state) for one in queue.results] == [(1, "delivered")]
    assert [number for one in queue.given_back for number in one.recipient_ids] == [2]


def test_a_host_that_does_not_answer_the_final_dot_in_time_may_have_taken_it(monkeypatch):
    monkeypatch.setattr(module, "FINISH_SECONDS", 0.05)
    queue, hosts = Queue(), Hosts()
    queue.put("thorough.test")
    hosts.known = [None]

    async def story(_worker, until):
        hosts.final["thorough.test"] = asyncio.Event()
        await until(lambda: hosts.after_dot == 1)

    work(queue, hosts, story)
    assert [(one.state, one.reason) for one in queue.results] == [("queued", "lost-after-final-dot")]
    assert "may have been delivered" in queue.results[0].reply


def test_no_final_dot_is_sent_once_the_end_has_begun():
    queue, answers = Queue(), []

    class Hesitant(_Courier):
        async def deliver(self, letter):
            try:
                await asyncio.Event().wait()
            finally:
                answers.append(await letter.may_finish())

    hosts = []
    queue.put("hesitant.test")

    async def story(_worker, until):
        await until(lambda: hosts)

    work(queue, lambda hop: hosts.append(Hesitant(Hosts(), hop)) or hosts[-1], story)
    assert answers == [False]
    assert queue.results == []


def test_what_one_transaction_did_counts_when_the_next_is_cut_off():
    queue, hosts = Queue(), Hosts(["slow.test"])
    queue.put("slow.test", "slow.test")
    queue.waiting[2] = msgspec.structs.replace(queue.waiting[2], message_id=1)
    hosts.known = [Delivery(TAKEN, offers_dsn=True), None]

    async def story(_worker, until):
        await until(lambda: hosts.hops)

    work(queue, hosts, story)
    assert [(one.recipient_id, one.state) for one in queue.results] == [(1, "delivered")]
    assert [number for one in queue.given_back for number in one.recipient_ids] == [2]
