"""What a start says while the database is changed."""

import io
import sys
from threading import Event

import pytest

from mailsuite.supervisor import progress
from mailsuite.supervisor.progress import Progress

MIGRATING = ("Operations to perform:\n", "  Applying a.0001...", " OK\n", "  Applying a.0002_b...")


class Out(io.StringIO):
    """`is_terminal` or a log; `has_told` is set when a line with seconds has come."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal, self.has_told = is_terminal, Event()

    def isatty(self) -> bool:
        return self.is_terminal

    def write(self, text: str) -> int:
        if text.endswith(" s"):
            self.has_told.set()
        return super().write(text)


@pytest.fixture
def make_out(monkeypatch):
    def make(is_terminal: bool) -> Out:
        out = Out(is_terminal)
        monkeypatch.setattr(sys, "stdout", out)
        return out

    return make


@pytest.mark.parametrize(
    ("is_terminal", "said"),
    [
        (False, "Making it\nMaking it: step 2 of 2, a.0002_b, 31 s\n"),
        (True, "Making it\rMaking it: step 2 of 2, 0 s\rMaking it: step 2 of 2, 31 s\n"),
    ],
)
def test_it_says_the_step_and_for_how_long(make_out, is_terminal, said):
    out = make_out(is_terminal)
    with Progress("Making it", 2) as it:
        for part in MIGRATING:
            it.write(part)
        it.say(31)
    assert out.getvalue() == said


def test_what_has_no_steps_says_the_seconds(make_out):
    out = make_out(False)
    with Progress("Copying it") as it:
        it.say(12)
    assert out.getvalue() == "Copying it\nCopying it: 12 s\n"


@pytest.mark.parametrize("is_terminal", [False, True])
def test_it_says_so_by_itself_while_one_step_takes_long(make_out, monkeypatch, is_terminal):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.01)
    monkeypatch.setattr(progress, "TERMINAL_SECONDS", 0.01)
    out = make_out(is_terminal)
    with Progress("Making it", 1):
        assert out.has_told.wait(60)
