"""The owner's page on rules: written, shown and taken back for one's own mailboxes; never for another's."""

import html

import pytest

from mailsuite.directory.models import Domain, Mailbox, User
from mailsuite.junk.models import Sender
from mailsuite.provisioning import services
from mailsuite.screening import own_rules
from mailsuite.screening.models import Rule, ScreeningSettings, SenderPause
from mailsuite.screening.services import save_settings

PASSWORD = "correct horse battery"


@pytest.fixture
def mailbox(ann):
    return Mailbox.objects.get(user=ann)


@pytest.fixture
def bobs(mailbox):
    """Bob's mailbox, with a rule and a pause."""
    services.add_mailbox("bob@example.org", PASSWORD)
    row = Mailbox.objects.get(address="bob@example.org")
    own_rules.set_rule(row.pk, "junk", "bobs.foe.example")
    own_rules.set_own_pause(row.pk, 15)
    return row


def page_of(answer):
    return html.unescape(answer.content.decode())


def add(client, to, **fields):
    given = {"mailbox": to.pk, "sender": "eve@shop.example", "action": "junk"} | fields
    return client.post("/rules", given, follow=True)


def test_a_rule_is_added_shown_changed_and_removed(signed_in, mailbox):
    page = page_of(add(signed_in, mailbox, note="the shop"))
    assert "Mail of eve@shop.example to ann@example.org always goes to Junk from now on." in page
    assert "the shop" in page
    rule = Rule.objects.get()
    assert (rule.mailbox, rule.domain, rule.action, rule.value) == (mailbox, None, "junk", "eve@shop.example")
    add(signed_in, mailbox, sender="Eve <EVE@shop.example>", action="block")
    assert Rule.objects.get().action == "block"
    page = page_of(signed_in.post(f"/mailboxes/{mailbox.pk}/rules/{rule.pk}/remove", follow=True))
    assert "The rule is removed." in page and "No rules yet." in page
    assert not Rule.objects.exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sender": ""}, "required"),
        ({"sender": "ann"}, "no whole domain"),
        ({"sender": "a b@example.org"}, "can't be an address"),
        ({"action": "forward"}, "valid choice"),
        ({"mailbox": "ann@example.org"}, "valid choice"),
        ({"note": "x" * 201}, "at most 200"),
        ({"sender": "eve@shop.example\x00"}, "Null characters"),
    ],
)
def test_bad_input_is_said_in_the_form_and_nothing_typed_is_lost(signed_in, mailbox, fields, words):
    page = page_of(add(signed_in, mailbox, **{"note": "kept"} | fields))
    assert words in page
    assert 'value="kept"' in page or "note" in fields
    assert not Rule.objects.exists()


def test_there_may_be_so_many(signed_in, mailbox, monkeypatch):
    monkeypatch.setattr(own_rules, "MOST_RULES", 1)
    add(signed_in, mailbox)
    assert "1 rules here: remove some first" in page_of(add(signed_in, mailbox, sender="other.example"))


def test_the_form_begins_with_what_a_link_asks_for(signed_in, mailbox):
    page = page_of(signed_in.get("/rules", {"mailbox": "999", "sender": 'x"y@shop.example', "action": "allow"}))
    assert 'value="x"y@shop.example"' in page and '<option value="allow" selected>' in page
    assert f'name="mailbox" value="{mailbox.pk}"' in page
    assert not Rule.objects.exists()


def test_junk_leads_to_a_rule_about_a_sender_and_tells_of_it(signed_in, mailbox):
    Sender.objects.create(
        mailbox=mailbox, rung="from", key="e&x=1@shop.example", junked=2, changed_at=mailbox.created_at
    )
    page = page_of(signed_in.get("/junk"))
    assert f"/rules?mailbox={mailbox.pk}&sender=e%26x%3D1%40shop.example&action=junk" in page
    add(signed_in, mailbox, sender="e&x=1@shop.example", action="allow")
    page = page_of(signed_in.get("/junk"))
    assert "its mail always goes to the inbox" in page and "&action=junk" not in page


def test_an_administrators_rule_for_the_mailbox_is_shown_with_all_it_says(signed_in, mailbox):
    network = {"subject": "network", "value": "192.0.2.0/24", "believes_unproven": True}
    Rule.objects.create(mailbox=mailbox, action="allow", expires_at="2027-01-01T00:00Z", **network)
    page = page_of(signed_in.get("/rules"))
    assert "hosts in 192.0.2.0/24" in page and "even when nothing proves the sender" in page and "2027-01-01" in page


def test_which_of_several_mailboxes(signed_in, ann, mailbox):
    services.add_mailbox("second@example.org", owner=ann.email)
    second = Mailbox.objects.get(address="second@example.org")
    assert f'<option value="{second.pk}" selected>' in page_of(signed_in.get("/rules", {"mailbox": second.pk}))
    add(signed_in, second)
    assert Rule.objects.get().mailbox == second


def test_the_pause_for_strangers(signed_in, mailbox):
    save_settings(ScreeningSettings(first_sender_pause_minutes=20))
    url = f"/mailboxes/{mailbox.pk}/pause"
    assert "As this host does it: wait 20 minutes" in page_of(signed_in.get("/rules"))
    assert "is kept" in page_of(signed_in.post(url, {"minutes": "15"}, follow=True))
    assert SenderPause.objects.get().minutes == 15
    for typed in ("7", "-1", "999999999999", "soon"):
        assert "Choose one of the times" in page_of(signed_in.post(url, {"minutes": typed}, follow=True))
    SenderPause.objects.update(minutes=45)
    assert '<option value="45" selected>wait 45 minutes' in page_of(signed_in.get("/rules"))
    signed_in.post(url, {"minutes": ""})
    assert not SenderPause.objects.exists()


def test_an_owner_neither_sees_nor_changes_anothers(signed_in, mailbox, bobs):
    theirs = Rule.objects.get()
    assert "bobs.foe.example" not in page_of(signed_in.get("/rules"))
    assert "valid choice" in page_of(add(signed_in, bobs))
    assert signed_in.post(f"/mailboxes/{bobs.pk}/rules/{theirs.pk}/remove").status_code == 404
    assert signed_in.post(f"/mailboxes/{bobs.pk}/pause", {"minutes": "60"}).status_code == 404
    # By way of the own mailbox no more than by way of the other's.
    signed_in.post(f"/mailboxes/{mailbox.pk}/rules/{theirs.pk}/remove")
    assert list(Rule.objects.all()) == [theirs]
    assert SenderPause.objects.get().minutes == 15


def test_an_administrators_account_writes_no_rules_for_other_mailboxes_here(client, bobs):
    client.force_login(User.objects.get(email="admin@localhost"))
    assert "No mailbox belongs to this account." in page_of(client.get("/rules"))
    add(client, bobs)
    assert [one.value for one in Rule.objects.all()] == ["bobs.foe.example"]


@pytest.mark.parametrize("what", ["mailbox", "domain"])
def test_nothing_is_changed_for_a_mailbox_out_of_use(signed_in, ann, mailbox, what):
    """The account has another one, so that the person is still let in."""
    services.add_domain("example.net", key_pairs=[])
    services.add_mailbox("ann@example.net", owner=ann.email)
    rule = own_rules.set_rule(mailbox.pk, "junk", "shop.example")
    if what == "mailbox":
        Mailbox.objects.filter(pk=mailbox.pk).update(state=Mailbox.State.SUSPENDED)
    else:
        Domain.objects.filter(pk=mailbox.domain_id).update(state=Domain.State.DISABLED)
    assert "valid choice" in page_of(add(signed_in, mailbox, action="block"))
    assert signed_in.post(f"/mailboxes/{mailbox.pk}/rules/{rule.rule_id}/remove").status_code == 404
    assert [(one.action, one.value) for one in own_rules.rules_of(mailbox.pk)] == [("junk", "shop.example")]


@pytest.mark.parametrize("path", ["rules/1/remove", "pause"])
def test_changes_take_a_post(signed_in, mailbox, path):
    assert signed_in.get(f"/mailboxes/{mailbox.pk}/{path}").status_code == 405
