"""One message's view of the resolver: each question asked once, many at once, and all of them kept for the story."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from mailsuite.authcheck.report import Question
from mailsuite.resolver.answers import Answer, Resolver, Status, as_text

logger = logging.getLogger(__name__)

# A story is read by people; a hostile message may ask hundreds.
MAX_QUESTIONS = 100
MAX_VALUES = 10

_REFUSED = Answer(Status.TEMPERROR)


def _nothing(name: str, rdtype: str) -> Answer | None:
    """What resolvers remember that remember nothing."""
    return None


class Questions:
    """A Resolver for one message. What is asked beyond `limit` different questions is TEMPERROR."""

    def __init__(self, resolver: Resolver, limit: int = 200) -> None:
        self._resolver, self._limit = resolver, limit
        # What most messages ask is remembered: then nobody has to wait, and no task is made for it.
        self._remembered: Callable[[str, str], Answer | None] = getattr(resolver, "remembered", _nothing)
        self._answers: dict[tuple[str, str], Answer | asyncio.Future[Answer]] = {}
        self._asked: list[Question] = []
        self._tasks: list[asyncio.Task[Answer]] = []

    async def query(self, name: str, rdtype: str) -> Answer:
        key = (name.rstrip(".").lower(), rdtype)
        known = self._answers.get(key)
        if known is None:
            if len(self._answers) >= self._limit:
                return _REFUSED
            if answer := self._remembered(*key):
                return self._note(key, answer, time.perf_counter())
            return await self._ask(key, self._promise(key))
        # One asker who gives up must not take the answer from another.
        return known if isinstance(known, Answer) else await asyncio.shield(known)

    def foresee(self, questions: Iterable[tuple[str, str]]) -> None:
        """Begin to ask what will be asked, all at once."""
        for name, rdtype in questions:
            key = (name.rstrip(".").lower(), rdtype)
            if key in self._answers or len(self._answers) >= self._limit:
                continue
            if answer := self._remembered(*key):
                self._note(key, answer, time.perf_counter())
            else:
                self._tasks.append(asyncio.create_task(self._ask(key, self._promise(key))))

    def cancel(self) -> None:
        """Wait for nothing more of what was foreseen."""
        for task in self._tasks:
            task.cancel()

    @property
    def asked(self) -> tuple[Question, ...]:
        """What was answered so far, in that order."""
        return tuple(self._asked)

    def _promise(self, key: tuple[str, str]) -> asyncio.Future[Answer]:
        promise: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[key] = promise
        return promise

    async def _ask(self, key: tuple[str, str], promise: asyncio.Future[Answer]) -> Answer:
        began, answer = time.perf_counter(), _REFUSED
        try:
            answer = await self._resolver.query(*key)
        except Exception:
            logger.exception("looking up %s %s failed", *key)
        finally:
            self._note(key, answer, began)
            if not promise.done():
                promise.set_result(answer)
        return answer

    def _note(self, key: tuple[str, str], answer: Answer, began: float) -> Answer:
        self._answers[key] = answer
        if len(self._asked) < MAX_QUESTIONS:
            values = tuple(as_text(value) for value in answer.rdata[:MAX_VALUES])
            took = round((time.perf_counter() - began) * 1000, 2)
            self._asked.append(Question(*key, answer.status.value, values, took))
        return answer
