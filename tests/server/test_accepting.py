import socket
from contextlib import ExitStack

import pytest

from mailsuite.server import accepting
from mailsuite.server.accepting import accept_waiting, acknowledge_at_once, address_of, watch_peers
from retrieval.conversation import SIGN_SECONDS


@pytest.fixture(params=[("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)], ids=["IPv4", "IPv6"])
def listening(request):
    host, family = request.param
    with socket.create_server((host, 0), family=family) as sock:
        sock.setblocking(False)
        yield sock


def test_the_kernel_looks_after_every_accepted_socket(listening):
    watch_peers(listening)
    with socket.create_connection(listening.getsockname()[:2]):
        [(accepted, address)] = accept_waiting(listening)
    with accepted:
        assert address == listening.getsockname()[0]
        assert accepted.gettimeout() == 0
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        assert [accepted.getsockopt(socket.IPPROTO_TCP, one) for one in options] == [150, 30, 3, 240_000]


def test_a_silent_connection_outlives_a_probe_that_gets_lost(listening):
    """Linux ends it at the first one when the silence alone has lasted as long as TCP_USER_TIMEOUT."""
    watch_peers(listening)
    idle, interval, probes, user_timeout = (
        listening.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    )
    assert probes > 1 and user_timeout >= (idle + probes * interval) * 1000
    assert SIGN_SECONDS < idle < 4 * 60 and user_timeout <= 5 * 60 * 1000


def test_so_many_are_accepted_in_one_turn(listening, monkeypatch):
    monkeypatch.setattr(accepting, "ACCEPTED_AT_ONCE", 3)
    with ExitStack() as open_sockets:
        for _ in range(5):
            open_sockets.enter_context(socket.create_connection(listening.getsockname()[:2]))
        turns = [[open_sockets.enter_context(sock) for sock, _ in accept_waiting(listening)] for _ in range(3)]
    assert [len(turn) for turn in turns] == [3, 2, 0]


def test_an_ipv4_address_is_itself_over_ipv6():
    assert address_of(("::ffff:192.0.2.1", 25, 0, 0)) == "192.0.2.1"
    assert address_of("") == ""


def test_the_kernel_acknowledges_without_delay_until_the_next_answer(listening):
    """Python's imaplib sends the last CRLF of APPEND apart, and its kernel keeps that until ours acknowledges."""
    with socket.create_connection(listening.getsockname()[:2]):
        [(accepted, _)] = accept_waiting(listening)
    with accepted:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)  # as an answer leaves it
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 0
        acknowledge_at_once(accepted)
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1


def test_what_knows_no_acknowledgements_is_left_alone():
    one, other = socket.socketpair()
    with one, other:
        acknowledge_at_once(one)
    acknowledge_at_once(one)
