import pytest

from mailsuite.server import octets
from mailsuite.server.octets import TRIMMED_OCTETS, OctetBudget


@pytest.mark.parametrize(
    ("held", "pressed", "spent"), [(0, False, False), (75, False, False), (76, True, False), (100, True, True)]
)
def test_pressure_comes_before_the_end(held, pressed, spent):
    budget = OctetBudget(limit=100)
    budget.take(held)
    assert (budget.is_pressed, budget.is_spent) == (pressed, spent)
    budget.give(held)
    assert (budget.held, budget.is_pressed, budget.is_spent) == (0, False, False)


def test_memory_goes_back_when_much_was_held_and_is_no_longer(monkeypatch):
    trimmed = []
    monkeypatch.setattr(octets, "trim", lambda: trimmed.append(True))
    budget = OctetBudget()
    for _ in range(1000):
        # What comes and goes all the time costs no trimming.
        budget.take(4096)
        budget.give(4096)
    assert not trimmed
    for _ in range(30):
        budget.take(TRIMMED_OCTETS // 10)
    for _ in range(30):
        budget.give(TRIMMED_OCTETS // 10)
    assert len(trimmed) == 2


def test_trimming_does_no_harm():
    octets.trim()
