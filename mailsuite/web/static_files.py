"""Static files, served from where the packages have them: nothing to collect, nothing to go stale after an upgrade.

Pages name them below a digest of all their contents (`/static/0123456789abcdef/mailsuite/admin.css`), so that a browser
keeps them for a year and asks for none of them again until one has changed; what they name of one another, relative to
themselves, is below the same digest. Below no digest, or below that of another version, they are kept for a minute.
"""

import gzip
import hashlib
import os
import re
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from wsgiref.headers import Headers

from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.http import parse_etags
from whitenoise.middleware import WhiteNoiseMiddleware

from mailsuite.web.compression import takes_gzip

DIGEST_CHARACTERS = 16
# Of a file's own answers: a mistake of whoever asks is not kept.
_KEPT = (200, 304)
_DIGEST = re.compile(rf"([0-9a-f]{{{DIGEST_CHARACTERS}}})/")
# What gets smaller by it; fonts and pictures are compressed as they are.
_TEXT = ("text/", "application/javascript", "application/json", "image/svg+xml")
# More files than pages of ours ask for, and none larger than that.
COMPRESSED_FILES, COMPRESSED_OCTETS = 64, 1024 * 1024


class VersionedStorage(StaticFilesStorage):
    """Names files below the digest of them all."""

    @cached_property
    def digest(self) -> str:
        """Of the names and contents of all static files, computed once a process."""
        whole = hashlib.sha256()
        found = ((name, storage) for finder in finders.get_finders() for name, storage in finder.list(None))
        for name, storage in sorted(found, key=lambda pair: pair[0]):
            path = Path(storage.path(name))
            whole.update(f"{name}\0{path.stat().st_size}\0".encode())
            whole.update(path.read_bytes())
        return whole.hexdigest()[:DIGEST_CHARACTERS]

    def url(self, name: str | None) -> str:
        return super().url(f"{self.digest}/{name}")


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]
    """whitenoise's, which knows digests, and compresses text once a process."""

    def add_cache_headers(self, headers: Headers, path: str, url: str) -> None:
        """Caches between keep text in both forms, which one weak entity tag names (RFC 9110 §8.8.1)."""
        super().add_cache_headers(headers, path, url)
        if str(headers["Content-Type"]).startswith(_TEXT):
            found = os.stat(path)
            headers["Vary"] = "Accept-Encoding"
            headers["ETag"] = f'W/"{int(found.st_mtime):x}-{found.st_size:x}"'

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path, digest = request.path_info, ""
        if path.startswith(self.static_prefix) and (named := _DIGEST.match(path, len(self.static_prefix))):
            digest, path = named[1], self.static_prefix + path[named.end() :]
        file = self.files.get(path)
        if file is None:
            response: HttpResponseBase = self.get_response(request)
            return response
        # Nothing here is so large that somebody needs a part of it (RFC 9110 §14.2).
        request.META.pop("HTTP_RANGE", None)
        _compare_weakly(file, request)
        answer: HttpResponseBase = _compressed(file, request) or self.serve(file, request)
        if digest and digest == _digest() and answer.status_code in _KEPT:
            answer.headers["Cache-Control"] = f"max-age={self.FOREVER}, public, immutable"
        return answer


def _digest() -> str:
    from django.contrib.staticfiles.storage import staticfiles_storage

    return str(getattr(staticfiles_storage, "digest", ""))


def _compare_weakly(file: Any, request: HttpRequest) -> None:
    """Has whitenoise, which knows one entity tag written as it is, find it in a list, in its weak form or by `*`
    (RFC 9110 §13.1.2)."""
    tags = parse_etags(request.META.get("HTTP_IF_NONE_MATCH", ""))
    if "*" in tags or file.etag.removeprefix("W/") in (tag.removeprefix("W/") for tag in tags):
        request.META["HTTP_IF_NONE_MATCH"] = file.etag


def _compressed(file: Any, request: HttpRequest) -> HttpResponseBase | None:
    """The file compressed, where it is text, has changed, and the browser takes it so."""
    _, path, headers = file.alternatives[-1]
    named = dict(headers)
    if request.method not in ("GET", "HEAD") or not takes_gzip(request) or file.is_not_modified(request.META):
        return None
    if not named["Content-Type"].startswith(_TEXT) or int(named["Content-Length"]) > COMPRESSED_OCTETS:
        return None
    small = _gzipped(path, named["Last-Modified"])
    changed = {"Content-Encoding": "gzip", "Content-Length": str(len(small))}
    return HttpResponse(small if request.method == "GET" else b"", headers=named | changed)


@lru_cache(maxsize=COMPRESSED_FILES)
def _gzipped(path: str, changed: str) -> bytes:
    """The file compressed; `changed` tells its versions apart."""
    return gzip.compress(Path(path).read_bytes(), mtime=0)
