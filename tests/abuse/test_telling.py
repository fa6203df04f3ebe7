"""Who is told of alarms: those whom the site named, administrators, postmaster@; never the suspected mailbox."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from mailsuite.abuse import host_alarms, telling
from mailsuite.abuse.models import AlarmSettings
from mailsuite.abuse.telling import Matter, tell
from mailsuite.directory import lookup
from mailsuite.directory.models import Domain, Mailbox, User
from mailsuite.errors import ChangeRefused
from mailsuite.provisioning import services
from mailsuite.queue.models import QueuedMessage, QueuedRecipient
from mailsuite.signing.keys import make_key_pairs
from mailsuite.store.models import Message
from mailsuite.trace.models import Event, Story
from mailsuite.trace.visibility import visible
from mailsuite.transport_security.models import DaneLook
from mailsuite.web import checks
from mailsuite.writer.storage import mail_storage

pytestmark = pytest.mark.usefixtures("bans")
NOW = datetime.now(UTC)
PASSWORD = "correct horse battery"
KEY_PAIRS = make_key_pairs()


@pytest.fixture
def site(quick_hashes):
    """ann at example.org, and the first administrator, who has no mailbox; by address."""
    mail_storage().prepare()
    User.objects.create_superuser("root@localhost", PASSWORD)
    services.add_domain("example.org", key_pairs=KEY_PAIRS)
    services.add_mailbox("ann@example.org", PASSWORD)
    return Domain.objects.get()


def add(address, *, is_superuser=False, administers=None):
    services.add_mailbox(address, PASSWORD)
    if is_superuser:
        User.objects.filter(email=address).update(is_superuser=True, is_staff=True)
    if administers:
        User.objects.filter(email=address).update(is_staff=True)
        User.objects.get(email=address).administered_domains.add(administers)
    return Mailbox.objects.get(address=address)


def told():
    """Whom the mails went to, here and elsewhere."""
    here = Message.objects.values_list("mailbox__address", flat=True)
    return sorted([*here, *QueuedRecipient.objects.values_list("forward_path", flat=True)])


def about(domain, suspect="ann@example.org"):
    return Matter("ann@example.org sends much", "Look.\n", "alarm", domain, Mailbox.objects.get(address=suspect))


def test_in_the_set_up_of_the_readme_somebody_named_elsewhere_is_told(site):
    """The first administrator has no mailbox, and the only one is the suspect's."""
    assert tell(about(site), NOW) == 0
    telling.name(["ops@far.test"])
    assert tell(about(site), NOW) == 1
    assert told() == ["ops@far.test"]
    [message] = QueuedMessage.objects.all()
    assert (message.reverse_path, message.hold_reason) == ("", "")
    # Whoever administers the domain can't hold or drop what tells the site of it.
    assert message.domain_id is None
    with mail_storage().open(message.content.blob) as blob:
        octets = blob.read()
    assert octets.startswith(b"DKIM-Signature:") and b"d=example.org" in octets
    assert b"From: Mail system <postmaster@example.org>\r\nTo: <ops@far.test>\r\n" in octets


def test_domain_administrators_are_told_beside_those_who_are_named(site):
    services.add_domain("host.example", key_pairs=KEY_PAIRS)
    add("boss@host.example", is_superuser=True)
    add("bob@example.org", administers=site)
    assert tell(about(site), NOW) == 1 and told() == ["bob@example.org"]
    telling.name(["ops@far.test", "bob@example.org", "boss@host.example"])
    assert tell(about(site), NOW) == 3
    assert told() == ["bob@example.org", "bob@example.org", "boss@host.example", "ops@far.test"]


def test_the_site_s_administrators_are_told_where_a_domain_has_none(site):
    add("boss@example.org", is_superuser=True)
    assert tell(about(site), NOW) == 1 and told() == ["boss@example.org"]


@pytest.mark.parametrize("name", ["postmaster@example.org", "ops@example.org"])
def test_the_suspect_reads_nothing_whatever_leads_there(site, name):
    if name.startswith("postmaster"):
        services.remove_alias(name)
    services.add_alias(name, ["ann@example.org", "bob@far.test"])
    User.objects.filter(email="ann@example.org").update(is_staff=True)
    site.administrators.add(User.objects.get(email="ann@example.org"))
    if name.startswith("ops"):
        telling.name([name])
    assert tell(about(site), NOW) == 1
    assert told() == ["bob@far.test"]


@pytest.mark.parametrize("keep", [True, False])
def test_nor_does_whoever_the_suspect_s_mail_is_sent_on_to(site, keep):
    add("thief@example.org")
    services.forward_mailbox("ann@example.org", ["x@thief.test", "thief@example.org"], keep=keep)
    services.add_alias("ops@example.org", ["ann@example.org", "bob@far.test"])
    User.objects.filter(email="ann@example.org").update(is_staff=True)
    site.administrators.add(User.objects.get(email="ann@example.org"))
    assert tell(about(site), NOW) == 0
    telling.name(["ops@example.org"])
    assert tell(about(site), NOW) == 1
    assert told() == ["bob@far.test"]
    # About somebody else it goes wherever the readers have it.
    tell(about(site, "thief@example.org"), NOW)
    assert "x@thief.test" in told()


def test_who_administers_no_more_is_told_no_more(site):
    add("bob@example.org", administers=site)
    User.objects.filter(email="bob@example.org").update(is_staff=False)
    assert tell(about(site), NOW) == 0
    services.remove_alias("postmaster@example.org")
    services.add_domain("host.example", key_pairs=KEY_PAIRS)
    services.add_mailbox("cat@host.example", PASSWORD, owner="bob@example.org")
    services.remove_mailbox("bob@example.org")
    assert [one.address for one in lookup.resolve("postmaster@example.org").local] == ["ann@example.org"]


def test_another_mailbox_of_the_suspect_s_account_is_no_better(site):
    other = add("ann2@example.org", is_superuser=True)
    Mailbox.objects.filter(pk=other.pk).update(user=Mailbox.objects.get(address="ann@example.org").user)
    telling.name(["ann2@example.org"])
    assert tell(about(site), NOW) == 0 and told() == []


def test_an_alarm_about_one_domain_is_not_shown_to_the_administrators_of_another(site):
    services.add_domain("host.example", key_pairs=KEY_PAIRS)
    add("boss@host.example", is_superuser=True)
    tell(about(site), NOW)
    other = Domain.objects.get(name="host.example")
    assert told() == ["boss@host.example"]
    assert not visible(Story.objects.all(), frozenset({other.pk})).exists()
    assert visible(Story.objects.all(), frozenset({site.pk})).exists()
    assert not Event.objects.filter(domain=other).exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "is no address"),
        ("nobody@example.org", "Nobody reads mail to nobody@example.org here"),
        ("dmarc-reports@example.org", "Nobody reads mail"),
        (" ".join(["a@b.example"] * 2), "is no address"),
    ],
)
def test_only_addresses_that_somebody_reads_can_be_named(site, text, words):
    with pytest.raises(ChangeRefused, match=words):
        telling.name([text])
    assert telling.named() == []
    with pytest.raises(ChangeRefused, match="20 addresses"):
        telling.name([f"{number}@far.test" for number in range(21)])


def test_what_is_named_and_gone_since_is_noticed(site):
    add("bob@example.org")
    telling.name(["bob@example.org", "ops@far.test"])
    assert telling.lost() == []
    services.remove_mailbox("bob@example.org")
    assert telling.lost() == ["bob@example.org"]
    assert telling.readers() == ["ops@far.test"]


def test_an_address_whose_host_refused_is_noticed_and_others_are_told_as_well(site, client, capsys):
    add("boss@example.org", is_superuser=True)
    telling.name(["ops@far.test"])
    assert tell(Matter("A disk fills", "Look.\n", "disk"), NOW) == 1
    assert told() == ["ops@far.test"] and telling.refused() == {}
    QueuedRecipient.objects.update(state="failed", settled_at=NOW, last_reply="550 5.1.1 no such user")
    assert telling.refused() == {"ops@far.test": "550 5.1.1 no such user"}
    call_command("alarms", "show")
    assert "The last alarm to ops@far.test was refused: 550 5.1.1 no such user" in capsys.readouterr().out
    User.objects.filter(email="root@localhost").update(must_change_password=False)
    client.force_login(User.objects.get(email="root@localhost"))
    assert "The last alarm to ops@far.test was refused: 550 5.1.1" in client.get("/admin/").content.decode()
    assert tell(Matter("It is nearly full", "Look.\n", "disk"), NOW) == 2
    assert told() == ["boss@example.org", "ops@far.test", "ops@far.test"]
    QueuedRecipient.objects.filter(settled_at=None).update(state="relayed", settled_at=NOW, last_reply="250 ok")
    assert telling.refused() == {}


def test_commands_name_show_and_try(site, capsys):
    add("boss@example.org", is_superuser=True)
    call_command("alarms", "show")
    call_command("alarms", "tell", "ops@far.test", "boss@example.org")
    call_command("alarms", "test")
    call_command("alarms", "tell")
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "Alarms go to boss@example.org, by postmaster@ and the administrators' mailboxes: nobody is named."
    assert out[1] == "Alarms go to ops@far.test, boss@example.org."
    assert out[2].startswith("A test alarm goes to ops@far.test, boss@example.org. ")
    assert told() == ["boss@example.org", "ops@far.test"]
    # About the whole site: no domain's administrators see it.
    assert set(QueuedMessage.objects.values_list("domain", flat=True)) == {None}
    Mailbox.objects.all().delete()
    with pytest.raises(CommandError, match="Nobody can be told"):
        call_command("alarms", "test")


def test_check_says_that_nobody_is_told(site):
    Mailbox.objects.update(state=Mailbox.State.REMOVED)
    [found] = checks.check_alarms(None)
    assert found.id == "mailsuite.W011" and "alarms tell" in found.hint
    telling.name(["ops@far.test"])
    assert checks.check_alarms(None) == []


def test_the_host_s_own_troubles_are_told_once_a_day(site, monkeypatch, settings, tmp_path):
    telling.name(["ops@far.test"])
    ends = NOW + timedelta(days=3)
    monkeypatch.setattr(host_alarms, "certificate_end", lambda path: ends)
    monkeypatch.setattr(host_alarms.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10 * 2**20))
    assert [one.field for one in host_alarms.problems(NOW)] == ["disk_told_at"]
    settings.MAILSUITE = replace(settings.MAILSUITE, tls_cert=tmp_path)
    hours = [host_alarms.tell_of_problems(NOW + timedelta(hours=count)) for count in (0, 1, 25)]
    assert hours == [2, 0, 2]
    DaneLook.objects.create(hostname=settings.MAILSUITE.hostname, at=NOW, state="mismatch", text="None matches.")
    assert host_alarms.tell_of_problems(NOW + timedelta(hours=26)) == 1
    DaneLook.objects.all().delete()
    # By a clock that was ahead.
    AlarmSettings.objects.update(disk_told_at=NOW + timedelta(days=20), certificate_told_at=NOW)
    assert host_alarms.tell_of_problems(NOW) == 1
