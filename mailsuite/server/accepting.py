"""Accepting connections, and what holds for every socket that was accepted."""

import errno
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress

ACCEPTED_AT_ONCE = 50
PAUSE_SECONDS = 0.2
# A peer that vanished without a word is asked for after KEEPALIVE_IDLE_SECONDS of silence, KEEPALIVE_PROBES times,
# and given up an interval after the last. The silence is shorter than the four minutes after which the quickest of the
# usual NATs forget a connection, and longer than that between the signs which a client in IDLE gets from us anyway.
KEEPALIVE_IDLE_SECONDS = 150
KEEPALIVE_INTERVAL_SECONDS = 30
KEEPALIVE_PROBES = 3
# How long what we sent may be unacknowledged, or the peer take nothing (RFC 5482). Not less than all probes take: Linux
# reckons a silent connection by this, too, and would end it at the first probe that gets lost (tcp(7), TCP_USER_TIMEOUT
# overrides keepalive), so that a phone in a tunnel loses what it had open.
USER_TIMEOUT_SECONDS = KEEPALIVE_IDLE_SECONDS + KEEPALIVE_PROBES * KEEPALIVE_INTERVAL_SECONDS
# Descriptors for the database, spool files and the rest.
SPARE_DESCRIPTORS = 200
# What the network did to one connection before it was accepted (accept(2)) says nothing of the next.
_GONE = {errno.ECONNABORTED, errno.EINTR, errno.EPROTO, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH}


def watch_peers(listening: socket.socket) -> None:
    """Have the kernel look after connections whose peer is gone; what is accepted inherits it from here."""
    if listening.family not in (socket.AF_INET, socket.AF_INET6):
        return
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_SECONDS),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_SECONDS),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_SECONDS * 1000),
    ):
        if (option := getattr(socket, name, None)) is not None:
            listening.setsockopt(socket.IPPROTO_TCP, option, value)


def accept_waiting(listening: socket.socket) -> Iterator[tuple[socket.socket, str]]:
    """Yield clients that wait, with their addresses, at most ACCEPTED_AT_ONCE. Raises OSError when none can be accepted
    for now, for instance since no descriptor is free: then the listener stays readable, and a pause is needed."""
    for _ in range(ACCEPTED_AT_ONCE):
        try:
            accepted, peer = listening.accept()
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in _GONE:
                continue
            raise
        accepted.setblocking(False)
        yield accepted, address_of(peer)


def address_of(peer: object) -> str:
    """Return the address in what a socket calls its peer; an IPv4 address that came over IPv6 as what it is."""
    return str(peer[0]).removeprefix("::ffff:") if isinstance(peer, tuple) else ""


def acknowledge_at_once(sock: socket.socket) -> None:
    """Have what came be acknowledged now, and what comes next as it comes; to be called whenever a client is waited for
    in the middle of a command.

    A client that sends a command in two pieces and leaves Nagle's algorithm on (Python's imaplib, whose APPEND sends
    CRLF by itself) keeps the second until the first is acknowledged (RFC 1122 §4.2.3.4), and a kernel that saw us
    answer before waits up to 40 ms for an answer to carry that. It forgets what it is told here at our next answer."""
    with suppress(OSError, AttributeError):  # no TCP, gone, or a system without the option
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def say_and_close(sock: socket.socket, text: bytes) -> None:
    """Say it, if the socket takes it at once, and close."""
    with sock:
        try:
            sock.send(text)
        except OSError:
            pass


def raise_descriptor_limit() -> int:
    """Let the process open as many files as it may; returns how many sockets there is room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(1, hard - SPARE_DESCRIPTORS)
