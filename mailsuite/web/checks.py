"""Dangerous setups, each by an id: `manage.py check` and every start name them.

E001 trusted proxies that anybody may be                W001 HTTP for others without production's rules
E002 a database whose secrets can't be opened           W002 production without a way to the pages
E003 a site whose URLs leave our pages out              W003 production with the certificate of the first run
                                                        W004 production under a name that others can't look up
                                                        W005 a listener that asks for passwords without TLS beside it
                                                        W006 outgoing mail to every private host
                                                        W007 TLSA records of no key (transport_security.checks)
                                                        W008 metrics for nearly everybody
                                                        W009 a service that runs as root
                                                        W010 a database across a network without verified TLS
                                                        W011 alarms that reach nobody
                                                        W012 mail that goes out from an address of others
"""

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.db import DatabaseError, connections
from django.urls import NoReverseMatch, reverse

from mailsuite.abuse import telling
from mailsuite.configuration import Configuration
from mailsuite.directory.models import Mailbox
from mailsuite.mail.client_network import Network
from mailsuite.mail.host_name import is_public
from mailsuite.queue.models import Route
from mailsuite.secrets import field_cipher
from mailsuite.signing.models import DkimKey
from mailsuite.web import hosts

# Wider than any one operator's own.
WIDEST = {4: 8, 6: 16}
# What deploy/env.example has.
EXAMPLE_HOSTNAME = "mx.example.org"


def check_configuration(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What the settings alone tell."""
    configuration = settings.MAILSUITE
    found = [*_trusted_proxies(configuration), *_private_hosts(configuration), *_plain_http(configuration)]
    found += [*_metrics(configuration), *_source_addresses(configuration)]
    return [*found, *(_production(configuration) if configuration.production else ())]


def check_pages(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Whether the pages are where mail programs, certificate authorities and monitors look: at the root of the site."""
    try:
        if reverse("overview") == "/":
            return []
    except NoReverseMatch:
        pass
    return [
        Error(
            f"{settings.ROOT_URLCONF} does not have the pages of Mailsuite at its root.",
            hint='Add path("", include("mailsuite.web.urls")) to its urlpatterns, in the place of Django\'s admin.',
            id="mailsuite.E003",
        )
    ]


def check_secrets(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Whether this installation's root secret opens what the database holds; nothing before its tables are there."""
    cipher = field_cipher()
    in_use = DkimKey.objects.using("reader").exclude(state__in=(DkimKey.State.RETIRED, DkimKey.State.REVOKED))
    kept = {
        "DKIM keys": in_use.values_list("private_key", flat=True),
        "smarthost passwords": Route.objects.using("reader").exclude(password="").values_list("password", flat=True),
    }
    closed = []
    was_open = connections["reader"].connection is not None
    try:
        for what, values in kept.items():
            closed += [what] * any(not cipher.opens(value) for value in values.iterator())
    except DatabaseError:
        # No database or no tables yet; who needs them says so in better words.
        return []
    finally:
        if not was_open:
            connections["reader"].close()
    if not closed:
        return []
    return [
        Error(
            f"The database holds {' and '.join(closed)} that were encrypted under another root secret.",
            hint="Bring back the secret.key that belongs to this database (or its MAILSUITE_SECRET_KEY), or name the "
            "earlier secret in MAILSUITE_SECRET_KEY_OLD.",
            id="mailsuite.E002",
        )
    ]


def check_alarms(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Whether anybody is told of alarms, once there are mailboxes to be alarmed about."""
    was_open = connections["reader"].connection is not None
    try:
        is_told = not Mailbox.objects.using("reader").exists() or bool(telling.readers())
    except DatabaseError:
        return []
    finally:
        if not was_open:
            connections["reader"].close()
    if is_told:
        return []
    return [
        Warning(
            f"Alarms may reach nobody: {telling.NOBODY}",
            hint="Name an address, best on another host: manage.py alarms tell you@example.net",
            id="mailsuite.W011",
        )
    ]


def check_user(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """As whom this runs. A mail host talks to strangers all day, and needs none of root's rights but the low ports."""
    if os.geteuid() != 0:
        return []
    return [
        Warning(
            "Mailsuite runs as root: a mistake in it or in a library would have all rights on this machine, and files "
            "that commands make belong to root.",
            hint="Run it, and its commands, as a user of its own: deploy/guide/start.md has the unit and the "
            "container. For ports below 1024 CAP_NET_BIND_SERVICE is enough.",
            id="mailsuite.W009",
        )
    ]


def _trusted_proxies(configuration: Configuration) -> Iterable[CheckMessage]:
    if wide := _too_wide(configuration.trusted_proxies):
        yield Error(
            f"MAILSUITE_TRUSTED_PROXIES names {wide}: nearly anybody could claim to be any client and to use TLS.",
            hint="Name the addresses of your own proxies only.",
            id="mailsuite.E001",
        )


def _private_hosts(configuration: Configuration) -> Iterable[CheckMessage]:
    if wide := _too_wide(configuration.allow_private_hosts):
        yield Warning(
            f"MAILSUITE_ALLOW_PRIVATE_HOSTS names {wide}: the DNS of strangers could send connections into your "
            "networks.",
            hint="Name the networks that mail is really delivered to, or use routes.",
            id="mailsuite.W006",
        )


def _metrics(configuration: Configuration) -> Iterable[CheckMessage]:
    if wide := _too_wide(configuration.metrics_networks):
        yield Warning(
            f"MAILSUITE_METRICS_NETWORKS names {wide}: nearly anybody can read how much mail goes where, and who is "
            "kept out.",
            hint="Name the addresses of your own monitoring only.",
            id="mailsuite.W008",
        )


def _source_addresses(configuration: Configuration) -> Iterable[CheckMessage]:
    for address in configuration.source_addresses:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind((str(address), 0))
        except OSError as error:
            yield Warning(
                f"Mail shall go out from {address} (MAILSUITE_SOURCE_ADDRESSES), and can't: {error.strerror}.",
                hint="Name an address that this machine itself has (`ip address`): behind NAT its private one.",
                id="mailsuite.W012",
            )


def _plain_http(configuration: Configuration) -> Iterable[CheckMessage]:
    if not configuration.production and _is_public(configuration, "HTTP", "HTTPS"):
        yield Warning(
            "The web pages are open to other machines, but without production's rules: cookies may travel without TLS.",
            hint="Start with `up --production` or set MAILSUITE_PRODUCTION=yes, or listen on 127.0.0.1.",
            id="mailsuite.W001",
        )
    for plain, implicit in (("IMAP", "IMAPS"), ("POP3", "POP3S"), ("SUBMISSION", "SUBMISSIONS")):
        if _is_public(configuration, plain) and not configuration.listeners[implicit]:
            yield Warning(
                f"MAILSUITE_LISTEN_{plain} is on and MAILSUITE_LISTEN_{implicit} is off: clients that are not made to "
                "use STARTTLS can be talked out of it by somebody in between.",
                hint=f"Switch {implicit} on (RFC 8314 recommends it).",
                id="mailsuite.W005",
            )


def _production(configuration: Configuration) -> Iterable[CheckMessage]:
    if not configuration.listeners["HTTPS"] and not configuration.trusted_proxies:
        yield Warning(
            "Nobody can open the admin: MAILSUITE_LISTEN_HTTPS is off and no proxy is trusted.",
            hint="Switch HTTPS on, or name your proxy in MAILSUITE_TRUSTED_PROXIES.",
            id="mailsuite.W002",
        )
    yield from _database(settings.DATABASES["default"])
    if configuration.tls_cert is None:
        yield Warning(
            "Clients don't trust the certificate of the first run, and warn of it.",
            hint="Get one (deploy/guide/certificates.md shows certbot) and set MAILSUITE_TLS_CERT and "
            "MAILSUITE_TLS_KEY.",
            id="mailsuite.W003",
        )
    if configuration.hostname == EXAMPLE_HOSTNAME:
        yield Warning(
            f"MAILSUITE_HOSTNAME is still {EXAMPLE_HOSTNAME}, the example's: other hosts refuse mail of that name.",
            hint="Set it to the name that the MX records and the address's PTR record have.",
            id="mailsuite.W004",
        )
    if not is_public(configuration.hostname):
        yield Warning(
            f"MAILSUITE_HOSTNAME is {configuration.hostname}, which other hosts can't look up: they refuse its mail.",
            hint="Set it to the name that the MX records and the address's PTR record have.",
            id="mailsuite.W004",
        )


def _database(database: Mapping[str, Any]) -> Iterable[CheckMessage]:
    """libpq encrypts where the server offers it and believes every certificate, unless it is told otherwise."""
    hosts_named = [host for host in str(database.get("HOST", "")).split(",") if host and not host.startswith("/")]
    mode = database.get("OPTIONS", {}).get("sslmode", "prefer")
    if any(not hosts.is_loopback(host) for host in hosts_named) and mode not in ("verify-ca", "verify-full"):
        yield Warning(
            f"DATABASE_URL leads across a network with sslmode {mode}: who stands between could read the database's "
            "password, and all mail that passes.",
            hint="Add ?sslmode=verify-full&sslrootcert=/path/to/authority.pem to it, or reach the database by a tunnel "
            "or socket of this machine.",
            id="mailsuite.W010",
        )


def _too_wide(networks: Iterable[Network]) -> str:
    return ", ".join(str(one) for one in networks if one.prefixlen < WIDEST[one.version])


def _is_public(configuration: Configuration, *listeners: str) -> bool:
    return any(not hosts.is_loopback(host) for name in listeners for host, _ in configuration.listeners[name])
