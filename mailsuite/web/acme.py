"""Answers to ACME's HTTP challenge (RFC 8555 §8.3), from files that a client such as certbot puts into the data folder.

So a certificate can be had and renewed while port 80 stays ours: `certbot certonly --webroot -w DATA/acme -d HOSTNAME`.
"""

import re

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse

# base64url, RFC 8555 §8.1; nothing in it can leave the folder.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")


def challenge(request: HttpRequest, token: str) -> HttpResponse:
    """The key authorization of one token, or 404."""
    path = settings.MAILSUITE.data / "acme" / ".well-known" / "acme-challenge" / token
    try:
        if _TOKEN.fullmatch(token):
            return HttpResponse(path.read_bytes(), content_type="application/octet-stream")
    except OSError:
        pass
    raise Http404
