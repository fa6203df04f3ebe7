import pytest

from mailsuite.server.octets import OctetBudget


@pytest.mark.parametrize(
    ("held", "pressed", "spent"), [(0, False, False), (75, False, False), (76, True, False), (100, True, True)]
)
def test_pressure_comes_before_the_end(held, pressed, spent):
    budget = OctetBudget(limit=100)
    budget.take(held)
    assert (budget.is_pressed, budget.is_spent) == (pressed, spent)
    budget.give(held)
    assert (budget.held, budget.is_pressed, budget.is_spent) == (0, False, False)
