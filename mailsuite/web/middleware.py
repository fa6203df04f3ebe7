"""What holds for every request before any page sees it: a name that is ours, a channel that may carry it, headers.

Whether a request came over TLS is known here from the connection, or from X-Forwarded-Proto of a proxy that
MAILSUITE_TRUSTED_PROXIES names; from anybody else that field means nothing.
"""

import logging
import re
from collections.abc import Callable
from urllib.parse import quote, unquote_to_bytes

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.shortcuts import render

from mailsuite.database.patience import is_busy
from mailsuite.protocol.credential_text import credential_text
from mailsuite.web import hosts, listeners
from mailsuite.web.client import is_trusted_proxy
from mailsuite.writer.operation import Refused, StoreUnavailable
from mailsuite.writer.reserve import is_disk_full, reserve

logger = logging.getLogger(__name__)

BUSY_SECONDS = 10
Handler = Callable[[HttpRequest], HttpResponse]

# What may be asked for without TLS: certificates are renewed by it, and clients and monitors ask before they have any.
_PLAIN_PATHS = re.compile(r"/\.well-known/acme-challenge/|/mail/config-v1\.1\.xml$|/\.well-known/autoconfig/|/health$")

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
# The admin's theme has scripts and styles in its pages, and evaluates expressions in attributes.
_ADMIN_POLICY = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "img-src 'self' data:",
        "object-src 'none'",
        "form-action 'self'",
        "base-uri 'self'",
        "frame-ancestors 'none'",
    )
)
_PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


def host_check(get_response: Handler) -> Handler:
    """Refuses requests for names that are not ours."""

    def handle(request: HttpRequest) -> HttpResponse:
        try:
            known = hosts.is_ours(request.get_host())
        except DisallowedHost:
            known = False
        if known:
            return get_response(request)
        logger.info("refused unknown-host")
        return _text(
            400,
            "This server does not serve that name. It answers to its own host name (MAILSUITE_HOSTNAME), to the "
            "domains that it hosts, and on the machine itself to localhost.",
        )

    return handle


def transport_check(get_response: Handler) -> Handler:
    """Sends clients without TLS to HTTPS, except where plain HTTP may serve."""

    def handle(request: HttpRequest) -> HttpResponse:
        proxied = is_trusted_proxy(str(request.META.get("REMOTE_ADDR", "")))
        if proxied:
            _believe(request)
        if request.is_secure() or _may_be_plain(request, proxied=proxied):
            return get_response(request)
        if request.method not in ("GET", "HEAD"):
            return _text(403, "Use https:// here: what you sent could be read on its way.")
        return HttpResponsePermanentRedirect(_secure_url(request))

    return handle


def form_charset(get_response: Handler) -> Handler:
    """Reads a form that is no UTF-8 as the mail protocols read a login that is none, so that the same password opens
    both: browsers send what the page is in, old ones and scripts what their system is in, which Django takes amiss."""

    def handle(request: HttpRequest) -> HttpResponse:
        if request.method == "POST" and request.content_type == "application/x-www-form-urlencoded":
            try:
                unquote_to_bytes(request.body).decode()
            except UnicodeDecodeError:
                request._body = _in_utf_8(request.body)
        return get_response(request)

    return handle


def security_headers(get_response: Handler) -> Handler:
    """Says to browsers what a page may load: nothing from elsewhere, and no script within a page of ours."""

    def handle(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        policy = _ADMIN_POLICY if request.path_info.startswith("/admin/") else _POLICY
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", _PERMISSIONS)
        return response

    return handle


class BusyCheck:
    """Answers 503 where a page could not write, because another held the database for too long, the store is away or
    the disk is full: that is no bug of the page's, and whoever asked should know that it was not done. On a full disk
    the next try has a piece of the reserve, since it may be about making room."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        full = is_disk_full(error) or (isinstance(error, Refused) and error.code == "storage-full")
        busy = isinstance(error, StoreUnavailable) or (isinstance(error, DatabaseError) and is_busy(error))
        if not full and not busy:
            return None
        logger.warning("%s %s was not done: %s", request.method, request.path, error)
        released = full and reserve().release()
        answer = render(request, "503.html", {"full": full, "released": released}, status=503)
        answer.headers["Retry-After"] = str(BUSY_SECONDS)
        return answer


def _in_utf_8(form: bytes) -> bytes:
    """The same fields, each name and value in UTF-8 and quoted."""
    parts = re.split(b"([&=])", form.replace(b"+", b"%20"))
    return b"".join(
        part if part in (b"&", b"=") else quote(credential_text(unquote_to_bytes(part))).encode() for part in parts
    )


def _believe(request: HttpRequest) -> None:
    """Takes the scheme from a trusted proxy; the last one wrote the last value."""
    scheme = request.META.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip().lower()
    if scheme in ("http", "https"):
        request.META["wsgi.url_scheme"] = scheme


def _may_be_plain(request: HttpRequest, *, proxied: bool) -> bool:
    if _PLAIN_PATHS.match(request.path_info):
        return True
    if proxied:
        # A proxy that is trusted and says nothing of the scheme answers for its clients.
        return "HTTP_X_FORWARDED_PROTO" not in request.META
    # Monitoring on this machine asks without TLS in production too.
    is_ours = not settings.MAILSUITE.production or request.path_info == "/metrics"
    return is_ours and hosts.is_loopback(str(request.META.get("REMOTE_ADDR", "")))


def _secure_url(request: HttpRequest) -> str:
    """The same page by HTTPS, in production under the name that the certificate has."""
    name = settings.MAILSUITE.hostname if settings.MAILSUITE.production else hosts.name_of(request.get_host())
    port = listeners.port_of("HTTPS") or 443
    return f"https://{name}{'' if port == 443 else f':{port}'}{request.get_full_path()}"


def _text(status: int, words: str) -> HttpResponse:
    return HttpResponse(f"{words}\n", status=status, content_type="text/plain; charset=utf-8")
