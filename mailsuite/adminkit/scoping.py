"""Who may see and change what in the admin: the one class that every admin of ours is made from.

Superusers see all. Other staff are domain administrators: they see what hangs on the domains they administer, by the
look-ups that the class names in `scope`, and nothing else: not in lists, choices, filters, autocompletion, history,
inlines or actions, since all of these start from `get_queryset` here. Django's own permission tables play no part.

Changes go through services. What a service refuses (ChangeRefused) is shown in the form like any other mistake; the
transaction that the admin had begun is rolled back.
"""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import RelatedOnlyFieldListFilter, ShowFacets
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.admin.models import CHANGE as CHANGED
from django.contrib.admin.utils import get_model_from_relation
from django.contrib.admin.views.main import ERROR_FLAG, SEARCH_VAR
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import DataError
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from unfold.admin import ModelAdmin, TabularInline

from mailsuite.adminkit import parameters, proof
from mailsuite.directory import history
from mailsuite.directory.models import Domain, User
from mailsuite.errors import ChangeRefused
from mailsuite.mail.address import with_a_labels

VIEW, ADD, CHANGE, DELETE, ACT = "view", "add", "change", "delete", "act"
EVERYTHING = frozenset({VIEW, ADD, CHANGE, DELETE, ACT})
HISTORY_PAGE = 100


@dataclass(frozen=True, slots=True)
class Verb:
    """A button above a row's form. The admin's method `do_NAME(request, row)` does it and says what was done.

    `shown` tells whether it fits the row; `confirm` is asked first, and with `asks_password` the person's password
    where they gave it some time ago: what can't be undone, or lets somebody in. With `has_page` the button leads to a
    page first (mailsuite.adminkit.verb_pages).
    """

    name: str
    label: str
    icon: str
    confirm: str = ""
    shown: Callable[[Any], bool] = lambda row: True
    superusers_only: bool = False
    asks_password: bool = False
    has_page: bool = False


def scope_of(request: HttpRequest) -> frozenset[int] | None:
    """The ids of the domains that the person administers, with those domains' other names; None for all."""
    user = request.user
    if not isinstance(user, User) or not (user.is_active and user.is_staff):
        return frozenset()
    if user.is_superuser:
        return None
    if not hasattr(request, "_scope"):
        administered = Q(administrators=user) | Q(alias_of__administrators=user)
        live = Domain.objects.exclude(state=Domain.State.REMOVED)
        request._scope = frozenset(live.filter(administered).values_list("pk", flat=True))  # type: ignore[attr-defined]
    return request._scope  # type: ignore[attr-defined,no-any-return]


class ServiceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form that shows what a service has refused."""

    refusal = ""

    def clean(self) -> dict[str, Any] | None:
        data = super().clean()
        if self.refusal:
            raise ValidationError(self.refusal)
        return data


class ScopedFilter(RelatedOnlyFieldListFilter):
    """A filter by a related row that offers only rows which the person may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        related = get_model_from_relation(field)
        rows = model_admin.visible(request, related)
        used = model_admin.get_queryset(request).order_by().values(field.name)
        return [(row.pk, str(row)) for row in rows.filter(pk__in=used)]


class ScopedRules:
    """What ScopedAdmin and ScopedInline share."""

    # Look-ups from the model to Domain; a row is in scope when one of them leads to a domain of the person's.
    scope: Sequence[str] = ()
    superusers_may: frozenset[str] = EVERYTHING
    domain_administrators_may: frozenset[str] = frozenset()

    def in_scope(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Those of the rows that the person may know of."""
        domains = scope_of(request)
        if domains is None:
            return rows
        if not self.scope or not domains:
            return rows.none()
        condition = Q()
        for lookup in self.scope:
            condition |= Q(**{f"{lookup}__in": domains})
        # By ids, since a join over many rows would give each of them several times.
        return rows.filter(pk__in=rows.model._default_manager.filter(condition).order_by().values("pk"))

    def allows(self, request: HttpRequest, what: str) -> bool:
        domains = scope_of(request)
        if domains is None:
            return what in self.superusers_may
        return bool(domains) and what in self.domain_administrators_may

    def visible(self, request: HttpRequest, model: type[Model]) -> QuerySet[Any]:
        """The rows of any model that the person may see, by that model's own admin; none when it has no admin."""
        admin = self.admin_site._registry.get(model)  # type: ignore[attr-defined]
        if not isinstance(admin, ScopedAdmin) or not admin.allows(request, VIEW):
            return model._default_manager.none()
        return admin.get_queryset(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.in_scope(request, super().get_queryset(request))  # type: ignore[misc]

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> QuerySet[Any]:
        """The choices of a foreign key or many-to-many field."""
        rows = self.visible(request, db_field.remote_field.model)
        narrowed = super().get_field_queryset(db, db_field, request)  # type: ignore[misc]
        return rows if narrowed is None else narrowed.filter(pk__in=rows.order_by().values("pk"))


class ScopedAdmin(ScopedRules, ModelAdmin):  # type: ignore[misc]
    """`prepare` may do what takes long (hashing, making keys) before the transaction of a POST begins."""

    form = ServiceForm
    compressed_fields = True
    list_per_page = 50
    # Counts beside each choice of a filter look at the whole table, for whoever writes `_facets` into an address.
    show_facets = ShowFacets.NEVER
    actions: Sequence[Any] = ()
    verbs: Sequence[Verb] = ()
    # Of ADD, CHANGE, DELETE and ACT (for several rows at once): what asks for the password anew.
    asks_password: frozenset[str] = frozenset({DELETE, ACT})
    change_form_outer_before_template = "admin/row.html"
    list_before_template = "admin/intro.html"
    # What the list is, above it, for somebody who is no mail expert.
    intro = ""

    def prepare(self, request: HttpRequest, object_id: str | None) -> None:
        """Raises ChangeRefused to have the form shown again."""

    def changeform_view(self, request: HttpRequest, object_id: Any = None, *args: Any, **kwargs: Any) -> Any:
        request.verbs = self._verbs(request, object_id)  # type: ignore[attr-defined]
        if request.method != "POST":
            return super().changeform_view(request, object_id, *args, **kwargs)
        what = CHANGE if object_id else ADD
        if self.allows(request, what) and self.is_dangerous(request, what, object_id):
            words = "Change" if object_id else "Add"
            proof.demand(request, f"{words} {self._told(request, object_id)}.", request.path)
        try:
            self.prepare(request, object_id)
            return super().changeform_view(request, object_id, *args, **kwargs)
        except ChangeRefused as error:
            # Rolled back. Once more, with the refusal as a mistake in the form, so that nothing typed is lost.
            request.refusal = str(error)  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, *args, **kwargs)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """What forms do stands in the one history that there is; Django's own knows only accounts that it can name."""
        history.note(obj, _in_words(ADDITION, message), str(request.user))

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        history.note(obj, _in_words(CHANGED, message), str(request.user))

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        history.note_all(queryset, "Deleted.", str(request.user))

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        row = self.find(request, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[no-any-return]
        changes = Paginator(history.of(row), HISTORY_PAGE).get_page(request.GET.get("p"))
        context = self.admin_site.each_context(request) | {
            "title": f"History of {row}", "opts": self.opts, "original": row, "object": row, "changes": changes,
        }  # fmt: skip
        return TemplateResponse(request, "admin/object_history.html", context | (extra_context or {}))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        if parameters.is_too_much(request.GET.get(SEARCH_VAR, "")):
            messages.error(request, parameters.TOO_MUCH)
        # Named as in the menu, in place of Django's "Select … to view".
        named = {"title": capfirst(str(self.opts.verbose_name_plural))}
        try:
            return super().changelist_view(request, named | (extra_context or {}))
        except (OverflowError, DataError):
            # A filter's number that SQLite can't hold, a NUL that PostgreSQL can't: answered as Django answers other
            # filters that make no sense.
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """By name alone, and each once: what is not allowed is a bad request, before anything is looked up."""
        names = parameters.filter_names(self.model, tuple(self.get_list_filter(request)))
        return lookup in names and len(request.GET.getlist(lookup)) == 1

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """Rows are named by their ids and by nothing else of theirs."""
        return to_field in (self.opts.pk.name, self.opts.pk.attname)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[QuerySet[Any], bool]:
        """Lists and autocompletion search by it; a search beyond its budget finds nothing."""
        if parameters.is_too_much(search_term):
            return queryset.none(), False
        return self.search(request, queryset, search_term)

    def search(self, request: HttpRequest, rows: QuerySet[Any], words: str) -> tuple[QuerySet[Any], bool]:
        """The rows that fit the words, and whether some may be there twice. A domain is found in its own letters."""
        found, are_doubled = super().get_search_results(request, rows, words)
        if words.isascii():
            return found, are_doubled
        more, are_more_doubled = super().get_search_results(request, rows, with_a_labels(words))
        return found | more, are_doubled or are_more_doubled

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> Any:
        """Without the way to a history where nothing is ever changed, so that there is none."""
        may_act = bool(self.verbs) and self.allows(request, ACT)
        context["show_history"] = self.has_change_permission(request, kwargs.get("obj")) or may_act
        return super().render_change_form(request, context, **kwargs)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        own: Any = type(form.__name__, (form,), {"refusal": getattr(request, "refusal", ""), "request": request})
        # Fields that a form declares are one for all pages: what one page changes of them must not show on another.
        own.base_fields = deepcopy(own.base_fields)
        return own

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's own deletion, which knows no services; none for those who may only look."""
        actions: dict[str, Any] = super().get_actions(request) if self.allows(request, ACT) else {}
        actions.pop("delete_selected", None)
        return actions

    def is_dangerous(self, request: HttpRequest, what: str, object_id: str | None = None) -> bool:
        """Whether what was posted can do harm that is worth asking for the password again."""
        return what in self.asks_password

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        if request.method == "POST" and self.allows(request, DELETE) and self.is_dangerous(request, DELETE, object_id):
            proof.demand(request, f"Delete {self._told(request, object_id)}.", request.path)
        return super().delete_view(request, object_id, extra_context)

    def _told(self, request: HttpRequest, object_id: str | None) -> str:
        """What a form is about."""
        row = self.find(request, object_id) if object_id else None
        return f"{self.opts.verbose_name} {row}" if row is not None else f"a {self.opts.verbose_name}"

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Rows are chosen by their ids: what can be none is a bad request."""
        ids = request.POST.getlist(ACTION_CHECKBOX_NAME)
        try:
            for chosen in ids:
                self.opts.pk.to_python(chosen)
        except ValidationError:
            raise BadRequest("no id of a row") from None
        action = self.get_actions(request).get(request.POST.get("action", ""))
        if action and self.is_dangerous(request, ACT):
            count = "All rows of the list" if request.POST.get("select_across") == "1" else f"Rows: {len(ids)}"
            proof.demand(request, f"{action[2]}. {count}.", request.get_full_path())
        is_all = request.POST.get("select_across") == "1"
        chosen_rows = list(queryset if is_all else queryset.filter(pk__in=ids)) if action else []
        response = super().response_action(request, queryset)
        if action:
            history.note_all(chosen_rows, f"{action[2]}. One of {len(chosen_rows)} rows.", str(request.user))
        return response

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_do"
        view = self.admin_site.admin_view(self.verb_view)
        return [path("<path:object_id>/do/<slug:verb>/", view, name=name), *super().get_urls()]

    def verb_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        """Does what a button says, by POST alone, and goes back to where it was."""
        row = self.find(request, object_id)
        chosen = next((one for one in self.verbs if one.name == verb), None)
        if row is None or chosen is None:
            raise Http404
        if not self.allows_verb(request, chosen):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        if chosen.asks_password:
            proof.demand(request, f"{chosen.label}: {row}.", reverse(f"{name}_change", args=[object_id]))
        self.act(request, lambda: getattr(self, f"do_{verb}")(request, row), of=(row, chosen.label))
        page = "change" if self.find(request, object_id) else "changelist"
        arguments = [object_id] if page == "change" else []
        return HttpResponseRedirect(reverse(f"{name}_{page}", args=arguments))

    def act(self, request: HttpRequest, do: Callable[[], str | None], of: tuple[Model, str] | None = None) -> None:
        """Does something and tells the person what came of it; with the row and the button's words in `of`, the row's
        history tells it too."""
        try:
            text = do()
            if of:
                history.note(of[0], f"{of[1]}: {text}" if text else f"{of[1]}.", str(request.user))
        except ChangeRefused as error:
            request.refusal = str(error)  # type: ignore[attr-defined]
            messages.error(request, str(error))
        else:
            if text:
                messages.success(request, text)

    def allows_verb(self, request: HttpRequest, verb: Verb) -> bool:
        """Whether the person may press the button."""
        return self.allows(request, ACT) and (scope_of(request) is None or not verb.superusers_only)

    def _verbs(self, request: HttpRequest, object_id: Any) -> list[tuple[Verb, str]]:
        """The buttons of a row's page with what they post to."""
        row = self.find(request, object_id) if object_id and self.verbs else None
        if row is None:
            return []
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_do"
        return [
            (verb, reverse(name, args=[object_id, verb.name]))
            for verb in self.verbs
            if verb.shown(row) and self.allows_verb(request, verb)
        ]

    def find(self, request: HttpRequest, object_id: Any) -> Any:
        """The row, when the person may see it; None else."""
        return self.get_object(request, str(object_id))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._permits(request, VIEW, obj) or self._permits(request, CHANGE, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.allows(request, ADD)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._permits(request, CHANGE, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._permits(request, DELETE, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.allows(request, VIEW)

    def _permits(self, request: HttpRequest, what: str, obj: Any) -> bool:
        if not self.allows(request, what):
            return False
        if obj is None or scope_of(request) is None:
            return True
        return self.get_queryset(request).filter(pk=obj.pk if isinstance(obj, Model) else obj).exists()


def _in_words(flag: int, message: Any) -> str:
    """What a form has changed, as Django words it."""
    entry = LogEntry(action_flag=flag)
    entry.change_message = message if isinstance(message, str) else json.dumps(message)
    return str(entry.get_change_message())


class ScopedInline(ScopedRules, TabularInline):  # type: ignore[misc]
    """Rows below one that the person may see; with `scope`, those of them that are in it."""

    extra = 0
    tab = False

    def in_scope(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return super().in_scope(request, rows) if self.scope else rows

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.allows(request, VIEW)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.allows(request, ADD)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.allows(request, CHANGE)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.allows(request, DELETE)


class SettingsAdmin(ScopedAdmin):
    """One row, which the list's page leads to; it is made where it is missing."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        if not self.has_view_permission(request):
            return super().changelist_view(request, extra_context)
        row, _ = self.model.objects.get_or_create(pk=1)
        return HttpResponseRedirect(
            reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[row.pk])
        )

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        self.message_user(request, "Saved.", messages.SUCCESS)
        return HttpResponseRedirect(request.path)
