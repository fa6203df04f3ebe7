"""Bars for an inline SVG: each day's counts on top of one another. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

WIDTH = 720
HEIGHT = 140
LABELS = 8


@dataclass(frozen=True, slots=True)
class Kind:
    """What is counted: `tone` is accepted, deferred or refused, as the overview colours them."""

    name: str
    tone: str


@dataclass(frozen=True, slots=True)
class Part:
    tone: str
    y: str
    height: str


@dataclass(frozen=True, slots=True)
class Bar:
    x: str
    title: str
    label: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """`bar_width` leaves a gap to the next; `is_empty` when there is nothing to show."""

    bars: tuple[Bar, ...]
    bar_width: str
    kinds: tuple[tuple[Kind, int], ...]
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def is_empty(self) -> bool:
        return not any(bar.parts for bar in self.bars)


def stacked(counts: Mapping[date, Sequence[int]], kinds: Sequence[Kind], last: date, days: int) -> Chart:
    """The chart of so many days up to `last`, from the counts of each kind by day."""
    none = (0,) * len(kinds)
    shown = [last - timedelta(days=back) for back in range(days - 1, -1, -1)]
    highest = max((sum(counts.get(day, none)) for day in shown), default=0) or 1
    step, every = WIDTH / days, -(-days // LABELS)
    bars = tuple(
        Bar(
            x=f"{at * step:.2f}",
            title=f"{day:%-d %B}: "
            + ", ".join(f"{count:,} {kind.name}" for kind, count in zip(kinds, counts.get(day, none), strict=True)),
            label=f"{day:%-d %b}" if at % every == 0 else "",
            parts=_parts(counts.get(day, none), kinds, highest),
        )
        for at, day in enumerate(shown)
    )
    totals = tuple((kind, sum(counts.get(day, none)[at] for day in shown)) for at, kind in enumerate(kinds))
    return Chart(bars, f"{step * 0.8:.2f}", totals)


def _parts(counts: Sequence[int], kinds: Sequence[Kind], highest: int) -> tuple[Part, ...]:
    top, parts = float(HEIGHT), []
    for kind, count in zip(kinds, counts, strict=True):
        # What is there at all can be seen.
        height = max(count * HEIGHT / highest, 1.0) if count else 0.0
        top -= height
        if height:
            parts.append(Part(kind.tone, f"{max(top, 0):.2f}", f"{height:.2f}"))
    return tuple(parts)
