"""What became of messages, as the admin's lists and the first lines of a story tell it, and what its buttons do."""

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from django.core.management import call_command
from django.urls import reverse

from mailsuite.abuse import host_alarms
from mailsuite.abuse.models import AlarmSettings
from mailsuite.authcheck.report import ArcCheck, AuthReport, IprevCheck, SpfCheck
from mailsuite.console.stories import deeds, search
from mailsuite.directory import history
from mailsuite.directory.models import Change, Mailbox
from mailsuite.ids import new_id
from mailsuite.junk.models import Judgement
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.mailauth.dmarc import DmarcOutcome
from mailsuite.queue import groups
from mailsuite.queue.models import QueuedMessage, QueuedRecipient
from mailsuite.queue.operations import AttemptResult, ClaimDue, Settle
from mailsuite.screening.models import Rule
from mailsuite.store.models import Message
from mailsuite.store.operations import Deliver, LocalDelivery, Outgoing, RemoteRecipient
from mailsuite.trace import fates
from mailsuite.trace.models import Event, Story, StoryRecipient
from mailsuite.trace.operations import EventFacts, StoryFacts
from mailsuite.trace.telling import insert_story
from mailsuite.verdict.verdict import Action, Verdict
from mailsuite.verdict.verdict import Judgement as Judged
from mailsuite.writer.batch import Batch
from mailsuite.writer.run import execute
from mailsuite.writer.storage import mail_storage

NOW = datetime.now(UTC)
FOREIGN = "theirs.example"
MAIL = b"From: Eve <eve@shop.example>\r\nSubject: %s\r\n\r\nbody\r\n"


@pytest.fixture(autouse=True)
def storage():
    mail_storage().prepare()


def facts(kind="inbound", outcome="accepted", **more):
    more.setdefault("reverse_path", "eve@shop.example")
    return StoryFacts(new_id(), kind, outcome, NOW, **more)


def authenticated(authors, **more):
    report = AuthReport(
        *("192.0.2.1", "mx.shop.example", "eve@shop.example", authors[0] if len(authors) == 1 else "", NOW),
        IprevCheck("none"),
        SpfCheck("mailfrom", "shop.example", "none"),
        SpfCheck("helo", "shop.example", "none"),
        *(DmarcOutcome("fail"), ArcCheck("none")),
        from_addresses=tuple(authors),
    )
    return msgspec.json.encode({"authentication": report}).decode()


def local(address, **more):
    row = Mailbox.objects.get(address=address)
    return LocalDelivery(row.pk, address, b"", row.domain_id, **more)


def deliver(subject, *addresses, **more):
    told = facts()
    execute(Deliver.carrying(MAIL % subject.encode(), told, local=[local(one, **more) for one in addresses]))
    return told.story_id


def refuse(domains, address, reason, reply="550 5.1.1 No such mailbox here", outcome="refused", **more):
    event = EventFacts("refused", address, reason, reply, domains["mine.example"])
    told, batch = facts(outcome=outcome, reason=reason, events=[event], **more), Batch()
    insert_story(batch, told, told.events, None)
    batch.finish()
    return told.story_id


def send(domains, *addresses, domain="mine.example", **more):
    row = Mailbox.objects.get(address=f"ann@{domain}")
    told = facts("submission", sender_domain_id=row.domain_id, sender_mailbox_id=row.pk)
    recipients = [RemoteRecipient(EnvelopeRecipient(one), one.rpartition("@")[2]) for one in addresses]
    outgoing = Outgoing(
        Envelope(row.address, expires_at=NOW + timedelta(5)), b"", recipients, domain_id=row.domain_id, **more
    )
    execute(Deliver.carrying(MAIL % b"sent", told, outgoing=[outgoing]))
    return told.story_id


def settle(reply, reason, state="queued", host="mx.far.test"):
    ids = [one.recipient_id for one in execute(ClaimDue("worker", 100, 1200))]
    later = NOW + timedelta(hours=1)
    execute(Settle("worker", [AttemptResult(pk, state, reply, later, 450, "", host, reason=reason) for pk in ids]))


def listed(client, **query):
    return client.get(reverse("admin:trace_story_changelist"), query).content.decode()


def told(client, story_id):
    return client.get(reverse("admin:trace_story_change", args=[story_id])).content.decode()


def press(client, story_id, verb, **data):
    url = reverse("admin:trace_story_do", args=[story_id, verb])
    page = client.post(url, data, follow=True).content.decode()
    return page


class TestLists:
    def test_a_bounce_is_no_success(self, as_superuser, domains):
        send(domains, "bob@far.test", "cy@far.test")
        settle("550 5.1.1 User unknown", "no-such-address", "failed")
        page = listed(as_superuser)
        assert '<span class="ms-badge ms-bad">Bounced</span>' in page
        assert "bob<wbr>@far.test and 1 more" in page
        # The sentence stands before the word.
        assert page.index("mx.far.test has no such address") < page.index('<span class="ms-subtle">no-such-address')
        assert 'ms-good">accepted' not in page

    def test_several_fates_of_one_message(self, as_superuser, domains):
        send(domains, "bob@far.test")
        settle("450 busy", "recipient-refused")
        assert '<span class="ms-badge ms-waiting">Waiting, 1 try</span>' in listed(as_superuser)
        told_, rows = facts(), [local("ann@mine.example"), local("bob@mine.example", role="junk", reason="content")]
        execute(Deliver.carrying(MAIL % b"both", told_, local=rows))
        page = listed(as_superuser, q="both")
        assert (
            '<span class="ms-badge ms-waiting">In Junk</span> <span class="ms-badge ms-good">Delivered</span>' in page
        )

    def test_filters(self, as_superuser, domains):
        deliver("welcome", "ann@mine.example")
        deliver("winner", f"ann@{FOREIGN}", role="junk", reason="content")
        refuse(domains, "nobody@mine.example", "unknown-recipient", subject="nobody")
        for query, found in (
            ({"fate": "junk"}, {"winner"}),
            ({"reason": "unknown-recipient"}, {"nobody"}),
            ({"domain": "mine.example", "day": f"{NOW:%Y-%m-%d}"}, {"welcome", "nobody"}),
            ({"day": "yesterday"}, set()),
        ):
            page = listed(as_superuser, **query)
            assert {one for one in ("welcome", "winner", "nobody") if f">{one}<" in page} == found, query
        stories = Story.objects.all()
        for rows, subjects in (
            (fates.with_fate(stories, "delivered", None), {"welcome"}),
            (fates.with_fate(stories, "refused", None), {"nobody"}),
            (fates.with_fate(stories, "bounced", None), set()),
            (fates.with_reason(stories, "content", None), {"winner"}),
            (search.with_domain(stories, "theirs.example", None), {"winner"}),
            (search.with_domain(stories, "unknown.example", None), set()),
            (search.on_day(stories, date(2020, 1, 1)), set()),
        ):
            assert {story.subject for story in rows} == subjects

    def test_many_of_a_fate_are_asked_one_by_one(self, as_superuser, domains, monkeypatch):
        monkeypatch.setattr("mailsuite.trace.fates.LISTED", 1)
        deliver("welcome", "ann@mine.example")
        deliver("winner", "ann@mine.example", role="junk")
        page = listed(as_superuser, fate="junk")
        assert ">winner<" in page and ">welcome<" not in page

    def test_a_page_costs_the_same_however_many_it_lists(self, as_superuser, domains, django_assert_max_num_queries):
        deliver("one", "ann@mine.example")
        with django_assert_max_num_queries(40) as few:
            listed(as_superuser)
        for number in range(10):
            deliver(f"m{number}", "ann@mine.example", "bob@mine.example")
        with django_assert_max_num_queries(len(few.captured_queries)):
            listed(as_superuser)

    def test_recipients_of_several_domains_are_told_together(self, as_superuser, domains):
        """Each once, and to a domain's administrators their own and what their side sent elsewhere."""
        told_ = facts("submission", sender_domain_id=domains["mine.example"])
        rows = [local("ann@mine.example"), local(f"ann@{FOREIGN}"), local("bob@mine.example", role="junk")]
        execute(Deliver.carrying(MAIL % b"both", told_, local=rows))
        StoryRecipient.objects.create(story_id=told_.story_id, address="x@far.test", fate="refused", reason="r")
        story = Story.objects.get()

        def shares(scope):
            return [(one.fate, one.count, one.address) for one in fates.of_stories([story], scope).get(story.pk, [])]

        mine, theirs = domains["mine.example"], domains[FOREIGN]
        assert shares(None) == [
            ("refused", 1, "x@far.test"), ("junk", 1, "bob@mine.example"), ("delivered", 2, "ann@mine.example"),
        ]  # fmt: skip
        assert shares({mine})[2] == ("delivered", 1, "ann@mine.example") and shares({mine})[0][0] == "refused"
        assert shares({theirs}) == [("delivered", 1, f"ann@{FOREIGN}")]
        for scope in (None, {mine}, {theirs}, frozenset()):
            seen = {row.address for row in fates.recipients(story, scope)}
            assert sum(count for _, count, _ in shares(scope)) == len(seen)

    @pytest.mark.sqlite_only
    def test_rare_reasons_are_found_by_their_index(self, domains):
        """And so are rare fates, also of one domain among all rows. PostgreSQL reads through so small a table."""
        stories = Story.objects.all()
        for scope in (None, {domains["mine.example"]}):
            for found in (fates.with_reason(stories, "odd", scope), fates.with_fate(stories, "held", scope)):
                plan = found.order_by("-pk").explain()
                assert "SCAN trace_storyrecipient" not in plan
                assert any(f"recipient_{name}" in plan for name in ("reason", "fate", "domain_fate")), plan

    def test_reasons_of_a_domain_with_little_mail(self, domains, monkeypatch):
        monkeypatch.setattr(fates, "LATELY", 3)
        deliver("old", "ann@mine.example", role="junk", reason="content")
        for number in range(3):
            deliver(f"{number}", f"ann@{FOREIGN}", role="junk", reason="theirs")
        assert fates.reasons(None) == ["theirs"] and fates.reasons({domains["mine.example"]}) == ["content"]
        monkeypatch.setattr(fates, "FEW", 1)
        assert fates.reasons({domains["mine.example"]}) == [] and fates.reasons({domains[FOREIGN]}) == ["theirs"]

    def test_filters_tell_nothing_of_others(self, as_domain_administrator, domains):
        """One of two recipients is another customer's: neither its address, its fate nor its reason is told."""
        told_ = facts()
        rows = [local("ann@mine.example"), local(f"bob@{FOREIGN}", role="junk", reason="secret-reason", why="secret")]
        execute(Deliver.carrying(MAIL % b"both", told_, local=rows))
        page = listed(as_domain_administrator)
        assert ">both<" in page and FOREIGN not in page and "In Junk</span>" not in page and "secret" not in page
        for query in ({"fate": "junk"}, {"reason": "secret-reason"}):
            assert ">both<" not in listed(as_domain_administrator, **query)
        page = told(as_domain_administrator, told_.story_id)
        assert "Delivered to ann@mine.example." in page and FOREIGN not in page and "secret" not in page


class TestStory:
    def test_it_answers_first(self, as_superuser, domains):
        number = refuse(domains, "jonh@mine.example", "unknown-recipient")
        page = told(as_superuser, number)
        assert "Refused for jonh@mine.example: there is no such address here." in page
        assert page.index("there is no such address here") < page.index("Its way")

    def test_what_other_hosts_said(self, as_superuser, domains):
        for reply, reason, state, headline in (
            (
                *("550 5.1.1 User unknown", "no-such-address", "failed"),
                "Not delivered to bob@far.test: mx.far.test has no such address.",
            ),
            (
                *("450 4.3.0 No disk", "recipient-refused", "queued"),
                "Waiting to be delivered to bob@far.test after 1 try: mx.far.test says: No disk.",
            ),
            ("250 2.0.0 Ok", "accepted", "delivered", "Delivered to bob@far.test: mx.far.test took it."),
        ):
            number = send(domains, "bob@far.test")
            settle(reply, reason, state)
            assert [one.headline for one in fates.answers(Story.objects.get(pk=number), None)] == [headline]

    def test_what_could_not_be_reached(self, as_superuser, domains):
        number = send(domains, "bob@far.test")
        settle("No connection to mx.far.test [192.0.2.9]:25: Connection refused", "no-connection", host="")
        [answer] = fates.answers(Story.objects.get(pk=number), None)
        assert answer.headline.endswith("after 1 try: its host mx.far.test refuses connections.")

    def test_why_it_is_junk(self, as_superuser, domains):
        number = deliver("winner", "ann@mine.example", role="junk", reason="content", why="its words are those of junk")
        [answer] = fates.answers(Story.objects.get(pk=number), None)
        assert answer.headline == "In Junk of ann@mine.example because its words are those of junk."

    def test_not_junk_moves_it_and_teaches(self, as_superuser, domains):
        number = deliver("winner", "ann@mine.example", role="junk", reason="content")
        assert "It is in the inbox of ann@mine.example now" in press(as_superuser, number, "not_junk")
        assert Message.objects.get().folder.role == "inbox"
        assert [row.word for row in Judgement.objects.all()] == ["wanted"]
        assert StoryRecipient.objects.get().fate == "delivered"
        assert Event.objects.get(kind="moved").text == "from Junk to INBOX, by root@localhost"
        [answer] = fates.answers(Story.objects.get(), None)
        assert answer.headline == "Delivered to ann@mine.example: root@localhost moved it out of Junk."
        assert "It is not in Junk any more" in press(as_superuser, number, "not_junk")
        # By another address than it came to: the mailbox was renamed since.
        number = deliver("winner", "ann@mine.example", role="junk", reason="content")
        Mailbox.objects.filter(address="ann@mine.example").update(
            address="anna@mine.example", address_key="anna@mine.example"
        )
        assert "It is in the inbox of ann@mine.example now" in press(as_superuser, number, "not_junk")
        assert StoryRecipient.objects.get(story=number).fate == "delivered"
        assert deeds.question(Story.objects.get(pk=number), "block", None).endswith("to anna@mine.example from now on?")

    def test_buttons_that_fit(self, as_superuser, domains):
        def buttons(number):
            story, queued = Story.objects.get(pk=number), list(QueuedMessage.objects.filter(story_id=number))
            return deeds.offered(story, list(story.recipients.all()), queued)

        assert buttons(deliver("a", "ann@mine.example")) == {"block"}
        assert buttons(deliver("b", "ann@mine.example", role="junk")) == {"not_junk", "allow", "block"}
        assert buttons(refuse(domains, "ann@mine.example", "dmarc-reject")) == {"allow"}
        assert buttons(refuse(domains, "jonh@mine.example", "unknown-recipient")) == set()
        assert buttons(send(domains, "bob@far.test")) == {"retry"}
        held = send(domains, "bob@far.test", hold_reason="odd")
        assert buttons(held) == {"release"}
        page = told(as_superuser, held)
        assert "/do/release/" in page and "/do/retry/" not in page and "/do/block/" not in page

    def test_allow_and_block_write_rules(self, as_superuser, domains):
        number = deliver("winner", "ann@mine.example", role="junk")
        page = press(as_superuser, number, "allow")
        assert "Mail of eve@shop.example to ann@mine.example always goes to the inbox" in page
        rule = Rule.objects.get()
        assert (rule.action, rule.value, rule.mailbox.address) == ("allow", "eve@shop.example", "ann@mine.example")
        press(as_superuser, number, "block")
        rule.refresh_from_db()
        assert rule.action == "block"
        # What is no mailbox is its domain's.
        press(as_superuser, refuse(domains, "info@mine.example", "dmarc-reject"), "allow")
        assert Rule.objects.get(mailbox=None).domain_id == domains["mine.example"]

    def test_a_rule_is_about_whom_rules_see_and_for_whom_it_would_change_something(self, as_superuser, domains):
        """Not about what a decoded name or a second author shows beside, and not for the whole domain because somebody
        in it is unknown."""

        def came(authors, **more):
            told_ = facts(data=authenticated(authors, **more))
            rows = [local("ann@mine.example", role="junk")]
            execute(Deliver.carrying(MAIL % b"x", told_, local=rows))
            others = (
                ("nobody@mine.example", "refused", "unknown-recipient"),
                ("info@mine.example", "dropped", "mail-loop"),
            )
            for address, fate, reason in others:
                row = {"address": address, "domain_id": domains["mine.example"], "fate": fate, "reason": reason}
                StoryRecipient.objects.create(story_id=told_.story_id, **row)
            return Story.objects.get(pk=told_.story_id)

        story = came(["bank@friend.example", "eve@shop.example"])
        assert deeds.sender_of(story) == "" and deeds.offered(story, list(story.recipients.all()), []) == {"not_junk"}
        assert "no sender that a rule could be about, or several" in press(as_superuser, story.pk, "allow")
        story = came(["Eve@Shop.example"], from_text="bank@friend.example <eve@shop.example> (x <a@friend.example>")
        assert deeds.sender_of(story) == "eve@shop.example"
        page = told(as_superuser, story.pk)
        assert "Always allow eve@shop.example" in page
        assert 'data-confirm="Refuse all mail of eve@shop.example to ann@mine.example from now on?"' in page
        page = press(as_superuser, story.pk, "allow")
        assert "Of this message that was not proven." in page
        rule = Rule.objects.get()
        assert (rule.value, rule.domain_id, rule.believes_unproven) == ("eve@shop.example", None, False)
        # The history of the rule, of whose it is and of the message tell who wrote it.
        for row in (rule, rule.mailbox, story):
            [change] = history.of(row)
            assert change.by == "root@localhost" and "always goes to the inbox" in change.what
        # Nobody in From: the envelope sender answers, as it does when rules are looked up.
        assert deeds.sender_of(came([])) == "eve@shop.example"

    def test_what_an_alias_sent_on_lies_in_no_junk_and_has_no_rule(self, as_superuser, domains):
        verdict = Verdict(Action.JUNK, "dmarc-quarantine", "its domain asks for that")
        data = msgspec.json.encode({"verdict": Judged(verdict)}).decode()
        told_ = facts(data=data)
        outgoing = Outgoing(
            Envelope("x@mine.example", expires_at=NOW + timedelta(5)),
            b"",
            [RemoteRecipient(EnvelopeRecipient("f@far.test"), "far.test")],
            domain_id=domains["mine.example"],
        )
        execute(Deliver.carrying(MAIL % b"on", told_, outgoing=[outgoing]))
        settle("250 ok", "accepted", "delivered")
        page = told(as_superuser, told_.story_id)
        assert "Sent on, though it looks like junk: its domain asks for that." in page and "In Junk" not in page
        assert "/do/block/" not in page

    def test_of_many_mailboxes_some_at_a_time(self, domains, monkeypatch):
        monkeypatch.setattr(deeds, "MOVED_AT_ONCE", 1)
        number = deliver("winner", "ann@mine.example", "bob@mine.example", role="junk")
        story = Story.objects.get(pk=number)
        assert deeds.not_junk(story, None, "root").endswith("It is in Junk of 1 others: press once more for the next.")
        assert deeds.not_junk(story, None, "root").endswith("learns from that.")
        assert {row.folder.role for row in Message.objects.all()} == {"inbox"}

    def test_long_addresses_are_short_in_lists(self, as_superuser, domains):
        address = f"{'local-part-' * 5}end@{'department.' * 9}far.test"
        send(domains, address)
        for page in (listed(as_superuser), TestQueue().page(as_superuser)):
            assert f'title="{address}"' in page and f">{address}<" not in page
            assert "local-par…art-local-part-end<wbr>@departmen…epartment.far.test" in page

    def test_buttons_on_what_is_gone_or_without_rights(self, as_superuser, domains, client):
        held = send(domains, "bob@far.test", hold_reason="odd")
        press(as_superuser, held, "release")
        assert "It is not held any more." in press(as_superuser, held, "release")
        junk = deliver("x", f"ann@{FOREIGN}", role="junk")
        Message.objects.all().delete()
        assert "It is not in Junk any more" in press(as_superuser, junk, "not_junk")
        url = reverse("admin:trace_story_do", args=[junk, "not_junk"])
        assert as_superuser.get(url).status_code == 405
        assert as_superuser.post(reverse("admin:trace_story_do", args=[1, "not_junk"])).status_code == 404
        assert as_superuser.post(reverse("admin:trace_story_do", args=[junk, "nothing"])).status_code == 404
        strict = type(client)(enforce_csrf_checks=True)
        strict.cookies = as_superuser.cookies
        assert strict.post(url).status_code == 403
        as_superuser.logout()
        assert as_superuser.post(url).status_code == 302

    def test_buttons_reach_no_further_than_the_person(self, as_domain_administrator, domains):
        told_ = facts()
        rows = [local("ann@mine.example", role="junk"), local(f"bob@{FOREIGN}", role="junk")]
        execute(Deliver.carrying(MAIL % b"both", told_, local=rows))
        press(as_domain_administrator, told_.story_id, "block")
        press(as_domain_administrator, told_.story_id, "not_junk")
        assert [rule.mailbox.address for rule in Rule.objects.all()] == ["ann@mine.example"]
        assert {row.mailbox.address: row.folder.role for row in Message.objects.all()} == {
            "ann@mine.example": "inbox",
            f"bob@{FOREIGN}": "junk",
        }
        theirs = send(domains, "bob@far.test", domain=FOREIGN, hold_reason="odd")
        url = reverse("admin:trace_story_do", args=[theirs, "release"])
        assert as_domain_administrator.post(url).status_code == 404
        # A message that both may know of, and of which the queue's part is the others'.
        StoryRecipient.objects.create(
            story_id=theirs, address="x@mine.example", domain_id=domains["mine.example"], fate="held"
        )
        Event.objects.create(story_id=theirs, at=NOW, kind="filed", domain_id=domains["mine.example"])
        assert "Nothing of it waits any more" in press(as_domain_administrator, theirs, "release")
        assert QueuedMessage.objects.get().held_at is not None

    def test_retry_and_release(self, as_superuser, domains):
        number = send(domains, "bob@far.test")
        settle("450 busy", "recipient-refused")
        press(as_superuser, number, "retry")
        assert QueuedRecipient.objects.get().next_attempt_at <= datetime.now(UTC)
        held = send(domains, "cy@far.test", hold_reason="odd")
        url = reverse("admin:trace_story_do", args=[held, "release"])
        # It lets mail out: the password is asked for when it was given long ago.
        session = as_superuser.session
        proved_at = session.pop("proved_at")
        session.save()
        assert "Password of root@localhost" in as_superuser.post(url).content.decode()
        assert StoryRecipient.objects.get(story=held).fate == "held"
        session["proved_at"] = proved_at
        session.save()
        press(as_superuser, held, "release")
        assert StoryRecipient.objects.get(story=held).fate == "waiting"
        call_command("queue", "hold", QueuedMessage.objects.get(story_id=held).reference, "--reason", "odd")
        whats = Change.objects.filter(model="queue.queuedmessage").order_by("pk").values_list("what", flat=True)
        assert list(whats) == [
            *("Tried again, from its story.", "Released, from its story.", "manage.py queue hold odd"),
        ]


class TestQueue:
    def page(self, client, **query):
        return client.get(reverse("admin:queue_queuedmessage_changelist"), query).content.decode()

    def test_it_is_grouped_by_destination_and_cause(self, as_superuser, domains):
        for number in range(3):
            send(domains, f"b{number}@friend.test", f"c{number}@friend.test")
        settle("No connection to mx.friend.test [192.0.2.9]:25: Connection refused", "no-connection", host="")
        send(domains, "d@large.test")
        settle("421 4.7.28 rate limited", "rate-limited", host="mx.large.test")
        send(domains, "e@held.test", hold_reason="looks odd")
        page = self.page(as_superuser)
        assert "7 wait; 6 of them for friend.test: its host mx.friend.test refuses connections." in page
        assert "mx.large.test takes less mail from here for now" in page and "it is tried again, more slowly" in page
        assert "mx.large.test: 421 4.7.28 rate limited" in page and "held</a>: looks odd" in page
        page = self.page(as_superuser, destination="large.test", cause="rate-limited")
        assert "d<wbr>@large.test" in page and "b0<wbr>@friend.test" not in page

    def test_others_mail_is_not_counted(self, as_domain_administrator, domains):
        send(domains, "a@friend.test")
        send(domains, "b@friend.test", "c@secret.test", domain=FOREIGN)
        page = self.page(as_domain_administrator)
        assert "1 waits for friend.test: not tried yet." in page and "secret.test" not in page

    @staticmethod
    def press(client, verb, destination, cause=""):
        url = reverse("admin:queue_queuedmessage_group", args=[verb])
        return client.post(url, {"destination": destination, "cause": cause}, follow=True)

    def test_a_group_is_tried_again_or_given_up_at_once(self, as_superuser, domains):
        """And nobody beside it: of one message another recipient may be elsewhere, or wait for another cause."""
        send(domains, "a@friend.test", "b@large.test")
        send(domains, "c@friend.test")
        settle("450 busy", "recipient-refused", host="mx.friend.test")
        QueuedRecipient.objects.filter(destination="large.test").update(cause="rate-limited")
        later = QueuedRecipient.objects.get(destination="large.test").next_attempt_at
        page = self.page(as_superuser)
        assert 'value="friend.test"' in page and "Give up on all 2 that wait for friend.test" in page
        said = self.press(as_superuser, "retry", "friend.test", "recipient-refused").content.decode()
        assert "2 messages for friend.test tried again now." in said
        due = {row.forward_path: row.next_attempt_at for row in QueuedRecipient.objects.all()}
        assert due.pop("b@large.test") == later and all(one <= datetime.now(UTC) for one in due.values())
        assert Event.objects.filter(kind="retried").count() == 2
        said = self.press(as_superuser, "fail", "friend.test", "recipient-refused").content.decode()
        assert "2 messages for friend.test given up; the senders are told." in said
        states = {
            row.forward_path: (row.state, row.message.settled_at is None)
            for row in QueuedRecipient.objects.filter(destination__endswith=".test").select_related("message")
        }
        assert states == {
            "a@friend.test": ("failed", True), "b@large.test": ("queued", True), "c@friend.test": ("failed", False),
        }  # fmt: skip
        fates_ = dict(StoryRecipient.objects.filter(address__endswith=".test").values_list("address", "fate"))
        assert fates_ == {"a@friend.test": "bounced", "b@large.test": "waiting", "c@friend.test": "bounced"}
        notes = [list(history.of(row).values_list("what", flat=True)) for row in QueuedMessage.objects.order_by("pk")]
        assert "Fail with bounce: all that waits for friend.test." in notes[0]
        # A second press finds nothing.
        again = self.press(as_superuser, "fail", "friend.test", "recipient-refused").content.decode()
        assert "Nothing of it waits any more." in again

    def test_of_a_large_group_some_at_a_time(self, domains):
        for number in range(3):
            send(domains, f"a{number}@friend.test")
        done = [groups.fail(QueuedMessage.objects.all(), "friend.test", "", "root", at_once=2) for _ in range(2)]
        assert [(one.count, one.left) for one in done] == [(2, 1), (1, 0)]

    def test_a_group_is_the_person_s_own(self, as_domain_administrator, domains, client):
        send(domains, "a@friend.test")
        theirs = send(domains, "b@friend.test", domain=FOREIGN)
        self.press(as_domain_administrator, "fail", "friend.test")
        assert StoryRecipient.objects.get(story=theirs).fate == "waiting"
        assert dict(QueuedRecipient.objects.values_list("forward_path", "state"))["a@friend.test"] == "failed"
        assert "Nothing of it waits" in self.press(as_domain_administrator, "retry", "friend.test").content.decode()
        url = reverse("admin:queue_queuedmessage_group", args=["fail"])
        assert as_domain_administrator.get(url).status_code == 405
        assert self.press(as_domain_administrator, "drop", "friend.test").status_code == 404
        for bad in ("", "x" * 256, "a\0b"):
            assert self.press(as_domain_administrator, "retry", bad).status_code == 400
        # What bounces asks for the password when it was given long ago.
        session = as_domain_administrator.session
        del session["proved_at"]
        session.save()
        assert (
            "Password of boss@localhost" in self.press(as_domain_administrator, "fail", "friend.test").content.decode()
        )
        strict = type(client)(enforce_csrf_checks=True)
        strict.cookies = as_domain_administrator.cookies
        assert self.press(strict, "retry", "friend.test").status_code == 403
        as_domain_administrator.logout()
        assert self.press(as_domain_administrator, "retry", "friend.test").redirect_chain

    def test_the_command_does_it_to_a_group(self, domains, capsys):
        from django.core.management import CommandError, call_command

        send(domains, "a@friend.test", "b@friend.test")
        send(domains, "c@large.test")
        settle("450 busy", "recipient-refused")
        call_command("queue", "retry", "--for", "@Friend.test")
        call_command("queue", "fail", "--for", "friend.test", "--cause", "recipient-refused")
        assert capsys.readouterr().out == "1 message due at once.\n1 message failed, their senders told.\n"
        assert QueuedMessage.objects.filter(recipients__destination="large.test", settled_at=None).exists()
        for words, said in (
            (("--for", "friend.test"), "Nothing of it waits any more"),
            ((), "Name queue ids, or a destination"),
        ):
            with pytest.raises(CommandError, match=said):
                call_command("queue", "retry", *words)

    def test_the_command_tells_the_same(self, domains, capsys):
        from django.core.management import call_command

        send(domains, "a@friend.test")
        settle("421 4.7.28 rate limited", "rate-limited", host="mx.friend.test")
        call_command("queue", "causes")
        said = capsys.readouterr().out
        assert said.startswith("1 waits for friend.test: mx.friend.test takes less mail from here for now.")
        assert "[rate-limited]" in said

    def test_an_attempt_says_what_its_reply_means(self, as_superuser, domains):
        send(domains, "a@friend.test")
        settle("421 4.7.28 rate limited", "rate-limited", host="mx.friend.test")
        attempt = QueuedRecipient.objects.get().attempts.get()
        page = as_superuser.get(reverse("admin:queue_deliveryattempt_change", args=[attempt.pk])).content.decode()
        assert "mx.friend.test takes less mail from here for now. Nothing is lost" in page


class TestBlockLists:
    REPLY = "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"

    def test_ours_on_one_raises_a_notice(self, as_superuser, domains):
        assert host_alarms.listing(NOW) is None
        send(domains, "a@friend.test")
        settle(self.REPLY, "blocklisted", "failed", host="mx.friend.test")
        page = as_superuser.get(reverse("admin:index")).content.decode()
        assert "address is on a block list, by the word of mx.friend.test: 554 5.7.1 Service" in page
        assert "?reason=blocklisted" in page
        send(domains, "b@other.test")
        settle(self.REPLY, "blocklisted", host="mx.other.test")
        assert host_alarms.listing(NOW).whose == "mx.friend.test and 1 other host"
        # A day later nobody has said so lately.
        assert host_alarms.listing(NOW + timedelta(days=2)) is None

    def test_it_is_told_once_a_day(self, domains, monkeypatch):
        send(domains, "a@friend.test")
        settle(self.REPLY, "blocklisted", "failed", host="mx.friend.test")
        said = []
        monkeypatch.setattr(host_alarms, "tell", lambda matter, now: said.append(matter) or 1)
        monkeypatch.setattr(host_alarms, "problems", lambda now: iter(()))
        host_alarms.tell_of_problems(NOW)
        host_alarms.tell_of_problems(NOW + timedelta(hours=1))
        assert [matter.subject for matter in said] == ["The address of localhost is on a block list"]
        assert "mx.friend.test refuses mail of" in said[0].text and "zen.spamhaus.org" in said[0].text
        assert AlarmSettings.objects.get().blocklist_told_at == NOW

    def test_domain_administrators_are_not_told_of_the_host(self, as_domain_administrator, domains):
        send(domains, "a@friend.test", domain=FOREIGN)
        settle(self.REPLY, "blocklisted", "failed", host="mx.friend.test")
        assert "block list" not in as_domain_administrator.get(reverse("admin:index")).content.decode()


def test_the_trace_command_answers_first(domains, capsys):
    from django.core.management import call_command

    number = refuse(domains, "jonh@mine.example", "unknown-recipient")
    deliver("welcome", "ann@mine.example")
    call_command("trace", "mine.example")
    said = capsys.readouterr().out
    assert "1 refused  eve@shop.example" in said and "Delivered to ann@mine.example." in said
    call_command("trace", Story.objects.get(pk=number).reference)
    assert (
        "Refused for jonh@mine.example: there is no such address here. [unknown-recipient]" in capsys.readouterr().out
    )
