"""Which policy holds: RFC 8461 §5.1 and §10.2, over a memory in a dict."""

import asyncio

import pytest

from mailsuite.mailauth.mtasts import Mode, Policy
from mailsuite.mailauth.tlsrpt import ResultType
from mailsuite.resolver.answers import Answer, Status, ZoneResolver
from mailsuite.transport_security.fetching import FetchError
from mailsuite.transport_security.known import NOTHING, Known
from mailsuite.transport_security.policies import Briefly, Sts, StsPolicies

OLD = Policy(Mode.ENFORCE, ("old.far.test",), 1000)
NEW = Policy(Mode.TESTING, ("new.far.test",), 1000)
KNOWN = Known(OLD, "1", may_try=True)
RESTING = Known(None, "", may_try=False, failure="it was away")
BROKEN = FetchError(ResultType.STS_WEBPKI_INVALID, "the certificate is bad")


class Memory:
    def __init__(self, known):
        self.known, self.kept, self.failures = known, [], []

    async def find(self, domain):
        return self.known

    async def keep(self, domain, policy_id, policy):
        self.kept.append((domain, policy_id, policy))
        self.known = Known(policy, policy_id, may_try=True)

    async def note_failure(self, domain, failure):
        self.failures.append(failure)


def record(*texts):
    return {("_mta-sts.far.test", "TXT"): list(texts)}


@pytest.mark.parametrize(
    ("known", "zone", "served", "policy", "fetched", "failure"),
    [
        # Nothing remembered.
        (NOTHING, {}, NEW, None, 0, None),
        (NOTHING, record(b"v=STSv1; id=1"), NEW, NEW, 1, None),
        (NOTHING, record(b"v=STSv1; id=1"), BROKEN, None, 1, ResultType.STS_WEBPKI_INVALID),
        (NOTHING, record(b"v=STSv1; id=bad-id"), NEW, None, 0, ResultType.STS_POLICY_INVALID),
        (NOTHING, record(b"v=STSv1; id=1", b"v=STSv1; id=2"), NEW, None, 0, ResultType.STS_POLICY_INVALID),
        (NOTHING, {("_mta-sts.far.test", "TXT"): Answer(Status.TEMPERROR)}, NEW, None, 0, None),
        (RESTING, record(b"v=STSv1; id=1"), NEW, None, 0, ResultType.STS_POLICY_FETCH_ERROR),
        # One remembered: it holds whatever DNS and HTTPS do, until a new one is there.
        (KNOWN, record(b"v=STSv1; id=1"), NEW, OLD, 0, None),
        (KNOWN, record(b"v=STSv1; id=2"), NEW, NEW, 1, None),
        (KNOWN, record(b"v=STSv1; id=2"), BROKEN, OLD, 1, ResultType.STS_WEBPKI_INVALID),
        (KNOWN, {}, NEW, OLD, 0, None),
        (KNOWN, {("_mta-sts.far.test", "TXT"): Answer(Status.TEMPERROR)}, NEW, OLD, 0, None),
        (KNOWN, record(b"v=STSv1; id=bad-id"), NEW, OLD, 0, ResultType.STS_POLICY_INVALID),
        (Known(OLD, "1", may_try=False, failure="x"), record(b"v=STSv1; id=2"), NEW, OLD, 0,
         ResultType.STS_POLICY_FETCH_ERROR),
    ],
)  # fmt: skip
def test_which_policy_holds(known, zone, served, policy, fetched, failure):
    calls, memory = [], Memory(known)

    async def fetch(domain):
        calls.append(domain)
        if isinstance(served, FetchError):
            raise served
        return served

    found = asyncio.run(StsPolicies(ZoneResolver(zone), memory, fetch).of("far.test"))
    assert (found.policy, found.failure, len(calls)) == (policy, failure, fetched)
    assert len(memory.kept) == (fetched if served is NEW else 0)
    assert memory.failures == (["the certificate is bad"] if fetched and served is BROKEN else [])


def test_many_who_ask_at_once_fetch_once():
    calls, memory = [], Memory(NOTHING)

    async def fetch(domain):
        calls.append(domain)
        await asyncio.sleep(0)
        return NEW

    async def ask():
        policies = StsPolicies(ZoneResolver(record(b"v=STSv1; id=1")), memory, fetch)
        return await asyncio.gather(*(policies.of("far.test") for _ in range(20)))

    assert {found.policy for found in asyncio.run(ask())} == {NEW}
    assert calls == ["far.test"]


def test_anew_fetches_what_is_remembered():
    memory = Memory(KNOWN)

    async def fetch(domain):
        return NEW

    found = asyncio.run(StsPolicies(ZoneResolver(record(b"v=STSv1; id=1")), memory, fetch).of("far.test", anew=True))
    assert found.policy == NEW and memory.kept == [("far.test", "1", NEW)]


def test_what_was_found_is_remembered_briefly_and_for_few():
    calls = []

    class Source:
        async def of(self, domain):
            calls.append(domain)
            return Sts(NEW, domain)

    async def ask():
        briefly, never = Briefly(Source(), most=2), Briefly(Source(), seconds=0)
        found = [(await briefly.of(name)).text for name in ("a", "a", "b", "c", "a")]
        return found, [(await never.of("d")).text for _ in range(2)]

    assert asyncio.run(ask()) == (["a", "a", "b", "c", "a"], ["d", "d"])
    # The one that was asked for longest ago was forgotten for the third.
    assert calls == ["a", "b", "c", "a", "d", "d"]
