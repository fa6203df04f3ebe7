"""Pages compressed, for those who asked for them themselves.

Where a page holds a secret beside something that a stranger can have put into it (a search for `?q=`), its compressed
length tells how alike they are, to whoever has the browser ask again and again and sees the lengths go by (BREACH,
CVE-2013-3587). Three things stand against that. A page is compressed only when a page of this site, or the person,
asked for it: browsers say so in Sec-Fetch-Site, which no script can set (W3C Fetch Metadata), so that a stranger's page
gets answers as long as they are. The token against forged forms is masked anew in each answer (django.middleware.csrf),
and Django's own middleware adds up to a hundred random octets. What is shown once, such as a new app password, answers
a POST, and those answers are never compressed.
"""

import re
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers

_OWN = frozenset({"same-origin", "none"})
_TEXT = ("text/", "application/json", "application/xml", "application/javascript")
# Names of codings in any case; a weight of 0 says no (RFC 9110 §12.5.3).
_GZIP = re.compile(r"(?:^|,)\s*(?:x-)?gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[^,]*)?\s*(?:,|$)", re.IGNORECASE)


def takes_gzip(request: HttpRequest) -> bool:
    """Whether the one who asks takes an answer compressed so."""
    return bool(_GZIP.search(request.META.get("HTTP_ACCEPT_ENCODING", "")))


class Compression(GZipMiddleware):
    """Django's, for answers in text that a page of ours or the person has asked for."""

    def process_response(self, request: HttpRequest, response: Any) -> HttpResponseBase:
        if response.streaming or not response.headers.get("Content-Type", "").startswith(_TEXT):
            return response  # type: ignore[no-any-return]
        patch_vary_headers(response, ("Sec-Fetch-Site", "Accept-Encoding"))
        is_own = request.META.get("HTTP_SEC_FETCH_SITE") in _OWN
        if request.method != "GET" or not is_own or not takes_gzip(request):
            return response  # type: ignore[no-any-return]
        # Decided above; Django's own takes a weight of 0 for a yes, and no name in capitals.
        request.META["HTTP_ACCEPT_ENCODING"] = "gzip"
        return super().process_response(request, response)
