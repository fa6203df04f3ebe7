"""The memory of limited size, beside a list that does the same plainly."""

from hypothesis import given
from hypothesis import strategies as st

from mailsuite.bounded import Bounded

STEPS = st.lists(st.tuples(st.sampled_from(["put", "use", "get", "pop"]), st.integers(0, 5), st.integers(1, 4)))


@given(STEPS)
def test_what_was_used_longest_ago_makes_room(steps):
    memory: Bounded[int, int] = Bounded(3, max_weight=7)
    plain: list[tuple[int, int]] = []  # (key, weight), the next to make room first
    for what, key, weight in steps:
        had = next((entry for entry in plain if entry[0] == key), None)
        if what == "put":
            memory.put(key, weight, weight)
            plain = [entry for entry in plain if entry[0] != key] + [(key, weight)]
            while len(plain) > 3 or sum(weight for _, weight in plain) > 7:
                plain.pop(0)
        else:
            assert getattr(memory, what)(key) == (had[1] if had else None)
            if had and what != "get":
                plain.remove(had)
                plain += [had] if what == "use" else []
        assert [(key, memory.get(key)) for key in memory] == plain and len(memory) == len(plain)


def test_what_weighs_too_much_by_itself_is_not_kept():
    memory: Bounded[str, str] = Bounded(3, max_weight=7)
    memory.put("small", "x")
    memory.put("huge", "y", 8)
    assert len(memory) == 0 and "huge" not in memory
    memory.put("small", "x")
    memory.clear()
    assert "small" not in memory
