"""What a mail client must be told: the servers with host, port and kind of TLS, from the listeners that are on."""

from dataclasses import dataclass

from django.conf import settings

from mailsuite.configuration import PRODUCTION_PORTS
from mailsuite.server.suite_state import read_state
from mailsuite.web import hosts

# Protocol, listener, kind of TLS; for each protocol the better way first (RFC 8314 §3).
_WAYS = (
    ("imap", "IMAPS", "SSL"),
    ("imap", "IMAP", "STARTTLS"),
    ("pop3", "POP3S", "SSL"),
    ("pop3", "POP3", "STARTTLS"),
    ("smtp", "SUBMISSIONS", "SSL"),
    ("smtp", "SUBMISSION", "STARTTLS"),
)
_TLS_NAMES = {"SSL": "SSL/TLS", "STARTTLS": "STARTTLS"}


@dataclass(frozen=True, slots=True)
class Server:
    """`protocol` is imap, pop3 or smtp; `tls` SSL (from the first octet) or STARTTLS."""

    protocol: str
    host: str
    port: int
    tls: str

    @property
    def tls_name(self) -> str:
        """What clients call it."""
        return _TLS_NAMES[self.tls]


def servers() -> list[Server]:
    """Every way in that is open, the better one of each protocol first."""
    found = ((protocol, listener, tls, _place(listener)) for protocol, listener, tls in _WAYS)
    return [Server(protocol, place[0], place[1], tls) for protocol, _, tls, place in found if place]


def best(protocol: str) -> Server | None:
    return next((server for server in servers() if server.protocol == protocol), None)


def port_of(listener: str) -> int | None:
    """The port at which a listener is reached; None when it is off."""
    place = _place(listener)
    return place[1] if place else None


def _place(listener: str) -> tuple[str, int] | None:
    places = settings.MAILSUITE.listeners.get(listener, ())
    if any(port == 0 for _, port in places):
        state = read_state(settings.MAILSUITE.data)
        places = tuple(state.listeners.get(listener, ())) if state else ()
    if not places:
        return None
    # What the world reaches before what only this machine does; among those the port that everybody expects.
    host, port = min(places, key=lambda at: (hosts.is_loopback(at[0]), at[1] != PRODUCTION_PORTS[listener]))
    return _name(host), port


def _name(host: str) -> str:
    """What a client must be told to reach `host`: certificates hold names, and of addresses only loopback's."""
    return host if hosts.is_loopback(host) else settings.MAILSUITE.hostname
