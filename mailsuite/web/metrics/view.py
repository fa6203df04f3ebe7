"""`/metrics` in Prometheus' text format: for this machine, and for networks that MAILSUITE_METRICS_NETWORKS names.

Strangers get what any unknown page gets, and so does whoever can't be told from a stranger: a client behind a proxy
that we don't know, or behind one that we trust and that does not say for whom it asks.
"""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from mailsuite.mail.networks import is_named
from mailsuite.web import hosts
from mailsuite.web.client import client_address, is_trusted_proxy

# Any of them says that somebody asks for another.
_FORWARDING = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")


def metrics(request: HttpRequest) -> HttpResponse:
    if request.method not in ("GET", "HEAD") or not _may_read(request):
        raise Http404
    # Loaded by the first scrape: a host that nobody scrapes does without its memory.
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    from mailsuite.web.metrics.families import Scrape

    return HttpResponse(generate_latest(Scrape(timezone.now())), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    peer = str(request.META.get("REMOTE_ADDR", ""))
    if is_trusted_proxy(peer):
        is_certain = "HTTP_X_FORWARDED_FOR" in request.META
    else:
        is_certain = not any(field in request.META for field in _FORWARDING)
    client = client_address(request)
    return is_certain and (hosts.is_loopback(client) or is_named(client, settings.MAILSUITE.metrics_networks))
