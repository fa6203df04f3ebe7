"""What a person may write into the address of a list in the admin: the names that its own filters write, and words to
search for within a budget.

Django itself lets every field of the list's model through, with every look-up: `?password__startswith=` would tell a
hash character by character to whoever may see the row, and `__regex` runs Python's backtracking matcher in SQLite, for
as long as the pattern likes.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.utils import get_fields_from_path
from django.core.exceptions import ImproperlyConfigured
from django.db.models import BooleanField, DateField, Model, QuerySet
from django.http import HttpRequest

# Each word is a condition on every column that is searched.
MOST_WORDS = 10
LONGEST_SEARCH = 200
TOO_MUCH = f"Search for less: at most {MOST_WORDS} words, of {LONGEST_SEARCH} characters together."


class WordFilter(SimpleListFilter):
    """A filter by a column of words, of which it offers those in `words`: Django's own would look through the whole
    table for them. `parameter_name` is the column."""

    words: Sequence[str] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(word, word) for word in self.words]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


@lru_cache(maxsize=256)
def filter_names(model: type[Model], filters: tuple[Any, ...]) -> frozenset[str]:
    """The parameters that the filters of a list (its `list_filter`) write into addresses.

    Raises ImproperlyConfigured for a filter whose parameters are not known here.
    """
    return frozenset(name for one in filters for name in _names(model, one))


def is_too_much(words: str) -> bool:
    """Whether a search would cost more than anybody needs, or is none that a database takes."""
    return len(words) > LONGEST_SEARCH or len(words.split()) > MOST_WORDS or "\0" in words


def _names(model: type[Model], one: Any) -> Iterable[str]:
    if isinstance(one, type) and issubclass(one, SimpleListFilter):
        return [str(one.parameter_name)]
    path: str = one[0] if isinstance(one, tuple | list) else one
    field: Any = get_fields_from_path(model, path)[-1]
    empty = [f"{path}__isnull"] if field.null else []
    if field.remote_field:
        return [f"{path}__{field.target_field.name}__exact", *empty]
    if field.choices or isinstance(field, BooleanField):
        return [f"{path}__exact", *empty]
    if isinstance(field, DateField):
        return [f"{path}__gte", f"{path}__lt", *empty]
    raise ImproperlyConfigured(f"{model.__name__}: {path} is no field that a list can be filtered by.")
