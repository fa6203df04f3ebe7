"""The caps' pages, and the alarm on the first page with its button."""

from datetime import UTC, datetime

import pytest
from django.urls import reverse

from mailsuite.abuse import alarms
from mailsuite.abuse.models import Alarm, SendingCap, SendingDay, SendingSettings
from mailsuite.directory.models import Mailbox


@pytest.fixture
def day(domains):
    ann = Mailbox.objects.get(address="ann@mine.example")
    return SendingDay.objects.create(mailbox=ann, day=datetime.now(UTC).date(), messages=1001)


@pytest.fixture
def alarm(day):
    alarms.watch(datetime.now(UTC))
    return Alarm.objects.get(kind="over-cap")


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
def test_the_alarm_leads_to_the_button_that_ends_it(request, alarm, who):
    client = request.getfixturevalue(who)
    change = reverse("admin:abuse_alarm_change", args=[alarm.pk])
    first = client.get(reverse("admin:index")).content.decode()
    assert "ann@mine.example over its cap: 1001 messages" in first and change in first
    page = client.get(change).content.decode()
    assert "Suspend the mailbox" in page and "look at it" in page
    page = client.post(reverse("admin:abuse_alarm_do", args=[alarm.pk, "suspend"]), follow=True).content.decode()
    assert "is suspended" in page and "Suspend the mailbox" not in page
    assert "over its cap" not in client.get(reverse("admin:index")).content.decode()


def test_an_alarm_is_dismissed(as_superuser, alarm):
    as_superuser.post(reverse("admin:abuse_alarm_do", args=[alarm.pk, "dismiss"]))
    assert "over its cap" not in as_superuser.get(reverse("admin:index")).content.decode()
    lists = [as_superuser.get(reverse("admin:abuse_alarm_changelist") + query) for query in ("", "?state=all")]
    assert [alarm.text in page.content.decode() for page in lists] == [False, True]


def test_the_day_has_the_button_too(as_superuser, day):
    assert b"over its cap" in as_superuser.get(reverse("admin:abuse_sendingday_changelist")).content
    as_superuser.post(reverse("admin:abuse_sendingday_do", args=[day.pk, "suspend"]))
    assert Mailbox.objects.get(pk=day.mailbox_id).state == "suspended"


def test_nobody_is_alarmed_by_another_domain(as_domain_administrator, alarm):
    Alarm.objects.update(mailbox=Mailbox.objects.get(address="ann@theirs.example"))
    assert "over its cap" not in as_domain_administrator.get(reverse("admin:index")).content.decode()
