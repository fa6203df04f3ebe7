"""What is counted against whom, when it is enough, how long a ban lasts, whom it spares."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from ipaddress import ip_network

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mailsuite.access import bans as services_of_bans
from mailsuite.access.authentication import authenticate
from mailsuite.access.models import Ban, Offence
from mailsuite.access.offences import LONGEST, MEASURES, WINDOW
from mailsuite.directory.models import LoginThrottle
from mailsuite.errors import ChangeRefused
from mailsuite.mail.client_network import client_network
from mailsuite.provisioning import services

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
STRANGER = "192.0.2.7"
PASSWORD = "correct horse battery"


@pytest.fixture
def ann(db):
    services.add_domain("example.org", key_pairs=[])
    services.add_mailbox("ann@example.org", PASSWORD)
    services.add_mailbox("bob@example.org", PASSWORD)


def record(address, reason, points, now=NOW):
    return services_of_bans.record({(client_network(address), reason): points}, now)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", None),
        ("unknown", None),
    ],
)
def test_what_counts_as_one(address, network):
    assert client_network(address) == (ip_network(network) if network else None)


@pytest.mark.parametrize("reason", MEASURES)
def test_enough_is_enough(bans, reason):
    enough = MEASURES[reason].enough
    assert record(STRANGER, reason, enough - 1) == 0
    assert record(STRANGER, reason, 1) == 1
    ban = Ban.objects.get()
    assert (ban.subject, ban.reason, ban.count) == ("192.0.2.7/32", reason, 1)
    assert (ban.started_at, ban.ends_at) == (NOW, NOW + MEASURES[reason].first)


def test_points_of_another_window_or_reason_or_network_do_not_add_up(bans):
    record(STRANGER, "recipient-probing", 99)
    record(STRANGER, "protocol-abuse", 39)
    record("192.0.2.8", "recipient-probing", 99)
    record(STRANGER, "recipient-probing", 99, NOW + WINDOW + timedelta(seconds=1))
    assert not Ban.objects.exists()


def test_guessing_slowly_all_day_is_guessing(bans):
    for hour in range(10):
        assert not Ban.objects.exists()
        record(STRANGER, "password-guessing", 4, NOW + timedelta(hours=2 * hour))
    assert Ban.objects.get().reason == "password-guessing"


def test_guessing_slower_than_that_is_not(bans):
    for day in range(4):
        record(STRANGER, "password-guessing", 39, NOW + timedelta(days=1, seconds=1) * day)
    assert not Ban.objects.exists()


@pytest.mark.parametrize("reason", MEASURES)
def test_changing_the_ipv6_network_does_not_help(bans, reason):
    each, now = MEASURES[reason].enough // 2, datetime.now(UTC)
    for number in range(7):
        record(f"2001:db8:7:{number:x}::1", reason, each, now)
    assert not Ban.objects.exists()
    record("2001:db8:7:ffff::1", reason, each, now)
    assert Ban.objects.get().subject == "2001:db8:7::/48"
    bans.refresh()
    assert bans.check_at_mx("2001:db8:7:abcd::1") and not bans.check_at_mx("2001:db8:8::1")


def test_neighbours_in_an_ipv6_network_that_somebody_signs_in_from_are_not_banned(bans, ann):
    home = "2001:db8:7:1::5"
    assert authenticate("bob@example.org", PASSWORD, protocol="imap", client_address=home, now=NOW).succeeded
    for number in range(2, 20):
        record(f"2001:db8:7:{number:x}::1", "password-guessing", 30)
    assert not Ban.objects.exists()


def test_bans_grow_with_repetition_and_are_forgiven(bans):
    now, lengths = NOW, []
    for _ in range(7):
        assert record(STRANGER, "password-guessing", 40, now) == 1
        ban = Ban.objects.get()
        lengths.append(ban.ends_at - now)
        now = ban.ends_at + timedelta(seconds=1)
    minutes = [length / timedelta(minutes=1) for length in lengths]
    assert minutes == [15, 60, 240, 960, 3840, 10080, 10080] and lengths[-1] == LONGEST
    services_of_bans.forget_old(now + timedelta(days=31))
    record(STRANGER, "password-guessing", 40, now + timedelta(days=31))
    assert Ban.objects.get().count == 1


def test_a_ban_in_force_is_not_shortened(bans):
    services_of_bans.ban(STRANGER, reason="by-hand", ends_at=None)
    assert record(STRANGER, "protocol-abuse", 400) == 0
    assert Ban.objects.get().ends_at is None


@pytest.mark.parametrize(
    ("address", "reason", "banned"),
    [
        ("127.0.0.1", "password-guessing", 0),
        ("::1", "password-guessing", 0),
        ("127.0.0.9", "password-guessing", 1),
        ("127.0.0.9", "recipient-probing", 0),
        ("127.0.0.9", "protocol-abuse", 0),
    ],
)
def test_the_host_itself(bans, address, reason, banned):
    assert record(address, reason, 1000) == banned


def test_allowed_networks_are_never_banned(bans):
    services_of_bans.ban("192.0.2.9", reason="by-hand", ends_at=None)
    services_of_bans.allow("192.0.2.0/24", "the office")
    assert not Ban.objects.exists()
    assert record(STRANGER, "recipient-probing", 1000) == 0
    services_of_bans.ban("192.0.0.0/16", reason="by-hand", ends_at=None)
    bans.refresh()
    assert bans.check("192.0.3.1") and not bans.check(STRANGER)
    services_of_bans.disallow("192.0.2.0/24")
    bans.refresh()
    assert bans.check(STRANGER)


@pytest.mark.parametrize(
    ("subject", "inside", "outside"),
    [
        ("192.0.2.0/24", ["192.0.2.0", "192.0.2.255", "::ffff:192.0.2.1"], ["192.0.3.0", "2001:db8::1", "", "x"]),
        ("2001:db8::/48", ["2001:db8::1", "2001:db8:0:ffff::1%eth0"], ["2001:db8:1::", "192.0.2.1"]),
        ("192.0.2.7", ["192.0.2.7"], ["192.0.2.6"]),
    ],
)
def test_who_is_kept_out(bans, subject, inside, outside):
    services_of_bans.ban(subject, reason="by-hand", ends_at=None)
    bans.refresh()
    assert all(bans.check(address) for address in inside)
    assert not any(bans.check(address) for address in outside)
    bans.refresh()
    assert Ban.objects.get().refused_count == len(inside)


def test_a_ban_ends_by_itself_and_by_lifting(bans):
    now = datetime.now(UTC)
    services_of_bans.ban(STRANGER, reason="protocol-abuse", ends_at=now + timedelta(hours=1), now=now)
    services_of_bans.ban("192.0.2.8", reason="by-hand", ends_at=None)
    bans.refresh()
    assert bans.check(STRANGER)
    assert not bans._networks.find(STRANGER, now + timedelta(hours=2))
    services_of_bans.lift("192.0.2.8")
    bans.refresh()
    assert not bans.check("192.0.2.8")


def test_those_who_are_kept_out_cost_no_query(bans):
    services_of_bans.ban(STRANGER, reason="by-hand", ends_at=None)
    bans.refresh()
    with CaptureQueriesContext(connection, ) as queries:  # fmt: skip
        for _ in range(1000):
            assert bans.check(STRANGER)
            bans.count("192.0.2.8", "recipient-probing")
    assert len(queries) == 0
    with CaptureQueriesContext(connection) as queries:
        bans.refresh()
    assert len(queries) < 25
    assert Ban.objects.get(subject="192.0.2.7/32").refused_count == 1000


@pytest.mark.parametrize("subject", ["0.0.0.0/0", "10.0.0.0/7", "::/0", "nonsense", "1.2.3", "@", ""])
def test_nonsense_is_refused(bans, subject):
    with pytest.raises(ChangeRefused):
        services_of_bans.ban(subject, reason="by-hand", ends_at=None)


def guess(times, address=STRANGER, account="nobody{}@example.org", protocol="imap"):
    for number in range(times):
        found = authenticate(
            account.format(number), f"guess {number}", protocol=protocol, client_address=address, now=NOW
        )
        assert not found.succeeded
    return found


def test_guessing_at_many_accounts_over_all_protocols_bans(bans, ann):
    for protocol in ("smtp", "imap", "pop3", "web"):
        guess(10, account=f"x{protocol}{{}}@example.org", protocol=protocol)
    bans.refresh()
    assert Ban.objects.get().reason == "password-guessing"
    right = authenticate("ann@example.org", PASSWORD, protocol="imap", client_address=STRANGER)
    assert right.reason == "too-many-failures"
    assert authenticate("ann@example.org", PASSWORD, protocol="imap", client_address="192.0.2.8").succeeded


def test_guessing_at_one_account_bans_too_though_most_is_refused_unhashed(bans, ann):
    guess(60, account="ann@example.org")
    bans.refresh()
    assert Ban.objects.get().subject == "192.0.2.7/32"
    assert LoginThrottle.objects.get(key="net:192.0.2.7").failures < 10


def test_an_old_password_bans_nobody(bans, ann):
    for _ in range(300):
        authenticate("ann@example.org", "the old one", protocol="imap", client_address=STRANGER, now=NOW)
    bans.refresh()
    assert not Ban.objects.exists()
    assert Offence.objects.get().points < 20


def test_a_bystander_behind_the_same_address_gets_in(bans, ann):
    assert authenticate("bob@example.org", PASSWORD, protocol="imap", client_address=STRANGER, now=NOW).succeeded
    guess(200)
    bans.refresh()
    assert not Ban.objects.exists()
    assert authenticate("bob@example.org", PASSWORD, protocol="imap", client_address=STRANGER, now=NOW).succeeded


def break_rules(gate, address, reason, times):
    for _ in range(times):
        gate.note(address, reason)
    gate.refresh()


@pytest.mark.parametrize(
    ("reason", "times"),
    [("too-many-errors", 10), ("tls-handshake", 40), ("foreign-protocol", 40), ("unknown-recipient", 100)],
)
def test_how_often_a_broken_program_may_come(bans, reason, times):
    break_rules(bans, STRANGER, reason, times - 1)
    assert not bans.check_at_mx(STRANGER)
    break_rules(bans, STRANGER, reason, 1)
    assert bans.check_at_mx(STRANGER)


@pytest.mark.parametrize("reason", ["suspended", "bare-line-ending", "nul-octet"])
def test_what_is_no_offence_counts_for_nothing(bans, reason):
    """Old devices send a bare LF or a NUL in content, day after day."""
    break_rules(bans, STRANGER, reason, 1000)
    assert not Offence.objects.exists()


def test_a_broken_program_in_a_household_bans_nobody_of_it(bans, ann):
    authenticate("bob@example.org", PASSWORD, protocol="imap", client_address=STRANGER)
    break_rules(bans, STRANGER, "too-many-errors", 200)
    assert not bans.check(STRANGER)
    break_rules(bans, "192.0.2.8", "too-many-errors", 200)
    assert bans.check("192.0.2.8")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_the_host_itself_may_break_rules(bans, address):
    break_rules(bans, address, "too-many-errors", 200)
    assert not bans.check(address) and not Offence.objects.exists()


def test_failing_for_an_account_of_ones_own_counts_for_nothing(bans, ann):
    authenticate("ann@example.org", PASSWORD, protocol="imap", client_address=STRANGER, now=NOW)
    guess(100, account="ann@example.org")
    bans.flush()
    assert not Offence.objects.exists()


def test_a_banned_account_is_open_to_networks_that_it_knows(bans, ann):
    authenticate("ann@example.org", PASSWORD, protocol="imap", client_address="192.0.2.1")
    services_of_bans.ban("Ann@Example.org", reason="by-hand", ends_at=None)
    bans.refresh()
    from mailsuite.access import authentication

    authentication.forget_logins()
    stranger = authenticate("ann@example.org", PASSWORD, protocol="imap", client_address=STRANGER)
    assert stranger.reason == "too-many-failures"
    assert authenticate("ann@example.org", PASSWORD, protocol="imap", client_address="192.0.2.1").succeeded
    assert authenticate("bob@example.org", PASSWORD, protocol="imap", client_address=STRANGER).succeeded


def test_the_command(bans):
    def run(*words):
        out = StringIO()
        call_command("ban", *words, stdout=out)
        return out.getvalue()

    assert run("list") == "Nobody is banned.\n"
    assert "192.0.2.0/24 is banned until it is lifted." in run("add", "192.0.2.0/24", "--note", "a nuisance")
    assert "a nuisance" in run("list")
    run("lift", "192.0.2.0/24")
    run("allow", "198.51.100.0/24")
    assert run("list") == "Nobody is banned.\nNever banned: 198.51.100.0/24\n"
    with pytest.raises(CommandError, match="is not banned"):
        run("lift", "192.0.2.0/24")
    for days in ("0", "-1", "nan", "inf", "1e9"):
        with pytest.raises(CommandError, match="can't be the length of a ban"):
            run("add", "192.0.2.0/24", f"--days={days}")
    assert "192.0.2.0/24 is banned until 2" in run("add", "192.0.2.0/24", "--days=0.5")


def test_who_tries_out_recipients_is_kept_out_of_port_25_alone(bans, ann):
    """Behind a carrier's address are spammers and our people, some of whom sign in from there for the first time."""
    record(STRANGER, "recipient-probing", 100, datetime.now(UTC))
    bans.refresh()
    assert bans.check_at_mx(STRANGER).reason == "recipient-probing" and not bans.check(STRANGER)
    assert authenticate("ann@example.org", PASSWORD, protocol="imap", client_address=STRANGER).succeeded
    services_of_bans.ban(f"{STRANGER}/24", reason="by-hand", ends_at=None)
    bans.refresh()
    assert bans.check_at_mx(STRANGER) and bans.check(STRANGER).reason == "by-hand"
