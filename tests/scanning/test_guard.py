"""A scanner that is slow, gone or mad: what it costs, and what becomes of the mail."""

import asyncio
import socket

import pytest

from mailsuite.configuration import OnFailure
from mailsuite.scanning import guard
from mailsuite.scanning.guard import FAILURES_IN_A_ROW, Guarded
from mailsuite.scanning.rspamd import Rspamd
from mailsuite.scanning.scanner import ScanAction, ScannerError, ScanRequest, ScanResult

REQUEST = ScanRequest(lambda: iter((b"Subject: x\r\n\r\n",)), 14)


class Scripted:
    """Answers what it is told to, the last answer again and again; counts how often it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

    async def scan(self, request):
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


JUNK = ScanResult(ScanAction.JUNK, 7)


@pytest.mark.parametrize("error", [OSError("gone"), ScannerError("nonsense"), TimeoutError(), KeyError("bug")])
@pytest.mark.parametrize(("on_failure", "action"), [(OnFailure.OPEN, "none"), (OnFailure.DEFER, "defer")])
def test_failures_open_or_defer(error, on_failure, action):
    guarded = Guarded(Scripted(error), timeout_seconds=1, on_failure=on_failure)
    result = asyncio.run(guarded.scan(REQUEST))
    assert result.action == action
    assert result.reason.startswith("the scanner could not be asked: ")


@pytest.mark.parametrize(("on_failure", "action"), [(OnFailure.OPEN, "none"), (OnFailure.DEFER, "defer")])
def test_a_server_that_says_nothing_costs_the_time_limit(on_failure, action):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        scanner = Rspamd("127.0.0.1", silent.getsockname()[1], hostname="mx.example.org")
        result = asyncio.run(Guarded(scanner, timeout_seconds=0.05, on_failure=on_failure).scan(REQUEST))
    assert result.action == action
    assert "within 0.05 seconds" in result.reason


def test_a_server_that_is_gone_is_left_alone_for_a_while_and_tried_again():
    scripted = Scripted(*[ConnectionRefusedError("gone")] * FAILURES_IN_A_ROW, JUNK)
    guarded = Guarded(scripted, timeout_seconds=1, on_failure=OnFailure.OPEN)

    async def talk():
        for _ in range(FAILURES_IN_A_ROW + 50):
            assert (await guarded.scan(REQUEST)).action is ScanAction.NONE
        assert scripted.asked == FAILURES_IN_A_ROW
        guarded._paused_until = 0.0
        assert await guarded.scan(REQUEST) == JUNK
        assert await guarded.scan(REQUEST) == JUNK

    asyncio.run(talk())


def test_pauses_grow():
    scripted = Scripted(ConnectionRefusedError("gone"))
    guarded = Guarded(scripted, timeout_seconds=1, on_failure=OnFailure.OPEN)

    async def talk():
        pauses = []
        for _ in range(FAILURES_IN_A_ROW + 8):
            guarded._paused_until = 0.0
            await guarded.scan(REQUEST)
            pauses.append(guarded._pause)
        return pauses

    assert asyncio.run(talk()) == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_so_many_at_once(monkeypatch):
    monkeypatch.setattr(guard, "AT_ONCE", 3)
    now, most = 0, 0

    class Slow:
        async def scan(self, request):
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            return JUNK

    async def talk():
        guarded = Guarded(Slow(), timeout_seconds=5, on_failure=OnFailure.OPEN)
        return await asyncio.gather(*(guarded.scan(REQUEST) for _ in range(30)))

    assert asyncio.run(talk()) == [JUNK] * 30
    assert most == 3
