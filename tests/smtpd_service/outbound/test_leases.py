"""When a final dot may be sent, and what is forgotten."""

import asyncio
from datetime import UTC, datetime

import pytest

from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.queue.operations import Claim, ClaimDue, RenewClaims
from mailsuite.writer.operation import StoreUnavailable
from smtpd_service.outbound.leases import FINISH_SECONDS, Leases

NOW = datetime.now(UTC)


class FakeStore:
    def __init__(self, held=(1, 2, 3)):
        self.held, self.away, self.operations = list(held), False, []

    async def run(self, operation):
        self.operations.append(operation)
        if self.away:
            raise StoreUnavailable("away")
        match operation:
            case ClaimDue():
                return [
                    Claim(n, n, EnvelopeRecipient("a@b.test"), Envelope(""), "b.test", 1, False, "x", b"", 1, NOW)
                    for n in self.held
                ]
            case RenewClaims(recipient_ids=ids):
                return [n for n in ids if n in self.held]


def leases(store, lease_seconds):
    made = Leases(store, "token", lease_seconds)
    return made


def test_with_enough_left_nobody_is_asked():
    async def run():
        store = FakeStore()
        held = leases(store, FINISH_SECONDS + 100)
        await held.claim(10, [])
        return await held.may_finish([1, 2]), store.operations

    may, operations = asyncio.run(run())
    assert may and len(operations) == 1


def test_a_short_lease_is_renewed_first(monkeypatch):
    async def run():
        store = FakeStore()
        held = leases(store, FINISH_SECONDS + 100)
        await held.claim(10, [])
        held._ends = dict.fromkeys(held._ends, 0.0)
        return await held.may_finish([1, 2]), store.operations

    may, operations = asyncio.run(run())
    assert may and isinstance(operations[-1], RenewClaims)


def test_a_lost_lease_forbids_the_final_dot():
    async def run():
        store = FakeStore()
        held = leases(store, FINISH_SECONDS - 1)
        await held.claim(10, [])
        short = await held.may_finish([1])
        store.held.remove(2)
        await held.renew()
        return short, held.holds(1), held.holds(2), await held.may_finish([2])

    assert asyncio.run(run()) == (False, True, False, False)


def test_what_falls_due_while_it_is_held_is_not_taken_twice():
    """A clock that jumps ahead, as after a machine was suspended, ends all leases at once."""

    async def run():
        held = leases(FakeStore(), FINISH_SECONDS + 100)
        first, second = await held.claim(10, []), await held.claim(10, [])
        return len(first), second, len(held)

    assert asyncio.run(run()) == (3, [], 3)


def test_a_store_that_is_away_loses_no_lease_and_renews_none():
    async def run():
        store = FakeStore()
        held = leases(store, FINISH_SECONDS - 1)
        await held.claim(10, [])
        store.away = True
        await held.renew()
        return held.holds(1), await held.may_finish([1])

    assert asyncio.run(run()) == (True, False)


def test_what_is_given_back_is_due_at_once():
    async def run():
        store = FakeStore()
        held = leases(store, 1000)
        await held.claim(10, [])
        await held.give_back([1, 99])
        return len(held), store.operations[-1]

    assert asyncio.run(run()) == (2, RenewClaims("token", [1], 0))


def test_what_the_store_leased_and_could_not_tell_of_is_given_back():
    async def run():
        store = FakeStore([1])
        held = leases(store, 1500)
        await held.claim(10, [])
        store.away = True
        with pytest.raises(StoreUnavailable):
            await held.claim(10, [])
        assert held.has_strays
        with pytest.raises(StoreUnavailable):
            await held.give_back_strays([1, 2])
        store.away, before = False, held.has_strays
        await held.give_back_strays([1, 2])
        return before, held.has_strays, store.operations[-1]

    assert asyncio.run(run()) == (True, False, RenewClaims("token", [2], 0, untried=True))
