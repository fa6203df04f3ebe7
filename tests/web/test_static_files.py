"""How long browsers keep what pages are made of, and what goes out compressed."""

import gzip
import re

import pytest
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import staticfiles_storage
from django.http import HttpResponse
from django.templatetags.static import static

from mailsuite.web.compression import Compression
from mailsuite.web.static_files import VersionedStorage

CSS = "mailsuite/admin.css"
YEAR, MINUTE = "max-age=315360000, public, immutable", "max-age=60, public"
LETTERS = b"a page of words " * 100


@pytest.fixture
def web(client, directory):
    """A browser that reads what it gets to its end, into `whole`."""
    ask = client.get

    def get(*arguments, **more):
        answer = ask(*arguments, **more)
        answer.whole = b"".join(answer.streaming_content) if answer.streaming else answer.content
        answer.close()
        return answer

    client.get = get
    return client


def test_a_file_below_the_digest_of_all_is_kept_for_good(web):
    answer = web.get(static(CSS))
    assert answer["Cache-Control"] == YEAR and b".ms-badge" in answer.whole
    assert re.fullmatch(r"/static/[0-9a-f]{16}/mailsuite/admin\.css", static(CSS))


@pytest.mark.parametrize("path", [f"/static/{CSS}", f"/static/0123456789abcdef/{CSS}"])
def test_by_another_version_s_name_a_file_is_kept_for_a_minute(web, path):
    """A page that was open while the server got a new version still finds its pictures and styles."""
    assert web.get(path)["Cache-Control"] == MINUTE


@pytest.mark.parametrize("name", ["mailsuite/none.css", "../settings.py", "0123456789abcdef/mailsuite/admin.css"])
def test_what_is_no_static_file_is_not_found(web, name):
    assert web.get(f"/static/{staticfiles_storage.digest}/{name}").status_code == 404


def test_all_that_pages_name_is_below_the_digest(web):
    page = web.get("/admin/login/").content.decode() + web.get("/sign-in").content.decode()
    named = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page))
    assert len(named) > 8 and all(web.get(one)["Cache-Control"] == YEAR for one in named)


def test_the_digest_changes_with_any_file(settings, tmp_path):
    (tmp_path / "a.css").write_text("a")
    before = VersionedStorage().digest
    settings.STATICFILES_DIRS = [tmp_path]
    digests = [before]
    for text in ("a", "b"):
        (tmp_path / "a.css").write_text(text)
        finders.get_finder.cache_clear()
        digests.append(VersionedStorage().digest)
    settings.STATICFILES_DIRS = []
    finders.get_finder.cache_clear()
    assert len(set(digests)) == 3 and VersionedStorage().digest == before


def test_text_goes_out_compressed_and_fonts_as_they_are(web, client):
    plain, small = web.get(static(CSS)), web.get(static(CSS), headers={"accept-encoding": "br, gzip"})
    assert (small["Content-Encoding"], small["Vary"]) == ("gzip", "Accept-Encoding") == ("gzip", plain["Vary"])
    assert gzip.decompress(small.whole) == plain.whole
    assert int(small["Content-Length"]) == len(small.whole) < len(plain.whole) / 3
    font = web.get(static("unfold/fonts/inter/Inter-Bold.woff2"), headers={"accept-encoding": "gzip"})
    assert "Content-Encoding" not in font
    head = client.head(static(CSS), headers={"accept-encoding": "gzip"})
    assert {name: head[name] for name in small.headers} == dict(small.headers) and head.content == b""


@pytest.mark.parametrize("tags", ["{0}", "W/{0}", '"other", W/{0}', "*"])
@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_a_file_that_a_browser_has_is_not_sent_again(web, tags, coding):
    """By weak comparison, whichever form it has (RFC 9110 §13.1.2): half the static files are asked for again else."""
    tag = web.get(static(CSS))["ETag"].removeprefix("W/")
    answer = web.get(static(CSS), headers={"if-none-match": tags.format(tag), "accept-encoding": coding})
    assert (answer.status_code, answer["ETag"], answer["Cache-Control"]) == (304, f"W/{tag}", YEAR)
    assert web.get(static(CSS), headers={"if-none-match": '"other"', "accept-encoding": coding}).status_code == 200


@pytest.mark.parametrize("asked", ["bytes=0-9", "bytes=0-0", "bytes=99999999-", "bytes=5-1"])
def test_a_part_is_answered_with_the_whole(web, asked):
    """RFC 9110 §14.2: nobody needs a part, and an If-Range would have to be obeyed."""
    answer = web.get(static(CSS), headers={"range": asked, "if-range": '"other"'})
    assert (answer.status_code, len(answer.whole)) == (200, int(answer["Content-Length"]))


def test_what_is_asked_wrongly_is_not_kept(web):
    answer = web.post(static(CSS))
    assert answer.status_code == 405 and not answer.get("Cache-Control")


@pytest.mark.parametrize(
    ("accepted", "is_small"),
    [
        ("gzip", True), ("GZIP", True), ("x-gzip", True), ("br, gzip;q=0.5", True), ("gzip ; q=1", True), ("", False),
        ("gzip;q=0", False), ("gzip; Q=0.000, br", False), ("br;q=1, gzip;q=0.0", False), ("xgzip", False),
    ],
)  # fmt: skip
def test_only_who_takes_it_gets_an_answer_compressed(web, accepted, is_small):
    for path in (static(CSS), "/admin/login/"):
        answer = web.get(path, headers={"accept-encoding": accepted, "sec-fetch-site": "same-origin"})
        assert (answer.get("Content-Encoding") == "gzip", "Accept-Encoding" in answer["Vary"]) == (is_small, True)


@pytest.mark.parametrize(
    ("asked_by", "is_small"),
    [("same-origin", True), ("none", True), ("same-site", False), ("cross-site", False), ("", False)],
)
def test_pages_are_compressed_for_those_who_asked_themselves(web, asked_by, is_small):
    """To a stranger's page no length tells what a page and its guess have in common (BREACH)."""
    headers = {"accept-encoding": "gzip"} | ({"sec-fetch-site": asked_by} if asked_by else {})
    answer = web.get("/admin/login/", headers=headers)
    assert (answer.get("Content-Encoding") == "gzip") is is_small
    assert "Sec-Fetch-Site" in answer["Vary"]
    assert b"Log in" in (gzip.decompress(answer.content) if is_small else answer.content)


@pytest.mark.parametrize(
    ("method", "type"), [("post", "text/html"), ("get", "application/x-apple-aspen-config"), ("get", "image/png")]
)
def test_what_answers_a_form_or_is_no_text_is_never_compressed(rf, method, type):
    def ask(method, type):
        request = getattr(rf, method)("/", headers={"accept-encoding": "gzip", "sec-fetch-site": "same-origin"})
        return Compression(lambda request: HttpResponse(LETTERS, content_type=type))(request)

    assert "Content-Encoding" in ask("get", "text/html") and "Content-Encoding" not in ask(method, type)


def test_what_programs_look_for_at_the_root(web):
    icon = web.get("/favicon.ico")
    assert icon.whole.startswith(b"\0\0\1\0") and "icon" in icon["Content-Type"]
    assert web.get("/robots.txt").whole == b"User-agent: *\nDisallow: /\n"
    answer = web.get("/.well-known/change-password")
    assert (answer.status_code, answer["Location"]) == (302, "/password")
