"""What may be written into an address of the admin: nothing that reads a column which the page does not show, nothing
that a database chews on."""

import re

import pytest
from django.contrib import admin
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.messages.storage.cookie import CookieStorage
from django.db import connection
from django.db.models import CharField, Field, TextField
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mailsuite.adminkit import parameters
from mailsuite.adminkit.scoping import ScopedAdmin
from mailsuite.directory.models import Domain, Mailbox, User
from mailsuite.provisioning import services

LOOKUPS = sorted({*Field.get_lookups(), *CharField.get_lookups(), *TextField.get_lookups(), "year__gte", "date"})
# Those that the filters of our lists write, to the end of a path; nothing else may follow a field's name.
WRITTEN = re.compile(r"^\w+?(__id)?__(exact|isnull|gte|lt)$|^[a-z]+$")
NAMES = ("password__startswith", "pk__regex", "id__iregex", "mailboxes__user__password__contains", "data__contains")


@pytest.fixture
def people(as_domain_administrator, everything, superuser):
    return [User.objects.get(email="boss@localhost"), superuser]


def url_of(model, page="changelist"):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}")


def asked_by(user, query=()):
    request = RequestFactory().get("/", dict(query))
    request.user = user
    request._messages = CookieStorage(request)
    return request


def changelist(model, user, **query):
    return admin.site._registry[model].get_changelist_instance(asked_by(user, query))


def paths(model, depth=2, prefix=""):
    """Every field of the model, and those of related models some steps away, by their look-ups' names."""
    for field in model._meta.get_fields():
        yield f"{prefix}{field.name}"
        if field.related_model and depth:
            yield from paths(field.related_model, depth - 1, f"{prefix}{field.name}__")


def test_every_admin_is_made_from_the_base_class():
    assert [one for one in admin.site._registry.values() if not isinstance(one, ScopedAdmin)] == []


def test_no_field_can_be_looked_up_but_as_the_filters_do():
    asked = 0
    for model, one in admin.site._registry.items():
        allowed = parameters.filter_names(model, tuple(one.list_filter))
        assert all(WRITTEN.match(name) for name in allowed)
        for user in (User(is_staff=True), User(is_staff=True, is_superuser=True)):
            request = asked_by(user)
            for path in {*paths(model), "pk", "password", "data"}:
                names = {path, *(f"{path}__{lookup}" for lookup in LOOKUPS)} - allowed
                assert not any(one.lookup_allowed(name, "a", request) for name in names), (model, path)
                asked += len(names)
    assert asked > 100_000


def test_what_is_allowed_is_what_the_filters_read(people):
    """So that nothing is left for Django to look up, and nothing refused that a page offers."""
    for model, one in admin.site._registry.items():
        request = asked_by(people[1])
        read = set()
        for spec in one.list_filter:
            column = {} if isinstance(spec, type) else {"field_path": spec if isinstance(spec, str) else spec[0]}
            if not column:
                read |= {spec.parameter_name}
                continue
            field = parameters.get_fields_from_path(model, column["field_path"])[-1]
            make = admin.FieldListFilter.create if isinstance(spec, str) else spec[1]
            read |= set(make(field, request, {}, model, one, **column).expected_parameters()) - (
                set() if field.null else {f"{column['field_path']}__isnull"}
            )
        assert read == parameters.filter_names(model, tuple(one.list_filter)), model


def test_what_is_not_declared_is_refused_before_the_database_is_asked(people):
    for user in people:
        for model in admin.site._registry:
            for name in NAMES:
                with CaptureQueriesContext(connection) as queries, pytest.raises(DisallowedModelAdminLookup):
                    changelist(model, user, **{name: "(a+)+$"})
                assert not any("a+)" in query["sql"] for query in queries), (model, name)


def test_over_the_web_it_is_a_bad_request(as_domain_administrator):
    for name in NAMES:
        answer = as_domain_administrator.get(url_of(User), {name: "argon2"})
        assert answer.status_code == 400 and b"ann@mine.example" not in answer.content
    many = "&".join(f"domain__id__exact={number}" for number in range(300))
    assert as_domain_administrator.get(f"{url_of(Mailbox)}?{many}").status_code == 400


def test_a_search_has_a_budget(people, as_superuser):
    """Of 1,200 words SQLite refused the expression: each was a condition on every column."""
    for words in ("a " * 1200, "a\0b", '"%_\\' * 20, "a " * parameters.MOST_WORDS):
        for model, one in admin.site._registry.items():
            if one.search_fields:
                with CaptureQueriesContext(connection) as queries:
                    list(changelist(model, people[0], q=words).result_list)
                most = parameters.MOST_WORDS * (len(one.search_fields) + 3)
                assert all(query["sql"].count(" LIKE ") <= most for query in queries)
        query = {"app_label": "abuse", "model_name": "sendingcap", "field_name": "mailbox", "term": words}
        assert as_superuser.get(reverse("admin:autocomplete"), query).status_code == 200
    assert b"Search for less" in as_superuser.get(url_of(Mailbox), {"q": "a " * 1200}).content


def test_a_domain_is_found_in_its_own_letters(people):
    services.add_domain("bücher.example")
    services.add_mailbox("ann@bücher.example", "a good enough password")
    for words in ("BÜCHER.example", "@bücher.example", "ann bücher.example"):
        assert changelist(Mailbox, people[1], q=words).result_count == 1, words
    assert changelist(Domain, people[1], q="bücher.example").result_count == 1


def test_a_search_reaches_no_column_that_is_not_shown(people):
    """A word that only columns outside of the search fields hold finds nothing."""
    for model, one in admin.site._registry.items():
        searched = {name.partition("__")[0] for name in one.search_fields}
        for field in model._meta.fields:
            is_text = isinstance(field, CharField | TextField) and not (field.unique or field.choices)
            if is_text and field.name not in searched and (field.max_length or 99) >= 8 and model.__name__ != "Story":
                model.objects.update(**{field.name: "zzhidden"})
    for model, one in admin.site._registry.items():
        if one.search_fields:
            assert changelist(model, people[0], q="zzhidden").result_count == 0, model


def test_rows_are_named_by_their_ids_alone(people, as_domain_administrator):
    for model, one in admin.site._registry.items():
        allowed = [field.name for field in model._meta.fields if one.to_field_allowed(asked_by(people[1]), field.name)]
        assert allowed == [model._meta.pk.name]
    answer = as_domain_administrator.get(url_of(User), {"_to_field": "password", "_popup": "1"})
    assert answer.status_code == 400


def test_the_order_is_by_columns_that_the_list_has(people):
    for order in ("password.-2.-99.x", "1." * 1500):
        for model in admin.site._registry:
            with CaptureQueriesContext(connection) as queries:
                list(changelist(model, people[1], o=order).result_list)
            assert not any(re.search(r"ORDER BY.*(password|digest|private_key)", query["sql"]) for query in queries)


def test_other_parameters_cost_nothing_more(people):
    for query in ({"_facets": "True"}, {"p": "9" * 40}, {"p": "-1"}, {"p": "x"}, {"all": "1"}):
        for model in admin.site._registry:
            with CaptureQueriesContext(connection) as queries:
                try:
                    assert not changelist(model, people[1], **query).add_facets
                except IncorrectLookupParameters:
                    assert "p" in query
            # The person's domains, the choices of filters, two counts, the rows.
            assert len(queries) <= 12


def test_actions_take_ids_alone(as_superuser, everything):
    for model, one in admin.site._registry.items():
        for action in one.actions[:1]:
            before = model.objects.count()
            for chosen in ("x", "1 OR 1=1", "\0"):
                form = {"action": action, "_selected_action": chosen, "select_across": "1", "index": "0"}
                assert as_superuser.post(url_of(model), form).status_code == 400
            form = {"action": action, "_selected_action": "1", "index": "0"}
            assert as_superuser.post(f"{url_of(model)}?pk__regex=(a%2B)%2B$", form).status_code == 400
            assert as_superuser.post(url_of(model), form | {"_selected_action": "9" * 40}).status_code == 302
            assert model.objects.count() == before
