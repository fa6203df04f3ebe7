from datetime import UTC, datetime, timedelta

import pytest

from mailsuite.mail.dsn import Action
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.queue.operations import Claim
from smtpd_service.outbound.courier import Delivery
from smtpd_service.outbound.results import judge
from smtpd_service.outbound.retry import RetryPlan
from smtpd_service.outbound.transaction import Fate, Outcome
from smtpd_service.outbound.transport import Endpoint

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HOST = Endpoint("mx.far.test", "192.0.2.1", 25)


def verdict(fate, status="4.2.0", *, age=timedelta(0), warned=False, offers_dsn=False, relayed=False, code=450):
    claim = Claim(
        *(1, 2, EnvelopeRecipient("bob@far.test"), Envelope("ann@us.test", expires_at=NOW - age + timedelta(days=5))),
        *("far.test", 1, warned, "blob", b"", 10, NOW - age),
    )
    outcome = Outcome(fate, status, f"{code} {status} said so", "some-reason", code)
    delivery = Delivery(outcome, HOST, "TLSv1.3 X", "C: all of it", offers_dsn)
    plan = RetryPlan([timedelta(minutes=5)])
    return judge(claim, delivery, relayed=relayed, now=NOW, plan=plan, random=lambda: 0.5)


@pytest.mark.parametrize(
    "given, state, action, status",
    [
        (dict(fate=Fate.DELIVERED, status="2.0.0", code=250), "delivered", Action.RELAYED, "2.0.0"),
        (dict(fate=Fate.DELIVERED, status="2.0.0", code=250, relayed=True), "relayed", Action.RELAYED, "2.0.0"),
        (dict(fate=Fate.DELIVERED, status="2.0.0", code=250, offers_dsn=True), "delivered", None, None),
        (dict(fate=Fate.NEVER, status="5.1.1", code=550), "failed", Action.FAILED, "5.1.1"),
        (dict(fate=Fate.LATER), "queued", None, None),
        (dict(fate=Fate.UNKNOWN), "queued", None, None),
        (dict(fate=Fate.LATER, age=timedelta(hours=5)), "queued", Action.DELAYED, "4.2.0"),
        (dict(fate=Fate.LATER, age=timedelta(hours=5), warned=True), "queued", None, None),
        (dict(fate=Fate.LATER, age=timedelta(days=5)), "failed", Action.FAILED, "4.4.7"),
        (dict(fate=Fate.UNKNOWN, age=timedelta(days=6), warned=True), "failed", Action.FAILED, "4.4.7"),
    ],
)
def test_what_a_delivery_means(given, state, action, status):
    found = verdict(**given)
    assert found.result.state == state
    assert (found.told and found.told.action, found.told and found.told.status) == (action, status)


def test_a_delay_says_when_it_goes_on_and_until_when():
    found = verdict(Fate.LATER, age=timedelta(hours=5))
    assert found.result.next_attempt_at == NOW + timedelta(minutes=5)
    assert found.result.warned
    assert found.told.retry_until == NOW - timedelta(hours=5) + timedelta(days=5)


def test_the_row_gets_the_peer_s_words():
    result = verdict(Fate.NEVER, "5.0.0", code=550).result
    assert (result.reply, result.code, result.enhanced_code) == ("550 5.0.0 said so", 550, "5.0.0")
    assert (result.remote_host, result.remote_address) == ("mx.far.test", "192.0.2.1")
    assert (result.tls, result.dialog, result.reason) == ("TLSv1.3 X", "C: all of it", "some-reason")


@pytest.mark.parametrize(
    "given, reason",
    [
        (dict(fate=Fate.NEVER, status="5.1.1", code=550), "no-such-address"),
        (dict(fate=Fate.LATER, status="4.2.2", code=452), "mailbox-full-there"),
        # After days the last reply no longer matters; what was taken needs no reason; words of ours have theirs.
        (dict(fate=Fate.LATER, status="4.2.2", code=452, age=timedelta(days=5)), "expired"),
        (dict(fate=Fate.DELIVERED, status="5.1.1", code=250), "some-reason"),
        (dict(fate=Fate.LATER, status="4.2.2", code=None), "some-reason"),
    ],
)
def test_the_reason_is_what_the_words_mean(given, reason):
    assert verdict(**given).result.reason == reason


def test_our_own_words_are_not_put_into_the_remote_host_s_mouth():
    assert verdict(Fate.NEVER, "5.4.4", code=None).told.remote_host == ""
    assert verdict(Fate.NEVER, "5.1.1", code=550).told.remote_host == "mx.far.test"
