"""Who is asked to come again, and who passes."""

from datetime import UTC, datetime, timedelta

import pytest

from mailsuite.screening import greylist
from mailsuite.screening.greylist import FIRST_TIME, GREYLISTED, forget_old, let_pass, may_pass
from mailsuite.screening.models import GreylistEntry

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
WAIT = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def with_home(home):
    """The tables' own rows are all that there is."""


def ask(
    after=timedelta(0),
    *,
    kind=GREYLISTED,
    network="192.0.2.0/24",
    sender="a@b.example",
    to=("ann@example.org",),
    **known,
):
    return may_pass(
        kind,
        network=network,
        reverse_path=sender,
        recipients=to,
        wait=WAIT,
        now=NOW + after,
        doubts=("no-reverse-dns",),
        **known,
    )


def test_who_comes_again_after_the_wait_passes_and_so_does_the_whole_network():
    assert not ask()
    assert not ask(timedelta(seconds=59))
    assert ask(timedelta(seconds=60))
    assert ask(timedelta(seconds=61), sender="other@b.example", to=("bob@example.org",))
    assert not ask(timedelta(seconds=61), network="198.51.100.0/24")
    row = GreylistEntry.objects.get(network="192.0.2.0/24")
    assert (row.reverse_path, row.recipient, row.doubts) == ("a@b.example", "ann@example.org", "no-reverse-dns")
    assert row.passed_at == NOW + WAIT


@pytest.mark.parametrize("change", [{"sender": "x@b.example"}, {"to": ("bob@example.org",)}, {"network": "9.9.9.0/24"}])
def test_somebody_else_waits_anew(change):
    assert not ask()
    assert not ask(timedelta(minutes=5), **change)


def test_of_several_recipients_one_that_waited_is_enough():
    assert not ask(to=("ann@example.org", "bob@example.org"))
    assert ask(timedelta(minutes=1), to=("BOB@example.org", "new@example.org"))


def test_a_first_time_pause_is_for_each_sender_from_wherever():
    assert not ask(kind=FIRST_TIME)
    assert ask(timedelta(minutes=1), kind=FIRST_TIME, network="198.51.100.0/24")
    assert ask(timedelta(days=3), kind=FIRST_TIME)
    assert not ask(timedelta(days=3), kind=FIRST_TIME, sender="other@b.example")
    assert not ask(timedelta(days=3))


def test_an_administrator_may_let_somebody_pass():
    assert not ask()
    assert let_pass(list(GreylistEntry.objects.values_list("pk", flat=True)), NOW) == 1
    assert ask(timedelta(seconds=1))


def test_a_flood_from_one_network_leaves_little(monkeypatch):
    monkeypatch.setattr(greylist, "MAX_WAITING_PER_NETWORK", 3)
    for number in range(20):
        assert not ask(sender=f"{number}@b.example")
    assert GreylistEntry.objects.count() == 3
    assert not ask(to=tuple(f"{number}@example.org" for number in range(500)), network="9.9.9.0/24")
    assert GreylistEntry.objects.filter(network="9.9.9.0/24").count() == greylist.MAX_RECIPIENTS


def test_old_entries_are_forgotten():
    assert not ask()
    assert not ask(sender="b@b.example", network="9.9.9.0/24")
    assert ask(timedelta(minutes=1))
    assert forget_old(NOW + timedelta(days=1)) == 0
    assert forget_old(NOW + timedelta(days=3)) == 1
    # Who passed stays while it goes on writing.
    assert ask(timedelta(days=30))
    assert forget_old(NOW + timedelta(days=60)) == 0
    assert forget_old(NOW + timedelta(days=67)) == 1


def test_odd_senders_are_kept_too():
    assert not ask(sender="\udc80" + "x" * 5000, to=("\u0000ann@example.org",))


POOL = [("127.1.0.0/24", "out1.pool.example"), ("127.2.0.0/24", "out2.pool.example"), ("127.3.0.0/24", "")]


def from_pool(after, host, *, message_id="<1@pool.example>", **fields):
    network, client_name = POOL[host]
    return ask(timedelta(minutes=after), network=network, client_name=client_name, message_id=message_id, **fields)


@pytest.mark.parametrize(
    ("host", "message_id"),
    [(1, "<1@pool.example>"), (1, ""), (1, "<other@pool.example>"), (2, "<1@pool.example>")],
    ids=["both", "by the name", "by the name, another message", "by the message"],
)
def test_a_pool_passes_at_its_second_try(host, message_id):
    assert not from_pool(0, 0)
    assert not from_pool(0.5, host, message_id=message_id)
    assert from_pool(1, host, message_id=message_id)
    # Both networks have passed with all that they bring, but the one that a Message-ID alone speaks for.
    is_named = POOL[host][1] != ""
    assert GreylistEntry.objects.exclude(passed_at=None).count() == GreylistEntry.objects.count() == 1 + is_named
    assert from_pool(2, 0, sender="other@b.example", message_id="")
    assert from_pool(2, host, sender="other@b.example", message_id="") is is_named


def test_a_message_id_lets_one_message_pass_and_not_for_ever():
    """Whoever knows one that was let pass, from as many networks as there are, gets no further by it."""
    assert not from_pool(0, 0)
    assert from_pool(1, 2)
    assert from_pool(2, 2)
    assert not from_pool(2, 2, to=("bob@example.org",))
    assert from_pool(2 * 24 * 60 - 1, 2)
    assert not from_pool(2 * 24 * 60 + 1, 2)
    assert from_pool(2 * 24 * 60 + 2, 2)


def test_a_pool_of_many_networks_leaves_little(monkeypatch):
    monkeypatch.setattr(greylist, "MAX_POOL_NETWORKS", 5)
    assert not ask(network="2001:db8::/64", client_name="a.pool.example")
    for number in range(1, 20):
        assert ask(timedelta(minutes=2), network=f"2001:db8:0:{number}::/64", client_name=f"x{number}.pool.example")
    assert GreylistEntry.objects.count() == 5


@pytest.mark.parametrize(
    "change",
    [
        {"sender": "x@b.example"},
        {"to": ("bob@example.org",)},
        {"host": 2, "message_id": ""},
        {"host": 2, "message_id": "<2@pool.example>"},
    ],
)
def test_in_a_pool_somebody_else_waits_anew(change):
    assert not from_pool(0, 0)
    assert not from_pool(5, **{"host": 1, **change})


@pytest.mark.parametrize(
    ("names", "passes"),
    [
        (("mx1.far.example", "mx2.far.example"), True),
        (("a.out.far.example", "b.out.far.example"), True),
        (("a.far.example", "b.near.example"), False),
        (("far.example", "near.example"), False),
        (("far.example", "far.example"), True),
        (("", ""), False),
    ],
)
def test_what_names_make_a_pool(names, passes):
    first, second = names
    assert not ask(network="127.1.0.0/24", client_name=first)
    assert ask(timedelta(minutes=1), network="127.2.0.0/24", client_name=second) is passes
