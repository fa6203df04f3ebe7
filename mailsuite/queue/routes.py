"""Routes: mail for a pattern of domains goes to a named host instead of to its MX."""

from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import SplitResult, unquote, urlsplit

from django.db import transaction

from mailsuite.directory.parsing import domain_name
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused
from mailsuite.mail.address import AddressError, read_domain
from mailsuite.queue.models import Route
from mailsuite.secrets import field_cipher

DEFAULT_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
FORM = (
    "smtp://[user:password@]HOST:PORT, or with smtp+starttls:// or smtps:// to insist on TLS, as is always done with a "
    "password"
)


def add_route(pattern: str, url: str, password: str = "") -> int:
    """Makes a route from `example.org`, `*.example.org` or `*` to a URL; returns its id. A password that is not in the
    URL comes beside it."""
    pattern, parts = route_pattern(pattern), _parts(url)
    with transaction.atomic():
        if Route.objects.filter(pattern=pattern).exists():
            raise ChangeRefused(f"There is a route for {pattern} already: manage.py route remove '{pattern}'")
        route = Route(pattern=pattern, scheme=parts.scheme)
        route.host, route.port = route_host(parts.hostname or ""), parts.port or DEFAULT_PORTS[parts.scheme]
        route.username = unquote(parts.username or "")
        route.password = field_cipher().encrypt(password or unquote(parts.password or ""))
        if password and not route.username:
            raise ChangeRefused("A password needs a user name: write it in the URL, as in smtps://user@HOST.")
        route.save()
        touch_directory()
    return route.pk


def save_route(route: Route, password: str | None = None) -> None:
    """Keeps a route as a form filled it in; a password of None stays as it was."""
    route.pattern, route.host = route_pattern(route.pattern), route_host(route.host)
    if not 1 <= route.port <= 65535:
        raise ChangeRefused(f"{route.port} can't be a port: write one from 1 to 65535, such as 25, 465 or 587.")
    if password is not None:
        route.password = field_cipher().encrypt(password)
    with transaction.atomic():
        route.save()
        touch_directory()


def remove_route(pattern: str) -> None:
    with transaction.atomic():
        if not Route.objects.filter(pattern=route_pattern(pattern)).delete()[0]:
            raise ChangeRefused(f"There is no route for {pattern}. The list is: manage.py route list")
        touch_directory()


def route_password(route: Route) -> str:
    """The password in clear. Raises SecretError when it was encrypted under a root secret that is not ours."""
    return field_cipher().decrypt(route.password)


def route_pattern(text: str) -> str:
    text = text.strip()
    if text == "*":
        return text
    rest = text.removeprefix("*.")
    return text[: len(text) - len(rest)] + domain_name(rest)


def route_host(text: str) -> str:
    """A host's name or IP address, in lower case."""
    text = text.strip().strip("[]").lower()
    with suppress(ValueError):
        return str(ip_address(text))
    try:
        return read_domain(text)
    except AddressError as error:
        raise ChangeRefused(f"{text!r} can't be a host. {error}.") from None


def _parts(url: str) -> SplitResult:
    with suppress(ValueError):
        parts = urlsplit(url)
        known = parts.scheme in DEFAULT_PORTS and parts.hostname and parts.port != 0
        if known and not parts.path.strip("/") and not parts.query:
            return parts
    # Without what may be a password.
    raise ChangeRefused(f"{url.rpartition('@')[2]!r} is no destination: write {FORM}.")
