"""Rules that people write: what can be one, and which of them holds."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from mailsuite.errors import ChangeRefused
from mailsuite.screening.models import Rule
from mailsuite.screening.rules import checked_value, find_rule, forget_expired, remove_rules, save_rule
from mailsuite.screening.values import SenderFacts

NOW = datetime.now(UTC)
PROVEN = SenderFacts("192.0.2.10", "bounce@list.example", ("Eve@Mail.Example",), True, True)
UNPROVEN = SenderFacts("192.0.2.10", "bounce@list.example", ("eve@mail.example",))


def add(action, subject, value, **fields):
    rule = Rule(action=action, subject=subject, value=value, **fields)
    save_rule(rule)
    return rule


@pytest.mark.parametrize(
    "subject, typed, kept",
    [
        ("sender", " Eve@Mail.Example ", "eve@mail.example"),
        ("sender", "eve@b\u00fccher.example", "eve@xn--bcher-kva.example"),
        ("sender-domain", "*.Example.ORG.", "example.org"),
        ("sender-domain", "@example.org", "example.org"),
        ("network", "192.0.2.99/24", "192.0.2.0/24"),
        ("network", "192.0.2.9", "192.0.2.9/32"),
        ("network", "2001:DB8::1/32", "2001:db8::/32"),
        ("recipient", "Ann@example.org", "ann@example.org"),
    ],
)
def test_values_are_brought_to_one_form(subject, typed, kept):
    assert checked_value(subject, typed) == kept


@pytest.mark.parametrize(
    "subject, typed, words",
    [
        ("sender", "example.org", "look at the domain instead"),
        ("sender", "@example.org", "look at the domain instead"),
        ("sender", "a b@example.org", "can't be an address"),
        ("sender-domain", "exam ple", "can't be a domain"),
        ("sender-domain", "org", "no whole domain"),
        ("network", "example.org", "write 192.0.2.1 or 192.0.2.0/24"),
        ("network", "0.0.0.0/0", "too much of the internet"),
        ("network", "::/8", "too much of the internet"),
        ("recipient", "ann", "no address"),
    ],
)
def test_values_that_can_be_none_are_refused_in_words(subject, typed, words):
    with pytest.raises(ChangeRefused, match=words):
        checked_value(subject, typed)


def test_rules_that_make_no_sense_are_refused(home, domain):
    with pytest.raises(ChangeRefused, match="leave one of them empty"):
        add("block", "sender", "x@y.example", domain=domain, mailbox=home["ann"])
    with pytest.raises(ChangeRefused, match="expired already"):
        add("block", "sender", "x@y.example", expires_at=NOW - timedelta(hours=1))
    with pytest.raises(ChangeRefused, match="not hosted here"):
        add("block", "recipient", "x@y.example")
    add("block", "recipient", "sales@example.com", domain=domain)
    add("block", "sender", "x@y.example")
    with pytest.raises(ChangeRefused, match="already: block x@y.example"):
        add("allow", "sender", "X@Y.example")
    add("allow", "sender", "x@y.example", domain=domain)
    add("allow", "sender", "x@y.example", mailbox=home["ann"])


# Rules as (action, subject, value), whether the sender is proven, and the action and text of the one that holds.
MATCHES = [
    ([("block", "sender", "eve@mail.example")], False, "“block eve@mail.example”"),
    ([("block", "sender", "bounce@list.example")], False, "“block bounce@list.example”"),
    ([("block", "sender", "adam@mail.example")], False, None),
    ([("junk", "sender-domain", "mail.example")], False, "“junk everybody at mail.example”"),
    ([("junk", "sender-domain", "ail.example")], False, None),
    ([("junk", "sender-domain", "list.example")], False, "“junk everybody at list.example”"),
    ([("allow", "sender", "eve@mail.example")], True, "“allow eve@mail.example”"),
    ([("allow", "sender", "eve@mail.example")], False, None),
    ([("allow", "sender-domain", "mail.example")], False, None),
    ([("allow", "sender-domain", "mail.example"), ("block", "network", "192.0.2.0/24")], False,
     "“block hosts in 192.0.2.0/24”"),
    ([("allow", "network", "192.0.2.10/32"), ("block", "network", "192.0.2.0/24")], False,
     "“allow hosts in 192.0.2.10/32”"),
    ([("block", "network", "198.51.100.0/24")], False, None),
    ([("block", "sender-domain", "mail.example"), ("allow", "sender", "eve@mail.example")], True,
     "“allow eve@mail.example”"),
    ([("block", "sender-domain", "mail.example"), ("allow", "sender", "eve@mail.example")], False,
     "“block everybody at mail.example”"),
    ([("block", "recipient", "ann@example.org")], False, "“block mail to ann@example.org”"),
    ([("block", "recipient", "bob@example.org")], False, None),
]  # fmt: skip


@pytest.mark.parametrize("rules, is_proven, text", MATCHES)
def test_which_rule_holds(home, rules, is_proven, text):
    for action, subject, value in rules:
        add(action, subject, value)
    sender = PROVEN if is_proven else UNPROVEN
    hit = find_rule(sender, "ann+shop@example.org", mailbox_id=home["ann"].pk, domain_id=None, now=NOW)
    assert (hit and hit.text) == text
    assert hit is None or hit.scope == "site"


def test_subdomains_are_meant_too_and_the_longer_name_holds(home):
    add("block", "sender-domain", "mail.example")
    add("junk", "sender-domain", "news.mail.example")
    for domain, action in (("mail.example", "block"), ("a.mail.example", "block"), ("x.news.mail.example", "junk")):
        sender = SenderFacts("192.0.2.1", f"a@{domain}", (f"a@{domain}",))
        hit = find_rule(sender, "ann@example.org", mailbox_id=None, domain_id=None, now=NOW)
        assert hit.action == action


def test_the_mailbox_outranks_its_domain_and_that_the_site(home, domain):
    add("block", "sender", "eve@mail.example")
    add("junk", "sender", "eve@mail.example", domain=domain)
    add("allow", "sender", "eve@mail.example", mailbox=home["ann"])

    def held(mailbox, domain_id, sender=PROVEN):
        hit = find_rule(sender, "x@example.org", mailbox_id=mailbox and mailbox.pk, domain_id=domain_id, now=NOW)
        return (hit.scope, hit.action)

    assert held(home["ann"], domain.pk) == ("mailbox", "allow")
    assert held(home["ann"], domain.pk, UNPROVEN) == ("domain", "junk")
    assert held(home["bob"], domain.pk) == ("domain", "junk")
    assert held(None, domain.pk) == ("domain", "junk")
    assert held(None, None) == ("site", "block")


def test_an_allow_rule_may_believe_anybody(home):
    add("allow", "sender", "eve@mail.example", believes_unproven=True)
    assert find_rule(UNPROVEN, "ann@example.org", mailbox_id=None, domain_id=None, now=NOW).action == "allow"


def test_rules_expire_change_and_go(home):
    rule = add("block", "sender", "eve@mail.example", expires_at=NOW + timedelta(hours=1))
    ask = {"mailbox_id": home["ann"].pk, "domain_id": None}
    assert find_rule(UNPROVEN, "a@example.org", now=NOW, **ask).action == "block"
    assert find_rule(UNPROVEN, "a@example.org", now=NOW + timedelta(hours=2), **ask) is None
    # Remembered: nothing is asked but the directory's version.
    with CaptureQueriesContext(connections["reader"]) as asked:
        find_rule(UNPROVEN, "a@example.org", now=NOW, **ask)
    assert [one["sql"] for one in asked if "directory_directoryversion" not in one["sql"]] == []
    rule.action = "junk"
    save_rule(rule)
    assert find_rule(UNPROVEN, "a@example.org", now=NOW, **ask).action == "junk"
    assert forget_expired(NOW + timedelta(days=3)) == 0
    assert forget_expired(NOW + timedelta(days=32)) == 1
    add("block", "sender", "other@mail.example")
    assert remove_rules(list(Rule.objects.values_list("pk", flat=True))) == 1
    assert find_rule(UNPROVEN, "a@example.org", now=NOW, **ask) is None


def test_a_null_sender_and_nonsense_fit_no_rule_about_senders(home):
    add("block", "sender", "eve@mail.example")
    for sender in (SenderFacts("192.0.2.1"), SenderFacts("nonsense", "not an address", ("@@",))):
        assert find_rule(sender, "not an address", mailbox_id=None, domain_id=None, now=NOW) is None


@pytest.mark.parametrize(
    ("authors", "is_proven", "action"),
    [
        (("eve@far.example", "good@near.example"), False, "block"),
        (("good@near.example", "eve@far.example"), True, "block"),
        (("odd@near.example", "good@near.example"), True, "junk"),
        (("good@near.example",), True, "allow"),
        (("good@near.example",), False, None),
        (("good@near.example", "x@else.example"), True, None),
        (("good@near.example", "good2@near.example"), True, "allow"),
        (("x@under_score.far.example",), False, "block"),
        ((f"{'x' * 300}@far.example",), False, "block"),
    ],
)
def test_none_of_several_authors_hides_behind_another(home, authors, is_proven, action):
    add("block", "sender-domain", "far.example")
    add("junk", "sender", "odd@near.example")
    add("allow", "sender", "good@near.example")
    add("allow", "sender", "good2@near.example")
    sender = SenderFacts("192.0.2.10", "", authors, is_author_authentic=is_proven)
    hit = find_rule(sender, "ann@example.org", mailbox_id=None, domain_id=None, now=NOW)
    assert (hit and hit.action) == action
