"""The memory of limited size, beside a list that does the same plainly."""

from hypothesis import given
from hypothesis import strategies as st

from mailsuite.bounded import Bounded, Expiring

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


def test_a_value_is_believed_until_its_moment():
    memory: Expiring[str, int] = Expiring(2)
    memory.put("zero", 0, until=10.0)
    assert (memory.get("zero", now=9.9), memory.get("zero", now=10.0), memory.get("one", now=0.0)) == (0, None, None)
    memory.put("zero", 1, until=20.0)
    assert memory.get("zero", now=10.0) == 1


def test_what_was_asked_for_longest_ago_is_forgotten_first_though_it_is_still_believed():
    memory: Expiring[str, int] = Expiring(2, max_weight=10)
    memory.put("one", 1, until=10.0)
    memory.put("two", 2, until=10.0)
    assert memory.get("one", now=0.0) == 1
    memory.put("three", 3, until=10.0)
    assert [memory.get(key, now=0.0) for key in ("one", "two", "three")] == [1, None, 3]
    memory.put("four", 4, until=10.0, weight=9)
    assert [memory.get(key, now=0.0) for key in ("one", "three", "four")] == [None, 3, 4]
