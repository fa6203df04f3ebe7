"""Signing in: who may, what it costs, and how failures slow down those who fail and nobody else."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.hashers import check_password
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mailsuite.access import app_password, authentication, login_log, throttle
from mailsuite.directory.models import Credential, Login, LoginThrottle
from mailsuite.provisioning import services

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PASSWORD = "correct horse battery"
HOME, CAFE = "192.0.2.1", "198.51.100.9"


@pytest.fixture(autouse=True)
def no_repeats(monkeypatch):
    monkeypatch.setattr(authentication, "_repeats", throttle.Repeats())


@pytest.fixture(autouse=True)
def hashed(monkeypatch):
    """What was hashed, in order."""
    calls = []

    def check(password, encoded):
        calls.append(password)
        return check_password(password, encoded)

    monkeypatch.setattr(authentication, "check_password", check)
    return calls


def login(password=PASSWORD, name="ann@example.org", *, protocol="imap", client=HOME, after=timedelta(0)):
    return authentication.authenticate(name, password, protocol=protocol, client_address=client, now=NOW + after)


def guess(times, *, name="ann@example.org", client=HOME, after=timedelta(0), first=0):
    """So many different wrong passwords; returns the reasons."""
    return [login(f"wrong-{client}-{n}", name, client=client, after=after).reason for n in range(first, first + times)]


def test_a_right_password_opens_the_mailbox(ann):
    answer = login("correct horse battery", "ANN@example.ORG")
    assert (answer.succeeded, answer.address, answer.user_id) == (True, "ann@example.org", ann.pk)


def test_known_and_unknown_names_fail_alike_and_cost_the_same(ann, hashed):
    answers = [login("wrong", name) for name in ("ann@example.org", "nobody@example.org", "no address", "")]
    assert len({(answer.reason, answer.user_id, answer.delay_seconds) for answer in answers}) == 1
    assert len(hashed) == 4


@pytest.mark.parametrize("password", ["", "x" * 5000, "\ud800", "nul\0", "wrong"])
def test_strange_passwords_are_wrong(ann, password):
    assert login(password).reason == "wrong-credentials"


def test_another_name_of_the_domain_signs_in_too(ann):
    services.add_domain("example.net", alias_of="example.org", key_pairs=[])
    assert login(name="ann@example.net").address == "ann@example.org"


def test_refusals_after_a_right_password(ann, administrator):
    assert login(name="admin@localhost").reason == "no-mailbox"
    assert login(name="admin@localhost", protocol="web").succeeded
    services.suspend_mailbox("ann@example.org")
    assert login().reason == "suspended"
    assert login(protocol="web").reason == "suspended"
    services.resume_mailbox("ann@example.org")
    services.set_domain_state("example.org", disabled=True)
    assert login().reason == "disabled"


def test_a_verified_login_is_remembered_until_the_directory_changes(ann, hashed):
    assert login().succeeded and login(protocol="smtp", client=CAFE).succeeded
    assert len(hashed) == 1
    services.change_mailbox("ann@example.org", name="Ann")
    assert login().succeeded
    assert len(hashed) == 2
    services.set_password("ann@example.org", "another long password")
    assert login().reason == "wrong-credentials"


def test_sessions_end_with_what_opened_them(ann):
    app = services.add_app_password(ann.pk, "phone")
    by_password, by_app = login(), login(app.password)
    assert authentication.session_is_valid(by_password) and authentication.session_is_valid(by_app)
    services.revoke_app_password(app.credential_id)
    assert authentication.session_is_valid(by_password) and not authentication.session_is_valid(by_app)
    app = services.add_app_password(ann.pk, "laptop")
    by_app = login(app.password)
    services.suspend_mailbox("ann@example.org")
    assert not authentication.session_is_valid(by_password) and not authentication.session_is_valid(by_app)
    assert login(app.password).reason == login().reason == "suspended"
    services.resume_mailbox("ann@example.org")
    services.set_password("ann@example.org", "another long password")
    assert not authentication.session_is_valid(by_password)


def test_app_passwords_open_protocols_in_their_scope_only(ann, hashed):
    app = services.add_app_password(ann.pk, "phone", scopes=["imap"], expires_at=NOW + timedelta(days=1))
    assert login(app.password).succeeded
    assert login(app.password.replace("-", " ").upper()).credential_id == app.credential_id
    assert not hashed
    assert login(app.password, protocol="smtp").reason == "not-allowed"
    assert login(app.password, protocol="web").reason == "wrong-credentials"
    assert login(app.password, after=timedelta(days=2)).reason == "wrong-credentials"
    assert Credential.objects.get().last_used_at == NOW
    services.add_mailbox("bob@example.org", PASSWORD)
    assert login(app.password, "bob@example.org").reason == "wrong-credentials"


def test_app_passwords_are_long_and_kept_as_keyed_hashes_alone(ann):
    app = services.add_app_password(ann.pk, "phone")
    assert app_password.digests(app.password) == [Credential.objects.get().digest]
    assert len(app.password.replace("-", "")) == app_password.LENGTH
    assert app_password.digests("short") == []


def test_guessing_at_one_account_is_blocked_and_refused_unhashed(ann, hashed):
    reasons = guess(10)
    assert reasons == ["wrong-credentials"] * 6 + ["too-many-failures"] * 4
    assert len(hashed) == 6
    assert login().reason == "too-many-failures"
    assert login(after=timedelta(seconds=31)).succeeded


def test_blocks_grow_and_end(ann):
    guess(6)
    assert guess(1, after=timedelta(seconds=31), first=100) == ["wrong-credentials"]
    assert login(after=timedelta(seconds=80)).reason == "too-many-failures"
    assert login(after=timedelta(seconds=92)).succeeded
    assert not LoginThrottle.objects.filter(key__endswith="ann@example.org", key__startswith="net:").exists()


def test_delays_grow(ann):
    delays = [login(f"wrong {n}").delay_seconds for n in range(5)]
    assert delays == [0.5, 1.0, 2.0, 4.0, 4.0]
    assert login(after=timedelta(seconds=1)).delay_seconds == 0.0


def test_a_client_that_fails_in_several_connections_counts_once(ann):
    assert [login("old password").reason for _ in range(10)] == ["wrong-credentials"] * 10
    assert login().succeeded


def test_repeats_are_free_only_so_often(ann, hashed):
    for _ in range(throttle.REPEATS + 20):
        login("old password")
    assert len(hashed) == throttle.REPEATS + 1 + throttle.PAIR.allowed
    assert login().reason == "too-many-failures"


def test_a_bystander_behind_the_same_address_gets_in(ann):
    services.add_mailbox("bob@example.org", PASSWORD)
    guess(10)
    assert login(name="bob@example.org").succeeded


def test_somebody_with_a_history_is_never_locked_out_by_others(ann, hashed):
    assert login().succeeded
    authentication.forget_logins()
    guess(10, after=timedelta(minutes=1))
    answer = login(after=timedelta(minutes=1))
    assert (answer.succeeded, answer.delay_seconds) == (True, throttle.SLOW_SECONDS)


def test_whose_password_was_right_before_is_not_late_while_others_guess(ann, hashed):
    assert login().succeeded
    guess(10, after=timedelta(minutes=1))
    services.change_mailbox("ann@example.org", name="Ann")  # so that it is checked again
    answer = login(after=timedelta(minutes=1))
    assert (answer.succeeded, answer.delay_seconds) == (True, 0.0)
    assert login("a guess", after=timedelta(minutes=1)).delay_seconds == throttle.SLOW_SECONDS


def test_somebody_else_behind_an_address_that_the_account_knows_can_not_guess_on_for_ever(ann, hashed):
    assert login().succeeded
    later = timedelta(minutes=6)
    reasons = guess(500, after=later)
    assert reasons.count("wrong-credentials") == len(hashed) - 1 == throttle.KNOWN_ALLOWED + 1
    # Meanwhile whom this process has seen sign in gets in, again and again, and it buys no more guesses.
    for number in range(3):
        services.change_mailbox("ann@example.org", name=f"Ann {number}")
        assert login(after=later).succeeded
    assert len(hashed) == throttle.KNOWN_ALLOWED + 1 + 1 + 3
    assert guess(10, after=later, first=1000) == ["too-many-failures"] * 10
    assert login(client=CAFE, after=later).succeeded


def test_guesses_behind_a_known_address_end_for_everybody_that_this_process_has_not_seen(ann):
    assert login().succeeded and login(client=CAFE).succeeded
    authentication.forget_logins()
    guess(throttle.KNOWN_ALLOWED + 1, after=timedelta(minutes=1))
    assert login(after=timedelta(minutes=1)).reason == "too-many-failures"
    assert login(client=CAFE, after=timedelta(minutes=1)).succeeded
    authentication.forget_logins()
    assert login(after=timedelta(minutes=1) + throttle.PAIR.longest + timedelta(seconds=1)).succeeded


def test_an_old_password_at_home_exhausts_nothing(ann):
    """The phone goes on with it for hours; the laptop has the new one, which this process has not seen."""
    assert login().succeeded
    services.set_password("ann@example.org", "another long password")
    for minute in range(60):
        for _ in range(10):
            assert login(after=timedelta(minutes=minute)).reason == "wrong-credentials"
    assert login("another long password", after=timedelta(minutes=60)).succeeded


def test_a_password_that_was_changed_opens_nothing_when_guesses_are_exhausted(ann):
    assert login().succeeded
    services.set_password("ann@example.org", "another long password")
    guess(throttle.KNOWN_ALLOWED + 1)
    assert login().reason == login("another long password").reason == "too-many-failures"


def test_guessing_from_everywhere_blocks_strangers_but_not_the_owner(ann):
    assert login().succeeded
    authentication.forget_logins()
    for n in range(throttle.ACCOUNT.allowed + 1):
        guess(1, client=f"203.0.113.{n}", after=timedelta(minutes=1))
    assert login(client=CAFE, after=timedelta(minutes=1)).reason == "too-many-failures"
    assert login(client=HOME, after=timedelta(minutes=1)).succeeded


def test_spraying_from_one_network_blocks_it_for_those_without_history(ann):
    services.add_mailbox("bob@example.org", PASSWORD)
    assert login().succeeded
    authentication.forget_logins()
    for n in range(throttle.NETWORK.allowed + 1):
        login("spring2026", f"user{n}@example.org", after=timedelta(minutes=1))
    assert login(name="bob@example.org", after=timedelta(minutes=1)).reason == "too-many-failures"
    assert login(name="ann@example.org", after=timedelta(minutes=1)).succeeded
    assert login(name="bob@example.org", client=CAFE, after=timedelta(minutes=1)).succeeded
    assert login(name="bob@example.org", after=timedelta(minutes=3)).succeeded


def test_what_is_refused_is_not_counted_against_the_network(ann):
    guess(200)
    assert LoginThrottle.objects.get(key=f"net:{HOME}").failures == 6


def test_app_passwords_and_remembered_logins_pass_every_block(ann):
    app = services.add_app_password(ann.pk, "phone")
    login(client=CAFE)
    guess(10)
    assert login(app.password).succeeded
    assert login().succeeded  # verified at the café a moment ago


def test_signing_in_to_an_account_of_ones_own_buys_no_guesses(ann):
    services.add_mailbox("mallory@example.org", PASSWORD)
    for n in range(throttle.NETWORK.allowed + 1):
        guess(1, name=f"user{n}@example.org")
        login(name="mallory@example.org")
    assert guess(1, name="ann@example.org") == ["too-many-failures"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("", "nonsense", True),
    ],
)
def test_networks(one, other, same):
    assert (throttle.network(one) == throttle.network(other)) is same


def test_equal_attempts_within_a_minute_are_one_row(ann):
    for _ in range(5):
        login("old password")
    login("old password", after=timedelta(minutes=2))
    login("old password", client=CAFE)
    rows = Login.objects.filter(succeeded=False).values_list("client_address", "times")
    assert sorted(rows) == [(HOME, 1), (HOME, 5), (CAFE, 1)]


def test_successes_are_gathered(ann):
    for _ in range(5):
        assert login().succeeded
    assert [(row.user, row.times, row.protocol) for row in Login.objects.all()] == [(ann, 1, "imap")]


def test_old_rows_are_forgotten(ann):
    guess(6)
    login(client=CAFE)
    assert throttle.forget_old(NOW + timedelta(hours=1)) == 0
    assert throttle.forget_old(NOW + timedelta(days=2)) == 3
    assert login_log.forget_old(NOW + timedelta(days=200)) == 2


def test_the_web_signs_in_by_the_same_way(ann, administrator, client):
    assert client.login(username="admin@localhost", password=PASSWORD)
    assert not client.login(username="admin@localhost", password="wrong password")
    assert list(Login.objects.values_list("protocol", flat=True)) == ["web", "web"]


def test_passwords_are_kept_as_argon2id_with_19_mebioctets(domain, monkeypatch):
    monkeypatch.undo()
    assert services.hash_password(PASSWORD).startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize(
    ("account", "words"),
    [
        ("ann@example.org", ["ann@example.org, from 192.0.2.7", "ann@example.org, from anywhere"]),
        ("odd name", ["odd name, from 192.0.2.7", "odd name, from anywhere"]),
    ],
)
def test_counters_are_named_in_words(account, words):
    keys = throttle.Attempt("192.0.2.7", account).limits
    assert [str(LoginThrottle(key=key)) for key in keys] == [*words, "any account, from 192.0.2.7"]


@pytest.fixture
def unwritable(ann):
    """The database can be read, and nothing can be written, as on a full disk."""
    on, off = ("PRAGMA query_only = ON", "PRAGMA query_only = OFF")
    if connection.vendor == "postgresql":
        on, off = ("SET transaction_read_only = on", "")
    login_log.forget_gathered()
    # What the fixtures wrote is checked before nothing more may be.
    connection.check_constraints()
    with connection.cursor() as cursor:
        cursor.execute(on)
    yield
    throttle._unwritten.forget()
    login_log.forget_gathered()
    if off:
        with connection.cursor() as cursor:
            cursor.execute(off)


def test_a_login_is_what_it_is_though_it_can_not_be_written_down(unwritable):
    assert login().succeeded
    assert login("wrong").reason == "wrong-credentials"
    assert login(name="nobody@example.org").reason == "wrong-credentials"
    assert not Login.objects.exists()


def test_after_one_trial_nobody_tries_to_write_for_a_while(unwritable):
    login("wrong")
    with CaptureQueriesContext(connection) as captured:
        for number in range(20):
            login(client=f"192.0.2.{number}")
    assert not [query for query in captured if query["sql"].startswith(("SAVEPOINT", "INSERT", "UPDATE"))]


def test_guesses_are_counted_though_they_can_not_be_written_down(unwritable, hashed):
    reasons = guess(throttle.PAIR.allowed + 5)
    assert reasons[: throttle.PAIR.allowed + 1] == ["wrong-credentials"] * (throttle.PAIR.allowed + 1)
    assert set(reasons[throttle.PAIR.allowed + 1 :]) == {"too-many-failures"}
    assert login(client=CAFE).succeeded
    assert login(after=timedelta(hours=2)).succeeded


def test_what_could_not_be_written_down_is_so_later(ann, monkeypatch):
    monkeypatch.setattr(login_log, "_rests_until", float("inf"))
    for _ in range(3):
        assert login().succeeded
    assert not Login.objects.exists()
    monkeypatch.setattr(login_log, "_rests_until", 0.0)
    assert login().succeeded
    assert Login.objects.get().times == 4
