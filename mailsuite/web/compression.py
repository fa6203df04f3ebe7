"""Pages compressed, for those who asked for them themselves.

Where a page holds a secret beside something that a stranger can have put into it (a search for `?q=`), its compressed
length tells how alike they are, to whoever has the browser ask again and again and sees the lengths go by (BREACH,
CVE-2013-3587). Three things stand against that. A page is compressed only when a page of this site, or the person,
asked for it: browsers say so in Sec-Fetch-Site, which no script can set (W3C Fetch Metadata), so that a stranger's page
gets answers as long as they are. The token against forged forms is masked anew in each answer (django.middleware.csrf),
and Django's own middleware adds up to a hundred random octets. What is shown once, such as a new app password, answers
a POST, and those answers are never compressed.
"""

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers

_OWN = frozenset({"same-origin", "none"})
_TEXT = ("text/html", "text/plain", "text/csv", "application/json", "application/xml", "application/javascript")


class Compression(GZipMiddleware):
    """Django's, for answers in text that a page of ours or the person has asked for."""

    def process_response(self, request: HttpRequest, response: Any) -> HttpResponseBase:
        if response.streaming or not response.headers.get("Content-Type", "").startswith(_TEXT):
            return response  # type: ignore[no-any-return]
        patch_vary_headers(response, ("Sec-Fetch-Site",))
        if request.method != "GET" or request.META.get("HTTP_SEC_FETCH_SITE") not in _OWN:
            return response  # type: ignore[no-any-return]
        return super().process_response(request, response)
