"""What a mail client must be told: the servers with host, port and kind of TLS, from the listeners that are on."""

from dataclasses import dataclass

from mailsuite.web import listeners

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
    found = ((protocol, listener, tls, listeners.place_of(listener)) for protocol, listener, tls in _WAYS)
    return [Server(protocol, place[0], place[1], tls) for protocol, _, tls, place in found if place]


def best(protocol: str) -> Server | None:
    """The recommended way in of a protocol (imap, pop3 or smtp); None when all of them are off."""
    return next((server for server in servers() if server.protocol == protocol), None)
