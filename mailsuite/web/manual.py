"""The operator's guide as pages of the admin, of the version that runs, and which of its chapters a page leads to."""

from pathlib import Path
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from mailsuite.web.markdown import heading, render

FOLDER = Path(__file__).resolve().parent / "guide"
# In the order of reading; each is a file of the folder.
CHAPTERS = (
    "start", "dns", "certificates", "junk", "queue", "mailboxes", "security", "backup", "upgrade", "troubleshooting",
    "reference",
)  # fmt: skip
_REMOVED = "mailboxes#forwarding-other-addresses-removing-and-restoring"
_CAPS = "queue#how-much-a-mailbox-may-send"
# By the label of a model (`queue.route`) or of its app, or by the word behind /admin/.
BY_PAGE = {
    "abuse": "security#bans",
    "abuse.alarm": "security#a-stolen-password",
    "abuse.alarmsettings": "security#a-stolen-password",
    "abuse.sendingcap": _CAPS,
    "abuse.sendingday": _CAPS,
    "abuse.sendingsettings": _CAPS,
    "delivery-test": "certificates#tls-between-mail-hosts",
    "directory": "mailboxes",
    "directory.credential": "mailboxes#passwords",
    "directory.domain": "dns#a-domain-and-its-records",
    "directory.login": "security#bans",
    "directory.loginthrottle": "security#bans",
    "directory.removedalias": _REMOVED,
    "directory.removeddomain": _REMOVED,
    "directory.removedmailbox": _REMOVED,
    "directory.user": "mailboxes#passwords",
    "junk": "junk#junk-senders-and-words",
    "queue": "queue",
    "queue.route": "queue#a-smarthost",
    "records": "dns#a-domain-and-its-records",
    "reports": "dns#reports",
    "screening": "junk#screening-rules-dns-lists-greylisting",
    "trace": "junk#what-becomes-of-mail-that-comes-in",
    "transport_security": "certificates#tls-between-mail-hosts",
}


def chapter_of(path: str) -> str:
    """The chapter, with `#` and a section perhaps, that tells of the admin's page at this path; "" for the contents."""
    words = path.removeprefix(reverse("admin:index")).split("/")
    return BY_PAGE.get(".".join(words[:2])) or BY_PAGE.get(words[0], "")


def link(request: HttpRequest) -> dict[str, Any]:
    """For the templates of the admin: where the guide tells of this page."""
    if not request.path.startswith(reverse("admin:index")) or request.path.startswith(reverse("guide")):
        return {}
    chapter, _, section = chapter_of(request.path).partition("#")
    url = reverse("guide-chapter", args=[chapter]) if chapter else reverse("guide")
    return {"guide_link": url + (f"#{section}" if section else "")}


def contents(request: HttpRequest) -> HttpResponse:
    """All chapters, by their titles."""
    return _page(request, "", {"title": "Guide"})


def chapter(request: HttpRequest, name: str) -> HttpResponse:
    if name not in CHAPTERS:
        raise Http404
    text = (FOLDER / f"{name}.md").read_text()
    title = heading(text)
    return _page(request, name, {"title": title, "html": render(text.partition("\n")[2], _address)})


def _page(request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    chapters = [(one, heading((FOLDER / f"{one}.md").read_text())) for one in CHAPTERS]
    context = admin.site.each_context(request) | {"chapters": chapters, "chapter": name} | context
    return TemplateResponse(request, "admin/guide.html", context)


def _address(target: str) -> str:
    """Where a link of a chapter leads in the admin; "" where there is no page for it."""
    if target.startswith(("https://", "#")):
        return target
    name, _, section = target.partition("#")
    name = name.removesuffix(".md")
    if name not in CHAPTERS:
        return ""
    return reverse("guide-chapter", args=[name]) + (f"#{section}" if section else "")
