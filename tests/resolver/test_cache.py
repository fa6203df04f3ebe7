import pytest

from mailsuite.resolver.answers import Answer, Mx, Status, Tlsa
from mailsuite.resolver.cache import AnswerCache

A, B, C = (("a.test", "TXT"), ("b.test", "TXT"), ("c.test", "TXT"))


def said(*values, ttl=60):
    return Answer(Status.OK, values, ttl)


def test_answers_are_kept_for_their_ttl():
    cache = AnswerCache()
    cache.put(A, said(b"x", ttl=60), 1000)
    assert cache.get(A, 1059.9) == said(b"x", ttl=60)
    assert cache.get(A, 1060) is None
    assert cache.get(("a.test", "MX"), 1000) is None


def test_the_least_asked_for_goes_first():
    cache = AnswerCache(max_entries=2)
    cache.put(A, said(b"1"), 0)
    cache.put(B, said(b"2"), 0)
    cache.get(A, 1)
    cache.put(C, said(b"3"), 2)
    assert [cache.get(key, 3) is not None for key in (A, B, C)] == [True, False, True]


@pytest.mark.parametrize("value", [b"x" * 5000, "x" * 5000, Mx(1, "x" * 5000), Tlsa(3, 1, 1, b"x" * 5000)])
def test_large_answers_push_out_the_others(value):
    cache = AnswerCache(max_octets=12_000)
    for key in (A, B, C):
        cache.put(key, said(value), 0)
    assert [cache.get(key, 1) is not None for key in (A, B, C)] == [False, True, True]


def test_an_answer_in_the_place_of_another_frees_its_room():
    cache = AnswerCache(max_octets=12_000)
    cache.put(B, said(b"x" * 5000), 0)
    for _ in range(10):
        cache.put(A, said(b"x" * 5000), 0)
    assert cache.get(A, 1) and cache.get(B, 1)


def test_what_is_larger_than_all_room_is_not_kept():
    cache = AnswerCache(max_octets=1000)
    cache.put(A, said(b"x"), 0)
    cache.put(B, said(b"x" * 2000), 0)
    assert cache.get(B, 1) is None
    cache.put(A, said(b"x"), 1)
    assert cache.get(A, 2)
