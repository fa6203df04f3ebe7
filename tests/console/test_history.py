"""One history of a row, whatever it was changed by."""

from datetime import timedelta
from importlib import import_module
from io import StringIO

import pytest
from django.apps import apps
from django.contrib.admin.models import ADDITION, DELETION, LogEntry
from django.contrib.admin.models import CHANGE as CHANGED
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailsuite.abuse.models import AlarmSettings
from mailsuite.access.models import AllowedNetwork, Ban
from mailsuite.directory import history
from mailsuite.directory.models import Change, Domain, Mailbox, User
from mailsuite.queue.models import Route

PASSWORD = "correct horse battery"


def manage(*arguments):
    call_command(*arguments, stdout=StringIO(), stderr=StringIO())


def told(row):
    return [(change.what, change.by) for change in history.of(row)]


@pytest.fixture
def ann(domains):
    return Mailbox.objects.get(address="ann@mine.example")


@pytest.fixture
def in_shell(monkeypatch):
    monkeypatch.setenv("SUDO_USER", "paul")
    return "the shell (paul)"


def test_forms_buttons_the_shell_and_the_owner_write_the_same_history(as_superuser, ann, in_shell):
    change = reverse("admin:directory_mailbox_change", args=[ann.pk])
    as_superuser.post(change, {"name": "Ann", "quota_octets": "3G", "password": ""})
    as_superuser.post(reverse("admin:directory_mailbox_do", args=[ann.pk, "suspend"]))
    manage("mailbox", "resume", ann.address)
    manage("mailbox", "quota", ann.address, "2G")
    owner = Client()
    owner.force_login(ann.user)
    owner.post("/rules", {"mailbox": ann.pk, "sender": "x@shop.example", "action": "block", "note": ""})
    by_owner, quota, resume, suspend, form = told(ann)
    assert quota == ("manage.py mailbox quota 2G", in_shell) and resume == ("manage.py mailbox resume", in_shell)
    assert suspend[0].startswith("Suspend: ann@mine.example is suspended") and suspend[1] == "root@localhost"
    assert form[0].startswith("Changed Name, Quota") and form[1] == "root@localhost"
    assert by_owner == ("A rule: mail of x@shop.example is refused.", "ann@mine.example")
    page = as_superuser.get(reverse("admin:directory_mailbox_history", args=[ann.pk])).content.decode()
    assert all(words in page for words in ("Suspend: ", in_shell, "x@shop.example", "Changed Name", " UTC<"))
    assert reverse("admin:directory_mailbox_history", args=[ann.pk]) in as_superuser.get(change).content.decode()


def test_what_was_refused_or_only_shown_is_no_change(as_superuser, ann):
    as_superuser.post(reverse("admin:directory_mailbox_do", args=[ann.pk, "rename"]), {"address": "x@unhosted.example"})
    with pytest.raises(CommandError):
        manage("mailbox", "rename", ann.address, "x@unhosted.example")
    manage("mailbox", "forward", ann.address)
    manage("mailbox", "list")
    manage("domain", "records", "mine.example")
    assert not Change.objects.exists()


def test_what_is_made_renamed_or_removed_keeps_its_history(as_superuser, ann, in_shell):
    as_superuser.post(reverse("admin:directory_alias_add"), {"address": "new@mine.example", "targets": ann.address})
    manage("mailbox", "rename", ann.address, "anna@mine.example")
    manage("mailbox", "remove", "anna@mine.example")
    manage("domain", "disable", "mine.example")
    manage("route", "add", "far.example", "smtps://me:s3cret@smart.example")
    manage("route", "remove", "far.example")
    assert [what for what, _ in told(ann)] == ["manage.py mailbox remove", "manage.py mailbox rename anna@mine.example"]
    assert told(Domain.objects.get(name="mine.example")) == [("manage.py domain disable", in_shell)]
    made = Change.objects.get(model="directory.alias")
    assert (made.object_text, made.what) == ("new@mine.example", "Added.")
    assert not Route.objects.exists() and Change.objects.filter(model="queue.route").count() == 2
    assert not Change.objects.filter(what__contains="s3cret").exists()
    removed = as_superuser.get(reverse("admin:directory_removedmailbox_history", args=[ann.pk])).content.decode()
    assert "manage.py mailbox rename" in removed


def test_actions_on_several_rows_stand_in_the_history_of_each(as_superuser, domains):
    rows = list(Mailbox.objects.filter(domain__name="mine.example"))
    posted = {"action": "suspend", "_selected_action": [row.pk for row in rows]}
    as_superuser.post(reverse("admin:directory_mailbox_changelist"), posted)
    assert all(told(row)[0][0].startswith("Suspend") and "2 rows" in told(row)[0][0] for row in rows)


def test_the_owner_s_password_is_in_the_history_and_no_word_of_it(ann):
    owner = Client()
    owner.force_login(ann.user)
    new = "another long password"
    owner.post("/password", {"old_password": PASSWORD, "new_password": new, "repeated": new})
    user = User.objects.get(pk=ann.user_id)
    assert user.check_password(new) and told(user) == [("A new password.", "ann@mine.example")]


def test_history_is_for_whom_the_row_is_for(as_domain_administrator):
    theirs = Mailbox.objects.get(address="ann@theirs.example")
    history.note(theirs, "something", "root@localhost")
    assert as_domain_administrator.get(reverse("admin:directory_mailbox_history", args=[theirs.pk])).status_code == 302


def test_what_is_kept_has_bounds(ann):
    for number in range(history.MOST_BY_OWNER + 5):
        history.note_by_owner(ann, f"pressed {number}", "ann@mine.example")
    assert history.of(ann).count() == history.MOST_BY_OWNER
    assert history.forget_old(timezone.now()) == 0
    assert history.forget_old(timezone.now() + history.KEPT + timedelta(days=1)) == history.MOST_BY_OWNER


def test_bans_and_who_is_told_of_alarms_have_a_history(domains, in_shell):
    manage("ban", "add", "192.0.2.0/24", "--note", "rude")
    ban = Ban.objects.get()
    manage("ban", "lift", "192.0.2.7/24")
    manage("ban", "allow", "192.0.2.7")
    manage("ban", "list")
    manage("alarms", "tell", "me@far.example")
    manage("alarms", "show")
    assert [what for what, _ in told(ban)] == ["manage.py ban lift", "manage.py ban add rude"]
    assert told(AllowedNetwork.objects.get()) == [("manage.py ban allow", in_shell)]
    assert told(AlarmSettings.objects.get()) == [("manage.py alarms tell me@far.example", in_shell)]


def test_an_import_is_in_the_history_of_each_mailbox(domains, tmp_path, in_shell):
    (tmp_path / "people.csv").write_text(f"x@mine.example,{PASSWORD}\ny@mine.example,{PASSWORD}\n")
    manage("mailbox", "import", str(tmp_path / "people.csv"))
    manage("mailbox", "import", str(tmp_path / "people.csv"))
    made = Mailbox.objects.filter(address__in=["x@mine.example", "y@mine.example"])
    assert [told(row) for row in made] == [[("manage.py mailbox import", in_shell)]] * 2


def test_what_is_done_and_can_t_be_told_is_not_called_undone(ann, monkeypatch):
    def busy(*_):
        raise OperationalError("database is locked")

    monkeypatch.setattr(history, "note_all", busy)
    with pytest.raises(CommandError, match="That is done, but the history could not be written"):
        manage("mailbox", "suspend", ann.address)


def test_what_forms_did_earlier_is_taken_over(superuser, ann):
    kind = ContentType.objects.get_for_model(Mailbox)
    words = '[{"changed": {"fields": ["Quota"]}}]'
    for flag, message, days in (
        (ADDITION, '[{"added": {}}]', 3),
        (CHANGED, words, 2),
        (DELETION, "", 1),
        (2, "x", 999),
    ):
        entry = LogEntry.objects.create(
            user=superuser, content_type=kind, object_id=ann.pk, object_repr="ann", action_flag=flag,
            change_message=message, action_time=timezone.now() - timedelta(days=days),
        )  # fmt: skip
    migration = import_module("mailsuite.directory.migrations.0012_history_of_earlier_forms")
    migration.take_over(apps, None)
    by = superuser.email
    assert told(ann) == [("Deleted.", by), ("Changed Quota.", by), ("Added.", by)] and entry.pk
    assert timezone.now() - history.of(ann).first().at < timedelta(days=1, hours=1)
