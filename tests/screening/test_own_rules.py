"""What owners say for their own mailboxes: which senders they can name, how many, and whose it is to take back."""

from datetime import UTC, datetime, timedelta

import pytest

from mailsuite.directory.version import directory_version
from mailsuite.errors import ChangeRefused
from mailsuite.screening import own_rules, services
from mailsuite.screening.models import Rule, SenderPause
from mailsuite.screening.rules import find_rule
from mailsuite.screening.values import SenderFacts

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def ann(home):
    return home["ann"].pk


def held(mailbox_id, *, is_proven=False):
    """What becomes of eve's mail to the mailbox."""
    eve = SenderFacts("192.0.2.1", "eve@shop.example", ("eve@shop.example",), is_proven, is_proven)
    hit = find_rule(eve, "x@example.org", mailbox_id=mailbox_id, domain_id=None, now=NOW)
    return hit and (hit.scope, hit.action)


@pytest.mark.parametrize(
    ("typed", "about"),
    [
        ("Eve@Shop.Example", "eve@shop.example"),
        (" Eve the Seller <eve@shop.example> ", "eve@shop.example"),
        ("<eve@shop.example>", "eve@shop.example"),
        ("shop.example", "everybody at shop.example"),
        ("@shop.example", "everybody at shop.example"),
        ("*@shop.example", "everybody at shop.example"),
        ("*.shop.example", "everybody at shop.example"),
        ("b\u00fccher.example", "everybody at xn--bcher-kva.example"),
    ],
)
def test_senders_as_people_write_them(ann, typed, about):
    assert own_rules.set_rule(ann, "junk", typed).about == about
    assert [rule.about for rule in own_rules.rules_of(ann)] == [about]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "can't be a domain"),
        ("ann", "no whole domain"),
        ("ann@", "no address"),
        ("a b@example.org", "can't be an address"),
        ("192.0.2.1", "looks like an IP address"),
        ("eve@shop.example, adam@shop.example", "can't be an address"),
        ("<script>", "no whole domain"),
        ("eve@shop.example\nBcc: x@y.example", "can't be an address"),
        ("\u0390" * 32 + "@" + ".".join(["a" * 63] * 3), "longer than 254 octets"),
        ('"' + '\\"' * 64 + '"@' + ".".join(["a" * 63] * 3), "longer than 254 octets"),
    ],
)
def test_what_can_be_no_sender_is_refused_in_words(ann, typed, words):
    with pytest.raises(ChangeRefused, match=words):
        own_rules.set_rule(ann, "junk", typed)
    assert not Rule.objects.exists()


def test_an_unknown_action_is_refused(ann):
    with pytest.raises(ChangeRefused, match="what is to become"):
        own_rules.set_rule(ann, "delete", "eve@shop.example")


def test_an_allow_rule_of_an_owner_asks_for_proof_and_holds_for_that_mailbox_alone(home, ann):
    own_rules.set_rule(ann, "allow", "eve@shop.example")
    assert held(ann) is None
    assert held(ann, is_proven=True) == ("mailbox", "allow")
    assert held(home["bob"].pk, is_proven=True) is None


def test_the_last_word_about_a_sender_holds(ann):
    """In place of an administrator's too, with what that one had beside it."""
    Rule.objects.create(
        mailbox_id=ann, action="allow", value="eve@shop.example", believes_unproven=True, expires_at=NOW
    )
    own_rules.set_rule(ann, "block", "eve@shop.example", "enough")
    row = Rule.objects.get()
    assert (row.action, row.note, row.believes_unproven, row.expires_at) == ("block", "enough", False, None)
    assert held(ann) == ("mailbox", "block")


def test_there_may_be_so_many_and_the_last_can_still_be_changed(ann, monkeypatch):
    monkeypatch.setattr(own_rules, "MOST_RULES", 2)
    own_rules.set_rule(ann, "junk", "eve@shop.example")
    own_rules.set_rule(ann, "junk", "shop.example")
    with pytest.raises(ChangeRefused, match="2 rules here: remove some"):
        own_rules.set_rule(ann, "junk", "other.example")
    own_rules.set_rule(ann, "block", "shop.example")
    assert {rule.action for rule in own_rules.rules_of(ann)} == {"junk", "block"}


def test_a_rule_is_removed_by_its_own_mailbox_alone(home, ann):
    rule = own_rules.set_rule(ann, "block", "eve@shop.example")
    before = directory_version()
    assert not own_rules.remove_rule(home["bob"].pk, rule.rule_id)
    assert directory_version() == before
    assert held(ann) == ("mailbox", "block")
    assert own_rules.remove_rule(ann, rule.rule_id)
    assert held(ann) is None


def test_a_pause_of_ones_own_and_back_to_the_sites(home, ann):
    assert own_rules.own_pause(ann) is None
    own_rules.set_own_pause(ann, 15)
    own_rules.set_own_pause(ann, 30)
    assert services.sender_pause(ann) == timedelta(minutes=30)
    assert services.sender_pause(home["bob"].pk) == timedelta(0)
    own_rules.set_own_pause(ann, 0)
    assert own_rules.own_pause(ann) == 0
    own_rules.set_own_pause(ann, None)
    own_rules.set_own_pause(ann, None)
    assert not SenderPause.objects.exists()
