"""Others' policies, kept for as long as they ask (RFC 8461 §3.2)."""

from datetime import UTC, datetime, timedelta

import pytest

from mailsuite.mailauth.mtasts import Mode, Policy
from mailsuite.transport_security import known
from mailsuite.transport_security.models import KnownPolicy

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = Policy(Mode.ENFORCE, ("mx.far.test", "*.far.test"), 7 * 86400)


def test_a_policy_holds_until_it_runs_out():
    known.keep("far.test", "1", POLICY, NOW)
    assert known.find("far.test", NOW + DAY) == known.Known(POLICY, "1", may_try=True)
    assert known.find("far.test", NOW + 6 * DAY) == known.Known(POLICY, "1", may_try=True, is_use_forgotten=True)
    assert known.find("far.test", NOW + 8 * DAY).policy is None
    assert known.find("else.test", NOW) == known.NOTHING


def test_a_failure_keeps_the_policy_and_rests():
    known.keep("far.test", "1", POLICY, NOW)
    known.note_failure("far.test", "bad certificate " * 50, NOW + DAY)
    found = known.find("far.test", NOW + DAY)
    assert found.policy == POLICY and not found.may_try
    assert known.find("far.test", NOW + DAY + known.FAILURE_REST).may_try
    # Noted by a clock that was ahead.
    assert known.find("far.test", NOW).may_try
    known.note_failure("new.test", "away", NOW)
    assert known.find("new.test", NOW) == known.Known(None, "", may_try=False, failure="away")
    known.keep("new.test", "2", POLICY, NOW)
    assert known.find("new.test", NOW).failure == ""


def test_what_the_background_looks_at():
    for name, fetched, max_age in (("fresh", NOW, 7), ("old", NOW - 2 * DAY, 7), ("over", NOW - 9 * DAY, 7)):
        known.keep(f"{name}.test", "1", Policy(Mode.NONE, (), max_age * 86400), fetched)
    known.note_failure("never.test", "x", NOW - 2 * DAY)
    assert known.to_refresh(NOW, 10) == ["old.test"]
    assert known.to_refresh(NOW, 0) == []
    # Tried an hour ago at the most, whatever came of it; and kept by a refresh, nobody has used it.
    known.note_failure("old.test", "away", NOW)
    assert known.to_refresh(NOW, 10) == []
    known.keep("old.test", "2", POLICY, NOW, used=False)
    assert KnownPolicy.objects.get(domain="old.test").used_at == NOW - 2 * DAY
    known.note_use("old.test", NOW)
    assert KnownPolicy.objects.get(domain="old.test").used_at == NOW


def test_nobody_asks_any_more():
    known.keep("far.test", "1", Policy(Mode.ENFORCE, ("a.b",), 31557600), NOW - 31 * DAY)
    assert known.to_refresh(NOW, 10) == []


def test_what_has_run_out_is_forgotten():
    known.keep("far.test", "1", POLICY, NOW - 8 * DAY)
    known.keep("live.test", "1", POLICY, NOW)
    known.note_failure("failed.test", "x", NOW - 2 * DAY)
    assert known.forget_old(NOW) == 2
    assert list(KnownPolicy.objects.values_list("domain", flat=True)) == ["live.test"]
