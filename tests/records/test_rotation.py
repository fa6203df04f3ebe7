"""DKIM keys through their stages, and the stages of DMARC: what moves by itself, and what only by a person."""

import dataclasses
import itertools
from datetime import date, timedelta

import pytest
from django.utils import timezone
from zone import quoted

from mailsuite.errors import ChangeRefused
from mailsuite.records import stages
from mailsuite.records.checking import check_domain
from mailsuite.records.models import DomainPolicy
from mailsuite.records.rotation import advance_keys
from mailsuite.records.setup import records_for
from mailsuite.reports.sentences import sentences
from mailsuite.reports.services import Evidence
from mailsuite.secrets import field_cipher
from mailsuite.signing.keys import activate_key, retire_key, start_rotation
from mailsuite.signing.lookup import dkim_keys
from mailsuite.signing.models import DkimKey

pytestmark = pytest.mark.usefixtures("same_connection")
DAY = timedelta(days=1)


def state(selector):
    return DkimKey.objects.get(selector=selector).state


def value(domain, selector):
    return next(one.value for one in records_for(domain) if one.name.startswith(f"{selector}._domainkey."))


def test_a_new_key_takes_over_only_when_the_name_servers_have_it(server, publish, domain):
    publish()
    old = DkimKey.objects.get(algorithm="rsa").selector
    new = start_rotation(domain.pk)
    with pytest.raises(ChangeRefused, match="publish that one first"):
        start_rotation(domain.pk)
    check_domain(domain)
    now = timezone.now()
    assert advance_keys(now) == 0 and (state(old), state(new)) == ("active", "pending")
    server.records[f"{new}._domainkey.example.org", "TXT"] = "servfail"
    check_domain(domain)
    assert advance_keys(now) == 0 and state(new) == "pending"

    # The right key in a record that receivers refuse is as good as none.
    spoiled = quoted(value(domain, new).replace("k=rsa", "k=rsa; h=sha1"))
    server.records[f"{new}._domainkey.example.org", "TXT"] = [spoiled]
    check_domain(domain)
    assert advance_keys(now) == 0 and state(new) == "pending"

    publish(lambda record: record.name.startswith(new))
    check_domain(domain)
    assert state(new) == "published"
    assert advance_keys(now) == 1 and (state(old), state(new)) == ("retired", "active")
    assert new in [key.selector for key in dkim_keys("example.org")]

    assert advance_keys(now + 6 * DAY) == 0
    assert advance_keys(now + 8 * DAY) == 1 and state(old) == "revoked"
    assert value(domain, old) == "v=DKIM1; p=" and DkimKey.objects.get(selector=old).private_key == ""
    with pytest.raises(ChangeRefused, match="revoked"):
        activate_key(DkimKey.objects.get(selector=old).pk)
    assert advance_keys(now + 36 * DAY) == 0
    assert advance_keys(now + 38 * DAY) == 1
    assert set(DkimKey.objects.filter(algorithm="rsa").values_list("selector", flat=True)) == {new}


def test_an_ed25519_key_that_is_seen_waits_for_a_person(publish, domain):
    publish()
    check_domain(domain)
    key = DkimKey.objects.get(algorithm="ed25519")
    assert (key.state, advance_keys(timezone.now())) == ("published", 0)


@pytest.mark.parametrize(
    ("site_months", "own_months", "days", "starts"),
    [(0, None, 4000, 0), (6, None, 180, 0), (6, None, 190, 1), (6, 0, 4000, 0), (0, 3, 100, 1), (12, 3, 100, 1)],
)
def test_the_schedule_starts_a_rotation(domain, settings, site_months, own_months, days, starts):
    settings.MAILSUITE = dataclasses.replace(settings.MAILSUITE, dkim_rotation_months=site_months)
    if own_months is not None:
        stages.choose(domain.pk, rotation_months=own_months)
    later = timezone.now() + days * DAY
    assert (advance_keys(later), advance_keys(later)) == (starts, 0)
    assert DkimKey.objects.filter(takes_over=True).count() == starts


def test_keys_are_switched_by_hand(domain):
    first = DkimKey.objects.get(algorithm="rsa")
    second = DkimKey.objects.get(selector=start_rotation(domain.pk))
    assert second.selector == first.selector + "b"
    activate_key(second.pk)
    first.refresh_from_db()
    assert first.state == "retired" and first.retired_at and not DkimKey.objects.filter(takes_over=True).exists()
    retire_key(second.pk)
    assert not DkimKey.objects.filter(algorithm="rsa", state="active").exists()
    assert field_cipher().decrypt(first.private_key).startswith("-----BEGIN PRIVATE KEY-----")


def evidence(**changes):
    fine = Evidence(1000, 990, 0, 10, 0, ("us",), (), date(2026, 11, 1), date(2026, 11, 14), 14, 5)
    return dataclasses.replace(fine, **changes)


@pytest.mark.parametrize(
    ("found", "is_safe", "words"),
    [
        (evidence(), True, "Safe to go on: 5 receivers"),
        (evidence(messages=0, aligned=0), False, "No reports"),
        (evidence(sources_failing=("shop.test",), failing=90, aligned=900), False, "90.9 % of the mail that"),
        (evidence(sources_failing=("shop.test",), failing=90, aligned=900), False, "Mail from shop.test fails"),
        (evidence(sources_failing=("shop.test",), failing=5, aligned=985), True, "Where shop.test is yours"),
        (evidence(aligned=900), False, "only 90.9 %"),
        (evidence(sources=(), aligned=0, unauthenticated=1000), False, "nobody who sends"),
        (evidence(days_reported=3), False, "reports of 3 days"),
    ],
)
def test_reports_speak_for_a_step_or_against_it(domain, monkeypatch, found, is_safe, words):
    monkeypatch.setattr(stages, "evidence", lambda domain_id, days: found)
    advice = stages.advise(domain, "none")
    assert (advice.is_safe, words in advice.text, advice.next_stage) == (is_safe, True, "quarantine-trial"), advice.text


def test_the_page_of_the_records_and_the_page_of_the_reports_agree(domain, monkeypatch):
    monkeypatch.setattr(stages, "evidence", lambda domain_id, days: found)
    for failing, days in itertools.product((None, 0, 19, 20), (6, 7, 14)):
        found = evidence(days_reported=days, aligned=990 - (failing or 0), failing=failing or 0)
        if failing is None:
            found = evidence(days_reported=days, aligned=0, unauthenticated=1000, sources=())
        elif failing:
            found = dataclasses.replace(found, sources=("us", "shop.test"), sources_failing=("shop.test",))
        says_safe = "safe to move" in sentences(found, "example.org", "none")[-1].text
        assert stages.advise(domain, "none").is_safe == says_safe, found


def test_stages_go_up_and_down_one_by_one_and_only_by_hand(domain):
    values = []
    for _ in range(4):
        stages.advance_dmarc(domain.pk)
        values.append(next(one.value for one in records_for(domain) if one.name.startswith("_dmarc.")))
    rua = "; rua=mailto:dmarc-reports@example.org"
    assert values == [
        f"v=DMARC1; p=quarantine; np=reject; t=y{rua}",
        f"v=DMARC1; p=quarantine; np=reject{rua}",
        f"v=DMARC1; p=reject; np=reject; t=y{rua}",
        f"v=DMARC1; p=reject; np=reject{rua}",
    ]
    with pytest.raises(ChangeRefused):
        stages.advance_dmarc(domain.pk)
    assert stages.advise(domain, "reject").next_stage == ""
    assert stages.retreat_dmarc(domain.pk) == "reject-trial"
    assert DomainPolicy.objects.get().dmarc_changed_at
