"""Listening sockets: bound once by the parent or taken from systemd (sd_listen_fds(3)), inherited by the services."""

import errno
import os
import socket
from collections.abc import Mapping

from mailsuite.configuration import Configuration

BACKLOG = 1024
FIRST_PASSED_DESCRIPTOR = 3
Sockets = dict[str, list[socket.socket]]


class ListenError(Exception):
    """A listener can't be had; str() says in plain words which, why, and what to change."""


def open_listeners(configuration: Configuration, environment: Mapping[str, str], names: list[str]) -> Sockets:
    """The sockets of the listeners in `names`, by name. Those that systemd passes are taken as they are; the rest are
    bound. Raises ListenError, with nothing left open."""
    sockets = passed_sockets(environment)
    try:
        for name in names:
            places = () if name in sockets else configuration.listeners[name]
            for host, port in places:
                if (one := _bind(name, host, port)) is not None:
                    sockets.setdefault(name, []).append(one)
    except ListenError:
        close_all(sockets)
        raise
    return sockets


def passed_sockets(environment: Mapping[str, str]) -> Sockets:
    """The sockets that a service manager handed over, by the names of its FileDescriptorName= settings."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return {}
    count = int(environment.get("LISTEN_FDS", "0"))
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    sockets: Sockets = {}
    for number in range(count):
        name = names[number].upper() if number < len(names) else ""
        one = socket.socket(fileno=FIRST_PASSED_DESCRIPTOR + number)
        one.set_inheritable(False)
        one.setblocking(False)
        sockets.setdefault(name, []).append(one)
    return sockets


def addresses(sockets: Sockets) -> dict[str, list[tuple[str, int]]]:
    """Where each listener can be reached; port 0 of the settings has become the port that the kernel chose."""
    return {name: [one.getsockname()[:2] for one in some] for name, some in sockets.items()}


def close_all(sockets: Sockets) -> None:
    """Closes these sockets of this process; other processes keep theirs."""
    for some in sockets.values():
        for one in some:
            one.close()


def _bind(name: str, host: str, port: int) -> socket.socket | None:
    """A listening socket; None for the IPv6 wildcard on a machine without IPv6."""
    family, address = _resolve(name, host, port)
    try:
        one = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        if host == "::":
            return None
        raise ListenError(f"MAILSUITE_LISTEN_{name} names {host}, but this machine has no IPv6.") from None
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # 0.0.0.0 has a socket of its own on the same port.
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        if host == "::" and error.errno == errno.EADDRNOTAVAIL:
            return None
        raise ListenError(_explain(name, host, port, error)) from None
    one.setblocking(False)
    return one


def _resolve(name: str, host: str, port: int) -> tuple[int, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        raise ListenError(f"MAILSUITE_LISTEN_{name} names {host}, which is no address of this machine.") from None
    return found[0][0], found[0][4][:2]  # type: ignore[return-value]


def _explain(name: str, host: str, port: int, error: OSError) -> str:
    listener = f"{name} can't listen on {host} port {port}"
    variable = f"MAILSUITE_LISTEN_{name}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{listener}: another program listens there already (`ss -ltnp 'sport = :{port}'` names it). "
            f"Stop that one, or set {variable} to another host:port."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{listener}: ports below 1024 need a right that this user doesn't have. Use the systemd unit in deploy/, "
            "which gives it, or allow it with `sudo sysctl net.ipv4.ip_unprivileged_port_start=25`, "
            f"or set {variable} to a higher port."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{listener}: {host} is no address of this machine. Correct {variable}."
    return f"{listener}: {error.strerror}. Correct {variable}."
