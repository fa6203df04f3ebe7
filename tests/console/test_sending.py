"""The caps' pages, and the alarm on the first page with its button."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils.html import escape

from mailsuite.abuse import alarms
from mailsuite.abuse.models import Alarm, AlarmSettings, SendingCap, SendingDay, SendingSettings
from mailsuite.console import dashboard
from mailsuite.directory.models import Mailbox, User
from mailsuite.provisioning import services
from mailsuite.queue import services as queue
from mailsuite.queue.models import QueuedMessage, QueuedRecipient
from mailsuite.store.models import Content
from mailsuite.trace.models import Story, StoryRecipient
from mailsuite.writer.storage import mail_storage


@pytest.fixture
def day(domains):
    ann = Mailbox.objects.get(address="ann@mine.example")
    return SendingDay.objects.create(mailbox=ann, day=datetime.now(UTC).date(), messages=1001)


@pytest.fixture
def alarm(day):
    alarms.watch(datetime.now(UTC))
    Alarm.objects.exclude(kind="over-cap").delete()
    return Alarm.objects.get()


def hold_some(mailbox):
    """Two messages of the mailbox that wait for somebody's word."""
    now = datetime.now(UTC)
    content = Content.objects.create(
        blob=mailbox.address, size_octets=1, header_octets=1, received_at=now, envelope=b"", body_structure=b"",
        body=b"", parts=b"", subject="queued", thread_id=1,
    )  # fmt: skip
    for _ in range(2):
        story = Story.objects.create(kind="submission", outcome="accepted", at=now, sender_mailbox=mailbox, data="{}")
        message = QueuedMessage.objects.create(
            content=content, size_octets=1, reverse_path=mailbox.address, domain=mailbox.domain, created_at=now,
            expires_at=now + timedelta(days=5), story_id=story.pk, sender_mailbox=mailbox,
        )  # fmt: skip
        waiting = QueuedRecipient.objects.create(message=message, forward_path="x@far.test", destination="far.test")
        StoryRecipient.objects.create(
            pk=waiting.pk, story=story, address="x@far.test", domain=mailbox.domain, fate=StoryRecipient.Fate.WAITING
        )
        queue.hold([message.pk], "its sender is over the day's cap")


def test_the_site_s_caps_and_a_mailbox_s_own_are_set(as_superuser, domains):
    page = as_superuser.get(reverse("admin:abuse_sendingsettings_changelist"), follow=True)
    url = page.redirect_chain[-1][0]
    as_superuser.post(url, {"messages_a_day": "200", "new_recipients_a_day": "0"})
    row = SendingSettings.objects.get()
    assert (row.messages_a_day, row.new_recipients_a_day) == (200, 0)
    form = {"mailbox": Mailbox.objects.first().pk, "messages_a_day": "0", "new_recipients_a_day": "5"}
    as_superuser.post(reverse("admin:abuse_sendingcap_add"), form)
    assert SendingCap.objects.get().new_recipients_a_day == 5
    assert b"already" in as_superuser.post(reverse("admin:abuse_sendingcap_add"), form).content


def test_a_domain_administrator_sees_caps_and_changes_none(as_domain_administrator, domains):
    form = {"mailbox": Mailbox.objects.first().pk, "messages_a_day": "0", "new_recipients_a_day": "5"}
    assert as_domain_administrator.post(reverse("admin:abuse_sendingcap_add"), form).status_code == 403
    assert as_domain_administrator.get(reverse("admin:abuse_sendingcap_changelist")).status_code == 200


@pytest.mark.parametrize("who", ["as_superuser", "as_domain_administrator"])
def test_the_first_page_suspends_with_one_button(request, alarm, who):
    client = request.getfixturevalue(who)
    suspend = reverse("admin:abuse_alarm_do", args=[alarm.pk, "suspend"])
    first = client.get(reverse("admin:index")).content.decode()
    assert f"ann@mine.example {alarm.get_kind_display()} (1001 of 1000 messages" in first
    assert reverse("admin:abuse_alarm_change", args=[alarm.pk]) in first
    assert f'<form method="post" action="{suspend}" data-confirm="Refuse its logins' in first
    page = client.post(suspend, follow=True).content.decode()
    assert "is suspended" in page and "Suspend the mailbox" not in page
    assert reverse("admin:directory_mailbox_change", args=[alarm.mailbox_id]) in page
    assert "is over its cap" not in client.get(reverse("admin:index")).content.decode()


def test_alarms_of_one_mailbox_are_one_notice(as_superuser, alarm):
    Alarm.objects.create(
        mailbox=alarm.mailbox, kind="bounces", day=alarm.day, raised_at=alarm.raised_at, text="31 recipients failed"
    )
    page = as_superuser.get(reverse("admin:index")).content.decode()
    assert page.count("Suspend it") == 1 and "31 recipients failed); is over its cap (1001 of 1000 messages" in page
    rows = as_superuser.get(reverse("admin:abuse_alarm_changelist"), {"q": "ann@mine.example"}).content.decode()
    assert "31 recipients failed" in rows and alarm.text in rows
    both = {"action": "dismiss", "_selected_action": list(Alarm.objects.values_list("pk", flat=True))}
    as_superuser.post(reverse("admin:abuse_alarm_changelist"), both)
    assert not Alarm.objects.filter(dismissed_at=None).exists()


def test_the_first_page_says_how_many_notices_it_leaves_out_and_shows_them_all(as_superuser, alarm):
    # Each of them has its button, so they are not told as one.
    for number in range(dashboard.NOTICES):
        mailbox_id = services.add_mailbox(f"thief{number}@mine.example", "correct horse battery")
        Alarm.objects.create(mailbox_id=mailbox_id, kind="over-cap", day=alarm.day, raised_at=alarm.raised_at)
    first = as_superuser.get(reverse("admin:index"))
    found = first.context["notices"]
    assert len(found) == dashboard.NOTICES
    whole = as_superuser.get(reverse("admin:index"), {"notices": "all"})
    more, page = first.context["more_notices"], first.content.decode()
    assert more > 0 and f"And {more} more." in page and 'href="?notices=all"' in page
    assert len(whole.context["notices"]) == len(found) + more and "Show all" not in whole.content.decode()


def test_an_alarm_shows_what_is_held_and_where_to_go_on(as_superuser, alarm):
    page = as_superuser.get(reverse("admin:abuse_alarm_change", args=[alarm.pk])).content.decode()
    assert "1001 of 1000 messages, 0 of 500 new recipients" in page and "nothing" in page
    assert "Sent on that day" not in page
    SendingDay.objects.update(messages=1234)
    hold_some(alarm.mailbox)
    page = as_superuser.get(reverse("admin:abuse_alarm_change", args=[alarm.pk])).content.decode()
    held = reverse("admin:queue_queuedmessage_changelist", query={"state": "held", "q": "ann@mine.example"})
    assert "1234 of 1000 messages, 0 of 500 new recipients" in page
    assert f'href="{escape(held)}">2 messages</a>' in page and "If you know why" in page
    assert as_superuser.get(held).content.count(b'">held</span>') == 2
    message = QueuedMessage.objects.first()
    story = as_superuser.get(reverse("admin:trace_story_change", args=[message.story_id])).content.decode()
    assert reverse("admin:trace_story_do", args=[message.story_id, "release"]) in story
    page = as_superuser.post(reverse("admin:abuse_alarm_do", args=[alarm.pk, "suspend"]), follow=True).content.decode()
    assert "messages held in the queue: 2." in page and "set a new password" in page


@pytest.mark.parametrize("who", ["as_superuser", "as_domain_administrator"])
def test_held_mail_is_on_the_first_page_until_somebody_has_sent_or_dropped_it(request, alarm, who):
    client = request.getfixturevalue(who)
    hold_some(alarm.mailbox)
    hold_some(Mailbox.objects.get(address="ann@theirs.example"))
    first = client.get(reverse("admin:index")).content.decode()
    # Of a mailbox with an alarm the alarm says enough.
    assert "Mail of ann@mine.example is held" not in first
    assert ("Mail of ann@theirs.example is held" in first) == (who == "as_superuser")
    client.post(reverse("admin:abuse_alarm_do", args=[alarm.pk, "suspend"]))
    first = client.get(reverse("admin:index")).content.decode()
    text = "Mail of ann@mine.example is held until somebody sends or drops it: 2."
    if who == "as_superuser":
        text = "Mail of 2 mailboxes is held until somebody sends or drops it: ann@mine.example, ann@theirs.example"
    assert text in first
    mailbox = [alarm.mailbox_id]
    page = client.get(reverse("admin:directory_mailbox_change", args=mailbox)).content.decode()
    assert 'ms-waiting">suspended</span> Nobody gets in, by app passwords neither.' in page
    assert "set a new password and revoke the app passwords first" in page
    page = client.post(reverse("admin:directory_mailbox_do", args=[*mailbox, "resume"]), follow=True).content.decode()
    assert "Of its mail 2 in the queue are still held" in page
    client.post(reverse("admin:directory_mailbox_do", args=[*mailbox, "release_held"]))
    first = client.get(reverse("admin:index")).content.decode()
    assert "ann@mine.example is held" not in first and "mailboxes is held" not in first


def test_an_alarm_is_dismissed(as_superuser, alarm):
    as_superuser.post(reverse("admin:abuse_alarm_do", args=[alarm.pk, "dismiss"]))
    assert "is over its cap" not in as_superuser.get(reverse("admin:index")).content.decode()
    lists = [as_superuser.get(reverse("admin:abuse_alarm_changelist") + query) for query in ("", "?state=all")]
    assert [alarm.text in page.content.decode() for page in lists] == [False, True]


def test_the_day_has_the_button_too(as_superuser, day):
    page = as_superuser.get(reverse("admin:abuse_sendingday_changelist")).content
    assert b"over its cap" in page and b"1001 of 1000" in page
    as_superuser.post(reverse("admin:abuse_sendingday_do", args=[day.pk, "suspend"]))
    assert Mailbox.objects.get(pk=day.mailbox_id).state == "suspended"
    assert b"mailbox suspended" in as_superuser.get(reverse("admin:abuse_sendingday_changelist")).content


def test_days_are_listed_with_the_caps_that_hold_for_them(as_superuser, day, django_assert_max_num_queries):
    SendingSettings.objects.create(pk=1, messages_a_day=300, new_recipients_a_day=0)
    others = Mailbox.objects.exclude(pk=day.mailbox_id)
    SendingDay.objects.bulk_create(SendingDay(mailbox=one, day=day.day, messages=7) for one in others)
    SendingCap.objects.create(mailbox=day.mailbox, messages_a_day=2000, new_recipients_a_day=9)
    with django_assert_max_num_queries(12):
        page = as_superuser.get(reverse("admin:abuse_sendingday_changelist")).content
    assert b"1001 of 2000" in page and b"0 of 9" in page and b"7 of 300" in page


def test_nobody_is_alarmed_by_another_domain(as_domain_administrator, alarm):
    Alarm.objects.update(mailbox=Mailbox.objects.get(address="ann@theirs.example"))
    assert "is over its cap" not in as_domain_administrator.get(reverse("admin:index")).content.decode()


def test_who_is_told_is_a_page_with_a_test(client, as_superuser, as_domain_administrator):
    mail_storage().prepare()
    page = reverse("admin:abuse_alarmsettings_changelist")
    assert as_domain_administrator.get(page).status_code == 403
    client.force_login(User.objects.get(email="root@localhost"))
    first = client.get(reverse("admin:index")).content.decode()
    assert page in first and "Name somebody" in first
    form = client.get(page, follow=True)
    change, test = form.redirect_chain[-1][0], reverse("admin:abuse_alarmsettings_do", args=[1, "test"])
    assert "Send a test alarm" in form.content.decode()
    assert "nonsense" in client.post(change, {"recipients": "ops@far.test, nonsense"}).content.decode()
    client.post(change, {"recipients": "ops@far.test, ann@mine.example"})
    assert AlarmSettings.objects.get().recipients == "ops@far.test\nann@mine.example"
    assert page not in [notice.url for notice in client.get(reverse("admin:index")).context["notices"]]
    said = client.post(test, follow=True).content.decode()
    assert "A test alarm goes to ops@far.test, ann@mine.example." in said
