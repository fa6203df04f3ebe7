"""What the admin's first page says needs attention; the same trouble of many is one notice."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

NAMED = 3


@dataclass(frozen=True, slots=True)
class Several:
    """How a notice reads where it is one of many: `text` holds {count} and {names}, and is the same for all that belong
    together; `url` is the list of them. `name` is what this one is about. What one search found is of one `kind`,
    though texts differ."""

    name: str
    text: str
    url: str
    action: str = "See them"
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that needs attention; `tone` is bad or waiting. `button` mends it at once: what it says, what it posts
    to and what is asked first."""

    tone: str
    text: str
    url: str
    action: str
    button: tuple[str, str, str] | None = None
    several: Several | None = None


def joined(notices: Iterable[Notice], most: int) -> list[Notice]:
    """The notices in their order, those that belong together as one where the first of them was. Of each kind `most`
    were looked for: where as many were found, each count is "or more"."""
    groups: dict[object, list[Notice]] = {}
    kinds: Counter[tuple[str, str]] = Counter()
    for notice in notices:
        key = (notice.tone, notice.several.text) if notice.several else notice
        groups.setdefault(key, []).append(notice)
        kinds[_kind(notice)] += 1
    return [_one(group, is_cut=kinds[_kind(group[0])] >= most) for group in groups.values()]


def _kind(notice: Notice) -> tuple[str, str]:
    several = notice.several
    return notice.tone, several.kind or several.text if several else ""


def _one(group: list[Notice], *, is_cut: bool) -> Notice:
    first, several = group[0], group[0].several
    if len(group) == 1 or several is None:
        return first
    count = f"{len(group)}{' or more' if is_cut else ''}"
    names = [one.several.name for one in group if one.several]
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    text = several.text.replace("{count}", count).replace("{names}", ", ".join(names[:NAMED]) + rest)
    return Notice(first.tone, text, several.url, several.action)
