"""Pages between a verb's button and the act: they say what it does, and ask for what it has to know."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst

from mailsuite.adminkit.scoping import Verb
from mailsuite.errors import ChangeRefused


@dataclass(frozen=True, slots=True)
class VerbPage:
    """`title` has {} where the row is named; `says` tells in sentences what will happen; `form` is what is asked, made
    by `ask` of the row."""

    title: str
    says: Callable[[HttpRequest, Any], Sequence[str]]
    form: type[forms.Form] | None = None
    ask: Callable[[Any], Mapping[str, Any]] = lambda row: {}


class VerbPages:
    """Part of a ScopedAdmin some of whose verbs have a page: of each its name in `verb_pages`."""

    verb_pages: Mapping[str, VerbPage] = {}
    verbs: Sequence[Verb]
    admin_site: Any
    opts: Any
    find: Any
    allows_verb: Any

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_ask"
        view = self.admin_site.admin_view(self.verb_page_view)
        return [path("<path:object_id>/ask/<slug:verb>/", view, name=name), *super().get_urls()]  # type: ignore[misc]

    def _verbs(self, request: HttpRequest, object_id: Any) -> list[tuple[Verb, str]]:
        found: list[tuple[Verb, str]] = super()._verbs(request, object_id)  # type: ignore[misc]
        return [(verb, self._url("ask", object_id, verb.name) if verb.has_page else url) for verb, url in found]

    def verb_page_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        row = self.find(request, object_id)
        chosen = next((one for one in self.verbs if one.name == verb), None)
        if row is None or chosen is None or not chosen.has_page or not chosen.shown(row):
            raise Http404
        if not self.allows_verb(request, chosen):
            raise PermissionDenied
        return self._page(request, object_id, row, chosen)

    def verb_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        """Shows the page again where the act was refused, so that nothing typed is lost."""
        response: HttpResponse = super().verb_view(request, object_id, verb)  # type: ignore[misc]
        if not hasattr(request, "refusal"):
            return response
        chosen = next((one for one in self.verbs if one.name == verb and one.has_page), None)
        row = self.find(request, object_id)
        return self._page(request, object_id, row, chosen) if chosen and row is not None else response

    def _page(self, request: HttpRequest, object_id: str, row: Any, chosen: Verb) -> HttpResponse:
        page = self.verb_pages[chosen.name]
        form: Any = ()
        if page.form:
            posted = request.POST if request.method == "POST" else None
            form = page.form(posted, initial=dict(page.ask(row)))
        context = self.admin_site.each_context(request) | {
            "title": page.title.format(row),
            "opts": self.opts,
            "row": row,
            "label": chosen.label,
            "icon": chosen.icon,
            "lines": page.says(request, row),
            "form": form,
            "act_url": self._url("do", object_id, chosen.name),
            "back": self._url("change", object_id),
            "list_url": self._url("changelist"),
            "list_name": capfirst(str(self.opts.verbose_name_plural)),
        }
        return TemplateResponse(request, "admin/verb_page.html", context)

    def given(self, request: HttpRequest, verb: str) -> dict[str, Any]:
        """What was filled in on the verb's page. Raises ChangeRefused for what is missing."""
        form_class = self.verb_pages[verb].form
        assert form_class is not None
        form = form_class(request.POST)
        if not form.is_valid():
            raise ChangeRefused(" ".join(str(text) for texts in form.errors.values() for text in texts))
        return form.cleaned_data

    def _url(self, what: str, *arguments: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{what}", args=arguments)
