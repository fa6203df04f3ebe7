"""What DNS said while one message was looked at, for its story."""

import time
from dataclasses import dataclass

from mailsuite.resolver.answers import Answer, Mx, Rdata, Resolver, Tlsa

MAX_QUESTIONS = 200
MAX_VALUES = 10
MAX_VALUE_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class TracedQuestion:
    """One answer as it was then. `status` is a Status's word; values are short text for people."""

    name: str
    rdtype: str
    status: str
    values: tuple[str, ...]
    milliseconds: float


class TracingResolver:
    """Passes questions on and remembers what came of them: each once, in their order, MAX_QUESTIONS at most."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._seen: dict[tuple[str, str], TracedQuestion] = {}

    @property
    def questions(self) -> tuple[TracedQuestion, ...]:
        return tuple(self._seen.values())

    async def query(self, name: str, rdtype: str) -> Answer:
        started = time.perf_counter()
        answer = await self._resolver.query(name, rdtype)
        key = (name.rstrip(".").lower()[:MAX_VALUE_CHARACTERS], rdtype.upper())
        if key not in self._seen and len(self._seen) < MAX_QUESTIONS:
            values = tuple(as_text(value) for value in answer.rdata[:MAX_VALUES])
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            self._seen[key] = TracedQuestion(*key, answer.status.value, values, milliseconds)
        return answer


def as_text(value: Rdata) -> str:
    """A record's value as short printable text."""
    match value:
        case Mx():
            text = f"{value.preference} {value.exchange}."
        case Tlsa():
            text = f"{value.usage} {value.selector} {value.matching_type} {value.data.hex()}"
        case bytes():
            text = value[: 2 * MAX_VALUE_CHARACTERS].decode("utf-8", "replace")
        case _:
            text = value
    if not text.isprintable():
        text = "".join(octet if octet.isprintable() else "\N{REPLACEMENT CHARACTER}" for octet in text)
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[: MAX_VALUE_CHARACTERS - 1] + "…"
