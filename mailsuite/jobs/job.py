"""What a job is: work of an app that comes round, such as forgetting old rows or raising alarms."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum


class Lane(Enum):
    """What a job may be made to wait for, and so keep the others of its lane waiting."""

    PROMPT = "work of a moment, which people wait for"
    DNS = "other hosts, asked about our own domains, keys and lists"
    REPORTING = "other hosts, asked about those whom reports name or go to"
    READING = "reports that anybody may have written"
    CLEANING = "rows and files forgotten in slices, as many as there are"
    LEARNING = "messages read again"


@dataclass(frozen=True, slots=True)
class Job:
    """`name` is its one word in the log, the metrics, the health page and the admin. `does` says what `run` counts, in
    words that a number can stand before. `run` gets the time, works in short transactions, and returns how many things
    it did; jobs of one lane run one after the other."""

    name: str
    does: str
    every: timedelta
    run: Callable[[datetime], int]
    lane: Lane = Lane.PROMPT
