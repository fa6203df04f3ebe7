"""The memory of a process has bounds, by number and by what is large."""

from mailsuite.directory import cache
from mailsuite.directory.cache import DirectoryCache


def loads(memory, key, weight):
    """Whether the answer had to be loaded."""
    asked = []
    memory.get(key, lambda: asked.append(key) or key, weigh=lambda value: weight)
    return bool(asked)


def test_large_answers_make_room_for_newer_ones(monkeypatch):
    monkeypatch.setattr(cache, "MAX_WEIGHT", 100)
    memory = DirectoryCache(version=lambda: 1)
    assert [loads(memory, key, 40) for key in "abab"] == [True, True, False, False]
    assert [loads(memory, key, 40) for key in "cba"] == [True, False, True]
    assert loads(memory, "huge", 1000) and loads(memory, "huge", 1000)
    assert [loads(memory, f"small{number}", 1) for number in range(100)] == [True] * 100
    assert not any(loads(memory, f"small{number}", 1) for number in range(100))


def test_an_answer_that_is_loaded_anew_weighs_once(monkeypatch):
    monkeypatch.setattr(cache, "MAX_WEIGHT", 100)
    version, now = [1], [0.0]
    memory = DirectoryCache(version=lambda: version[0], clock=lambda: now[0])
    for version[0] in range(10):
        assert loads(memory, "a", 60)
    asked = []
    for now[0] in range(0, 100, 10):
        memory.get("unknown", lambda: asked.append(1), is_unknown=lambda value: True, weigh=lambda value: 30)
    assert len(asked) == 10
    assert not loads(memory, "a", 60)


def test_so_many_answers_are_remembered(monkeypatch):
    monkeypatch.setattr(cache, "MAX_ENTRIES", 3)
    memory = DirectoryCache(version=lambda: 1)
    assert [loads(memory, key, 1) for key in "abcdbcd"] == [True] * 4 + [False] * 3
    assert loads(memory, "a", 1)
