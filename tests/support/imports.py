"""The ladder of packages, and the arrows between modules as the imports of the tree draw them.

A room (package or module right below mailsuite, or smtpd_service or retrieval) may import those of its own rung and of
the rungs before it, never those behind it; and no two rooms or files import each other in a circle.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BASE = Path(__file__).resolve().parent.parent.parent
ROOTS = ("mailsuite", "smtpd_service", "retrieval")

LADDER = (
    "bounded bootstrap configuration env errors files ids mail protocol secrets sizes tls turns",
    "database mailauth resolver server",
    "jobs writer",
    "adminkit directory signing trace",
    "access store",
    "authcheck junk queue scanning screening transport_security verdict",
    "pipeline",
    "abuse provisioning records reports",
    "retrieval smtpd_service",
    "autoconfig console portal web",
    "settings supervisor",
)
# Rooms that stand for themselves: all that each may import of the others.
NARROW = {
    "adminkit": "directory errors mail protocol sizes",
    "authcheck": "mail mailauth resolver server",
    "database": "env errors files ids mail server",
    "mail": "",
    "mailauth": "mail resolver",
    "protocol": "mail",
    "resolver": "bounded mail turns",
    "scanning": "configuration mail server",
    "server": "configuration env errors files ids mail tls",
    "verdict": "authcheck mail mailauth",
    "writer": "database env errors files ids mail server",
}
RUNG = {room: number for number, rooms in enumerate(LADDER, 1) for room in rooms.split()}


class Arrow(NamedTuple):
    """One import between two rooms: the module that imports, and the module that it imports."""

    source: str
    target: str


def room_of(module: str) -> str:
    """The room of a module's dotted name: "store" for mailsuite.store.models, "retrieval" for retrieval.imap."""
    parts = module.split(".")
    return parts[1] if parts[0] == "mailsuite" and len(parts) > 1 else parts[0]


def _imported(tree: ast.AST, *, for_types: bool) -> set[str]:
    names = set()
    for node in ast.walk(tree) if for_types else _run(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in ROOTS}


def modules() -> dict[str, Path]:
    """Every module of the product by its dotted name; migrations, which stand for what once was, are left out."""
    paths = (path for root in ROOTS for path in (BASE / root).rglob("*.py") if "migrations" not in path.parts)
    return {".".join(path.relative_to(BASE).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that are more than names for a type checker."""
    yield tree
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            yield from _run(node)


def arrows(*, for_types: bool = True) -> list[Arrow]:
    """Each import of one module of the product by another, sorted, those within a room and those within functions as
    well; without `for_types` only what is imported when the program runs."""
    known = modules()
    found = set()
    for source, path in known.items():
        for name in _imported(ast.parse(path.read_text()), for_types=for_types):
            target = name if name in known else name.rpartition(".")[0]
            if target in known and target != source:
                found.add(Arrow(source, target))
    return sorted(found)


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The groups of two or more names that reach each other (Tarjan's strongly connected components), sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(edges.get(name, ())):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            groups.append(sorted(stack[at:]))
            del stack[at:]

    for name in sorted(edges):
        if name not in index:
            visit(name)
    return sorted(group for group in groups if len(group) > 1)
