"""Hand-written SQL of the hot path, made from the models' own metadata, the same on both databases.

The ORM's bulk_create costs more than the inserts themselves, its bulk_update many times as much; `Insert` and `Update`
prepare one statement each and run it by executemany. Values are given in the order of the names; datetimes must be
adapted by `timestamp`. A QuerySet is built for ten times as long as the database takes to answer it: `Select` is for
the questions that every message asks.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar, cast

from django.db import connections
from django.db.models import Model
from msgspec import Struct
from msgspec.structs import astuple

R = TypeVar("R", bound=tuple[Any, ...])

SLICE = 500  # parameters in one IN list: below every limit of both databases


class Insert:
    """INSERT of whole rows of `model`, which are tuples with a value for each of the fields `names`, or in the place of
    a name that `spread` has a value of that type, whose fields stand for columns; every other column must be nullable,
    since the databases know no defaults."""

    def __init__(self, model: type[Model], names: Sequence[str], spread: Mapping[str, type[Struct]]) -> None:
        self._model = model
        self._names = [one for name in names for one in (_fields(spread[name]) if name in spread else (name,))]
        self._spread = [name in spread for name in names] if spread else []

    @cached_property
    def _sql(self) -> str:
        meta = self._model._meta
        given = [meta.get_field(name) for name in self._names]
        others = [f for f in meta.concrete_fields if f not in given and not f.null and not f.primary_key]
        assert not others, f"{meta.label} needs {[f.name for f in others]}"
        columns = ", ".join(f'"{field.column}"' for field in given)  # type: ignore[union-attr]
        return f'INSERT INTO "{meta.db_table}" ({columns}) VALUES ({", ".join(["%s"] * len(given))})'

    def run(self, cursor: Any, rows: Sequence[Sequence[object]]) -> None:
        """Insert the rows, all by one prepared statement; none is no statement at all."""
        if rows:
            cursor.executemany(self._sql, [self._flat(row) for row in rows] if self._spread else rows)

    def _flat(self, row: Sequence[object]) -> list[object]:
        values: list[object] = []
        for value, is_spread in zip(row, self._spread, strict=True):
            values.extend(map(_adapted, astuple(cast(Struct, value))) if is_spread else (value,))
        return values


def _fields(kind: type[Struct]) -> tuple[str, ...]:
    return kind.__struct_fields__


def _adapted(value: object) -> object:
    return timestamp()(value) if isinstance(value, datetime) else value


INSERTS: dict[type[Any], Insert] = {}


def row_of(model: type[Model], **spread: type[Struct]) -> Callable[[type[R]], type[R]]:
    """Decorates a NamedTuple whose fields are named as the model's are, so that a batch can insert rows of it. A field
    named in `spread` holds a value of that type, each field of which is a column of its own."""

    def note(row: type[R]) -> type[R]:
        INSERTS[row] = Insert(model, row._fields, spread)  # type: ignore[attr-defined]
        return row

    return note


class Update:
    """UPDATE of one row each of `model`: the fields `names`, where `condition` holds. A row to run with has a value for
    each name, then one for each placeholder of the condition."""

    def __init__(self, model: type[Model], *names: str, condition: str = "id = %s") -> None:
        self._model, self._names, self._condition = model, names, condition

    @cached_property
    def _sql(self) -> str:
        meta = self._model._meta
        columns = ", ".join(f'"{meta.get_field(name).column}" = %s' for name in self._names)  # type: ignore[union-attr]
        return f'UPDATE "{meta.db_table}" SET {columns} WHERE {self._condition}'

    def run(self, cursor: Any, rows: Sequence[Sequence[object]]) -> None:
        """Update a row for each of `rows`, all by one prepared statement; none is no statement at all."""
        if rows:
            cursor.executemany(self._sql, rows)


class Select:
    """SELECT of the fields `names`, read by the `reader` alias."""

    def __init__(self, model: type[Model], *names: str) -> None:
        self._model, self._names = model, names

    @cached_property
    def _fields(self) -> Sequence[Any]:
        return [self._model._meta.get_field(name) for name in self._names]

    @cached_property
    def _sql(self) -> str:
        columns = ", ".join(f'"{field.column}"' for field in self._fields)
        return f'SELECT {columns} FROM "{self._model._meta.db_table}" WHERE '

    def rows(self, condition: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """The fields of each row where the condition holds, whose placeholders stand for the values."""
        with connections["reader"].cursor() as cursor:
            cursor.execute(self._sql + condition, values)
            found: Sequence[Sequence[Any]] = cursor.fetchall()
        return self._converted(found) if found else ()

    def _converted(self, rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """What the drivers gave as what the fields say it is: SQLite has no datetimes."""
        if self._is_plain:
            return rows
        compiler, converters = self._conversion()
        return [tuple(row) for row in compiler.apply_converters(rows, converters)]

    @cached_property
    def _is_plain(self) -> bool:
        return not self._conversion()[1]

    def _conversion(self) -> tuple[Any, Any]:
        # Anew each time: it holds the thread's own connection.
        compiler = self._model._default_manager.using("reader").query.get_compiler("reader")
        columns = [field.get_col(self._model._meta.db_table) for field in self._fields]
        return compiler, compiler.get_converters(columns)


def timestamp(using: str = "default") -> Callable[[datetime | None], Any]:
    """The function that makes a datetime what this database's driver takes."""
    return connections[using].ops.adapt_datetimefield_value


def for_update(using: str = "default") -> str:
    """` FOR UPDATE` where rows can be locked; SQLite's IMMEDIATE transaction has locked everything already."""
    return " FOR UPDATE" if connections[using].features.has_select_for_update else ""


def placeholders(values: Sequence[object]) -> str:
    """Return a placeholder for each of the values, for the inside of IN (…)."""
    return ", ".join(["%s"] * len(values))


def slices(values: Sequence[Any], size: int = SLICE) -> Iterable[Sequence[Any]]:
    """Yield the values in their order, at most `size` at a time, so that each fits into one statement."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
