"""One message to one destination: host after host, connections kept for the next message to the same place."""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from mailsuite.mail.client_network import Network
from mailsuite.mail.envelope import EnvelopeRecipient
from mailsuite.queue.operations import Arrival
from smtpd_service.outbound.destinations import Destinations, NextHop
from smtpd_service.outbound.routing import Unroutable
from smtpd_service.outbound.tls_policy import TlsDemand, TlsPolicy, demand_of_route
from smtpd_service.outbound.transaction import Fate, Login, Mail, Outcome
from smtpd_service.outbound.transport import Body, Endpoint, MayFinish, NoSession, Session, open_session

logger = logging.getLogger(__name__)

# Hosts that answered but could not take it, and hosts that did not answer, before an attempt ends.
MAX_SESSIONS = 2
MAX_ENDPOINTS = 6
# RFC 5321 §4.5.3.1.8: any host takes a hundred.
MAX_RECIPIENTS = 100
MESSAGES_PER_SESSION = 20
_NOT_OF_THE_MESSAGE = ("connection-lost", "out-of-step")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one attempt did for one recipient. `endpoint` is None when there was none to dial; `arrival` is what is to
    be filed here instead."""

    outcome: Outcome
    endpoint: Endpoint | None = None
    tls: str = ""
    dialog: str = ""
    offers_dsn: bool = False
    arrival: Arrival | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """What is delivered. `body` gives the message's octets, anew at each call; `may_finish` is asked before the final
    dot, `finished` called once its reply is there or will not come. `seven_bit` gives the letter for a host that takes
    ASCII alone, None where nothing better can be had."""

    mail: Mail
    body: Body
    may_finish: MayFinish
    finished: Callable[[], None]
    seven_bit: "Callable[[Letter], Awaitable[Letter]] | None" = None


class Courier:
    """Delivers letters of one next hop, one after the other, over one connection at a time."""

    def __init__(
        self,
        hop: NextHop,
        *,
        destinations: Destinations,
        policy: TlsPolicy,
        helo: str,
        allowed: Sequence[Network],
    ) -> None:
        self._hop, self._destinations, self._policy = hop, destinations, policy
        self._helo, self._allowed = helo, None if hop.route else allowed
        self._session: Session | None = None
        # Those that got out of step when commands were pipelined.
        self._step_by_step: set[Endpoint] = set()
        self._attempt: _Attempt | None = None
        # Set when nobody at all answered: whoever waits for this destination need not dial again.
        self.unreachable: Outcome | None = None

    async def deliver(self, letter: Letter) -> list[Delivery]:
        """Tries everybody's delivery once; a Delivery for each recipient of the letter, in order."""
        attempt = self._attempt = _Attempt(letter.mail.recipients)
        asked = self._session.endpoint if self._session else None
        if self._session and await self._by_session(self._session, letter, attempt):
            return attempt.deliveries()
        endpoints = await self._destinations.endpoints(self._hop)
        if isinstance(endpoints, Unroutable):
            fate = Fate.NEVER if endpoints.is_permanent else Fate.LATER
            outcome = Outcome(fate, endpoints.status, endpoints.text, endpoints.reason)
            self.unreachable = outcome
            attempt.fill(Delivery(outcome, dialog=f"*: {endpoints.text}"))
            return attempt.deliveries()
        if asked and attempt.is_put_off:
            # A new connection changes nothing about the recipients, and hosts that greylist take it for a robot's.
            await self._by_endpoints([one for one in endpoints if one != asked], letter, attempt, sessions=1)
        else:
            await self._by_endpoints(endpoints, letter, attempt)
        return attempt.deliveries()

    def done_so_far(self) -> list[Delivery | None]:
        """Of a delivery that was cancelled: what is known for good, None for the recipients that still waited."""
        return self._attempt.done() if self._attempt else []

    async def close(self) -> None:
        session, self._session = self._session, None
        if session:
            await session.close()

    def abort(self) -> None:
        session, self._session = self._session, None
        if session:
            session.abort()

    async def _by_endpoints(
        self, endpoints: Sequence[Endpoint], letter: Letter, attempt: "_Attempt", sessions: int = 0
    ) -> None:
        dialogs = attempt.dialogs_so_far()
        ahead, tried, unfit = deque(endpoints), 0, set[str]()
        while ahead and tried < MAX_ENDPOINTS:
            endpoint = ahead.popleft()
            if endpoint.host in unfit:
                continue
            demand = await self._demand(endpoint)
            if demand.refusal:
                unfit.add(endpoint.host)
            else:
                tried += 1
            try:
                session = await self._open(endpoint, demand)
            except NoSession as failure:
                if failure.outcome.fate is Fate.NEVER and attempt.last_outcome():
                    # That is us, and we come after hosts that can't take it now: those are the reason (RFC 5321 §5.1).
                    attempt.note(failure.dialog)
                    break
                dialogs.append(failure.dialog)
                attempt.fill(Delivery(failure.outcome, endpoint, dialog="\n".join(dialogs)))
                if failure.outcome.fate is Fate.NEVER:
                    break
                continue
            sessions += 1
            attempt.earlier = "\n".join(dialogs)
            pipelined = session.pipelines
            if await self._by_session(session, letter, attempt) or sessions >= MAX_SESSIONS:
                break
            if pipelined and attempt.lost_step:
                self._step_by_step.add(endpoint)
                ahead.appendleft(endpoint)
            dialogs = attempt.dialogs_so_far()
        self.unreachable = None if sessions else attempt.last_outcome()

    async def _demand(self, endpoint: Endpoint) -> TlsDemand:
        route = self._hop.route
        return demand_of_route(route) if route else await self._policy.for_host(self._hop.domain, endpoint.host)

    async def _open(self, endpoint: Endpoint, demand: TlsDemand) -> Session:
        await self.close()
        route = self._hop.route
        login = Login(route.username, route.password) if route and route.username else None
        pipelines = endpoint not in self._step_by_step
        return await open_session(endpoint, demand, self._helo, login, self._allowed, pipelines=pipelines)

    async def _by_session(self, session: Session, letter: Letter, attempt: "_Attempt") -> bool:
        """Sends to those who wait, in as many transactions as the host needs; True when nobody waits any more."""
        self._session = None
        reused = session.messages > 0
        waiting = attempt.waiting()
        try:
            if letter.seven_bit and not session.takes_as_it_is(letter.mail):
                letter = await letter.seven_bit(letter)
            while waiting and (session.is_ready or not session.messages) and session.messages < MESSAGES_PER_SESSION:
                indexes, waiting = waiting[:MAX_RECIPIENTS], waiting[MAX_RECIPIENTS:]
                mail = replace(letter.mail, recipients=[letter.mail.recipients[index] for index in indexes])
                outcomes = await session.transact(mail, letter.body, letter.may_finish)
                letter.finished()
                if reused and all(outcome.reason in _NOT_OF_THE_MESSAGE for outcome in outcomes):
                    # It had closed the connection meanwhile, or answered the message before once more.
                    break
                waiting = attempt.record(session, indexes, outcomes) + waiting
        except BaseException:
            session.abort()
            raise
        if session.is_ready and session.messages < MESSAGES_PER_SESSION:
            self._session = session
        else:
            await session.close()
        return not attempt.waiting()


class _Attempt:
    """Who still waits, and what is known of the others."""

    def __init__(self, recipients: Sequence[EnvelopeRecipient]) -> None:
        self._found: list[Delivery | None] = [None] * len(recipients)
        self._done: set[int] = set()
        self.earlier = ""

    def waiting(self) -> list[int]:
        return [index for index in range(len(self._found)) if index not in self._done]

    def record(self, session: Session, indexes: Sequence[int], outcomes: Sequence[Outcome]) -> list[int]:
        """Notes what a transaction did; returns those that go on at once in another one, because this host took some
        and said that these were too many (452, or 552 from older ones: RFC 5321 §4.5.3.1.10)."""
        took_some = any(outcome.fate is Fate.DELIVERED for outcome in outcomes)
        again = []
        for position, (index, outcome) in enumerate(zip(indexes, outcomes, strict=True)):
            if took_some and outcome.code in (452, 552) and outcome.reason == "recipient-refused":
                again.append(index)
                outcome = replace(outcome, fate=Fate.LATER, status=f"4{outcome.status[1:]}")
            if outcome.fate is not Fate.LATER:
                self._done.add(index)
            dialog = "\n".join(filter(None, (self.earlier, session.dialog(position))))
            self._found[index] = Delivery(outcome, session.endpoint, session.tls, dialog, session.offers_dsn)
        return again

    def fill(self, delivery: Delivery) -> None:
        """What is known of all who still wait."""
        for index in self.waiting():
            self._found[index] = delivery

    def note(self, text: str) -> None:
        """Adds to what is told of those who still wait."""
        for index in self.waiting():
            if found := self._found[index]:
                self._found[index] = replace(found, dialog=f"{found.dialog}\n{text}")

    @property
    def is_put_off(self) -> bool:
        """Whether all who still wait were refused for now, each by its own reply."""
        waiting = [self._found[index] for index in self.waiting()]
        return all(found is not None and found.outcome.reason == "recipient-refused" for found in waiting)

    @property
    def lost_step(self) -> bool:
        """Whether those who still wait do so because it can't be told which reply was for whom."""
        last = self.last_outcome()
        return last is not None and last.reason in ("out-of-step", "protocol-error")

    def last_outcome(self) -> Outcome | None:
        return next((found.outcome for index in self.waiting() if (found := self._found[index])), None)

    def dialogs_so_far(self) -> list[str]:
        return [found.dialog for index in self.waiting()[:1] if (found := self._found[index])]

    def done(self) -> list[Delivery | None]:
        return [found if index in self._done else None for index, found in enumerate(self._found)]

    def deliveries(self) -> list[Delivery]:
        unknown = Delivery(Outcome(Fate.LATER, "4.4.1", "No mail host answered", "no-connection"))
        return [found or unknown for found in self._found]
