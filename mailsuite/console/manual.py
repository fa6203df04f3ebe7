"""The operator's guide as pages of the admin, of the version that runs, and which of its chapters a page leads to."""

from pathlib import Path
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from mailsuite.console.markdown import INDENT, heading, render

FOLDER = Path(__file__).resolve().parent / "guide"
EXAMPLE = FOLDER.parent / "env.example"
# What deploy/env.example is as a chapter, and what links of the others call it.
SETTINGS, EXAMPLE_LINK = "settings", "../env.example"
# In the order of reading; each is a file of the folder, but the last.
CHAPTERS = (
    "start", "dns", "certificates", "junk", "queue", "mailboxes", "security", "backup", "upgrade", "troubleshooting",
    "reference", SETTINGS,
)  # fmt: skip
_ALIASES = "mailboxes#aliases-and-who-may-send-as-whom"
_REMOVED = "mailboxes#forwarding-other-addresses-removing-and-restoring"
_CAPS = "queue#how-much-a-mailbox-may-send"
# By the label of a model (`queue.route`) or of its app, or by the word behind /admin/.
BY_PAGE = {
    "abuse": "security",
    "abuse.alarm": "security#a-stolen-password",
    "abuse.alarmsettings": "security#a-stolen-password",
    "abuse.sendingcap": _CAPS,
    "abuse.sendingday": _CAPS,
    "abuse.sendingsettings": _CAPS,
    "access": "security#bans",
    "delivery-test": "certificates#tls-between-mail-hosts",
    "directory": "mailboxes",
    "directory.credential": "mailboxes#passwords",
    "directory.domain": "dns#a-domain-and-its-records",
    "directory.alias": _ALIASES,
    "directory.login": "troubleshooting#people-cant-sign-in",
    "directory.loginthrottle": "troubleshooting#people-cant-sign-in",
    "directory.removedalias": _REMOVED,
    "directory.removeddomain": _REMOVED,
    "directory.removedmailbox": _REMOVED,
    "directory.sendas": _ALIASES,
    "directory.user": "mailboxes#passwords",
    "junk": "junk#junk-senders-and-words",
    "queue": "queue",
    "queue.route": "queue#a-smarthost",
    "records": "dns#a-domain-and-its-records",
    "reports": "dns#reports",
    "screening": "junk#screening-rules-dns-lists-greylisting",
    "signing": "dns#a-domain-and-its-records",
    "trace": "junk#what-becomes-of-mail-that-comes-in",
    "transport_security": "certificates#tls-between-mail-hosts",
}


def chapter_of(path: str) -> str:
    """The chapter, with `#` and a section perhaps, that tells of the admin's page at this path; "" for the contents."""
    words = path.removeprefix(reverse("admin:index")).split("/")
    if words[3:4] == ["ask"]:
        # A button's page: all of them forward, rename or remove.
        return _REMOVED
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
    return _page(request, "", {"heading": "Chapters"})


def chapter(request: HttpRequest, name: str) -> HttpResponse:
    """One chapter as a page; 404 for a name that is none."""
    if name not in CHAPTERS:
        raise Http404
    text = _text(name)
    return _page(request, name, {"heading": heading(text), "html": render(text.partition("\n")[2], _address)})


def _page(request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    chapters = [(one, heading(_text(one))) for one in CHAPTERS]
    context = admin.site.each_context(request) | {"title": "Guide", "chapters": chapters, "chapter": name} | context
    return TemplateResponse(request, "admin/guide.html", context)


def _text(name: str) -> str:
    """The chapter as Markdown."""
    return settings_chapter(EXAMPLE.read_text()) if name == SETTINGS else (FOLDER / f"{name}.md").read_text()


def settings_chapter(example: str) -> str:
    """The example of the settings as a chapter: what its comments say is text, the settings are code."""
    lines = ["# Settings", ""]
    for line in example.splitlines():
        is_text = not line or line.startswith("# ")
        if not is_text and lines[-1] and not lines[-1].startswith(INDENT):
            lines.append("")
        lines.append(line.removeprefix("# ") if is_text else INDENT + line)
    return "\n".join(lines)


def _address(target: str) -> str:
    """Where a link of a chapter leads in the admin; "" where there is no page for it."""
    if target.startswith(("https://", "#")):
        return target
    if target == EXAMPLE_LINK:
        target = SETTINGS
    name, _, section = target.partition("#")
    name = name.removesuffix(".md")
    if name not in CHAPTERS:
        return ""
    return reverse("guide-chapter", args=[name]) + (f"#{section}" if section else "")
