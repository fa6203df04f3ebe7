"""What the environment configures, as one frozen value. Commands read it from settings.MAILSUITE and pass it down."""

import platform
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from mailsuite.env import Environment
from mailsuite.mail.address import AddressError, normalize_domain
from mailsuite.mail.client_network import Address, Network

SERVICES_BY_LISTENER = {
    "SMTP": "smtpd",
    "SUBMISSION": "smtpd",
    "SUBMISSIONS": "smtpd",
    "IMAP": "retrieval",
    "IMAPS": "retrieval",
    "POP3": "retrieval",
    "POP3S": "retrieval",
    "HTTP": "web",
    "HTTPS": "web",
}
LOOPBACK_PORTS = {
    "SMTP": 1025,
    "SUBMISSION": 1587,
    "SUBMISSIONS": 1465,
    "IMAP": 1143,
    "IMAPS": 1993,
    "POP3": 1110,
    "POP3S": 1995,
    "HTTP": 8000,
    "HTTPS": 8443,
}
PRODUCTION_PORTS = {
    "SMTP": 25,
    "SUBMISSION": 587,
    "SUBMISSIONS": 465,
    "IMAP": 143,
    "IMAPS": 993,
    "POP3": 110,
    "POP3S": 995,
    "HTTP": 80,
    "HTTPS": 443,
}
FAMILIES = {"ipv4": 4, "ipv6": 6}
# From minutes to hours: most temporary refusals (greylisting, a restart) end within the first half hour.
RETRY_SCHEDULE = tuple(timedelta(minutes=m) for m in (5, 15, 30, 60, 120, 240, 480))

MESSAGE_SIZE = 50 * 1024 * 1024
# Some ten years of one person's mail; a mailbox without a limit can fill the disk of all.
DEFAULT_QUOTA = 5 * 1024**3


class OnFailure(StrEnum):
    """What becomes of a message that the scanner outside can't be asked about: it goes on, or has to come again."""

    OPEN = "open"
    DEFER = "defer"


@dataclass(frozen=True, slots=True)
class Configuration:
    """Listeners are (host, port) pairs by name (`SMTP`, `IMAPS`, …); an empty tuple is off. The first of `authserv_ids`
    names us in Authentication-Results, the others are ours as well; `trusted_sealers` are domains whose ARC seals are
    believed."""

    data: Path
    hostname: str
    production: bool
    listeners: dict[str, tuple[tuple[str, int], ...]]
    tls_cert: Path | None
    tls_key: Path | None
    resolver: str
    workers: int
    allow_private_hosts: tuple[Network, ...]
    trusted_proxies: tuple[Network, ...]
    retry_schedule: tuple[timedelta, ...]
    message_size: int
    rspamd: tuple[str, int] | None
    rspamd_timeout_seconds: int
    rspamd_failure: OnFailure
    authserv_ids: tuple[str, ...] = ()
    trusted_sealers: tuple[str, ...] = ()
    # Where others reach this host; without it, what the system and DNS say.
    public_addresses: tuple[Address, ...] = ()
    # The port of the domains' own name servers: another than 53 in tests.
    name_server_port: int = 53
    dkim_rotation_months: int = 0
    # Whether a look at a domain's records also connects to what they lead to.
    check_services: bool = True
    # Who may read the metrics page, besides this machine.
    metrics_networks: tuple[Network, ...] = ()
    # How long the stories of messages, and counts of refusals, are kept.
    trace_days: int = 90
    # In octets, 0 for none: what mailboxes of a new domain get where nobody says otherwise.
    default_quota: int = DEFAULT_QUOTA
    # The IP versions that mail goes out by, and the address of this host that it goes out from, by version.
    send_versions: frozenset[int] = frozenset({4, 6})
    source_addresses: tuple[Address, ...] = ()
    # How many of the copies of the database that upgrades made are kept.
    database_copies: int = 3

    @property
    def blobs(self) -> Path:
        return self.data / "mail"

    @property
    def store_socket(self) -> Path:
        return self.data / "run" / "store.sock"

    @property
    def certificate(self) -> Path:
        return self.tls_cert or self.data / "tls" / "cert.pem"

    @property
    def certificate_key(self) -> Path:
        return self.tls_key or self.data / "tls" / "key.pem"


def read_configuration(env: Environment, base: Path) -> Configuration:
    """The configuration that `env` describes; what was wrong with it gathers in `env.problems`."""
    production = env.boolean("MAILSUITE_PRODUCTION")
    failure = env.text("MAILSUITE_RSPAMD_FAILURE", OnFailure.OPEN).lower() or OnFailure.OPEN
    if failure not in list(OnFailure):
        env.problems.append(f"MAILSUITE_RSPAMD_FAILURE is {failure!r}; it must be open or defer.")
        failure = OnFailure.OPEN
    cert, key = env.text("MAILSUITE_TLS_CERT"), env.text("MAILSUITE_TLS_KEY")
    if bool(cert) != bool(key):
        env.problems.append("MAILSUITE_TLS_CERT and MAILSUITE_TLS_KEY belong together; only one of them is set.")
    hostname = env.host_name("MAILSUITE_HOSTNAME", _default_hostname())
    return Configuration(
        data=env.path("MAILSUITE_DATA", base / "var"),
        hostname=hostname,
        production=production,
        listeners={
            name: env.listeners(f"MAILSUITE_LISTEN_{name}", _default_listener(name, production=production))
            for name in SERVICES_BY_LISTENER
        },
        tls_cert=Path(cert) if cert else None,
        tls_key=Path(key) if key else None,
        resolver=env.server("MAILSUITE_RESOLVER"),
        workers=env.integer("MAILSUITE_WORKERS", 1, 1, 64),
        allow_private_hosts=env.networks("MAILSUITE_ALLOW_PRIVATE_HOSTS"),
        trusted_proxies=env.networks("MAILSUITE_TRUSTED_PROXIES"),
        retry_schedule=env.durations("MAILSUITE_RETRY", RETRY_SCHEDULE),
        message_size=env.integer("MAILSUITE_MESSAGE_SIZE", MESSAGE_SIZE, 64 * 1024, 2**31),
        rspamd=env.http_server("MAILSUITE_RSPAMD"),
        rspamd_timeout_seconds=env.integer("MAILSUITE_RSPAMD_TIMEOUT", 8, 1, 60),
        rspamd_failure=OnFailure(failure),
        authserv_ids=tuple(dict.fromkeys((*env.host_names("MAILSUITE_AUTHSERV_ID"), hostname))),
        trusted_sealers=env.host_names("MAILSUITE_TRUSTED_SEALERS"),
        public_addresses=env.addresses("MAILSUITE_PUBLIC_ADDRESSES"),
        name_server_port=env.integer("MAILSUITE_NAME_SERVER_PORT", 53, 1, 65535),
        check_services=env.boolean("MAILSUITE_CHECK_SERVICES", True),
        dkim_rotation_months=env.integer("MAILSUITE_DKIM_ROTATION", 0, 0, 60),
        metrics_networks=env.networks("MAILSUITE_METRICS_NETWORKS"),
        trace_days=env.integer("MAILSUITE_TRACE_DAYS", 90, 7, 3650),
        send_versions=_send_versions(env),
        source_addresses=_source_addresses(env),
        database_copies=env.integer("MAILSUITE_DATABASE_COPIES", 3, 1, 1000),
        default_quota=env.limit("MAILSUITE_DEFAULT_QUOTA", DEFAULT_QUOTA),
    )


def _send_versions(env: Environment) -> frozenset[int]:
    value = env.text("MAILSUITE_SEND_FAMILIES") or "ipv4,ipv6"
    names = [name.strip().lower() for name in value.split(",")]
    if not set(names) <= set(FAMILIES):
        env.problems.append(f"MAILSUITE_SEND_FAMILIES is {value!r}; it must be ipv4, ipv6, or ipv4,ipv6.")
    return frozenset(FAMILIES[name] for name in names if name in FAMILIES)


def _source_addresses(env: Environment) -> tuple[Address, ...]:
    found = env.addresses("MAILSUITE_SOURCE_ADDRESSES")
    if len({address.version for address in found}) < len(found):
        env.problems.append("MAILSUITE_SOURCE_ADDRESSES must be one IPv4 address, one IPv6 address, or one of each.")
    return found


def _default_listener(name: str, *, production: bool) -> str:
    if production:
        port = PRODUCTION_PORTS[name]
        return f"0.0.0.0:{port},[::]:{port}"
    return f"127.0.0.1:{LOOPBACK_PORTS[name]}"


def _default_hostname() -> str:
    node = platform.node()
    try:
        return normalize_domain(node) if "." in node else "localhost"
    except AddressError:
        return "localhost"
