"""Imports point up the ladder of rooms, and nothing imports in a circle."""

from collections import defaultdict

import pytest

from tests.support.imports import NARROW, RUNG, arrows, circles, room_of
from tests.support.ladder_picture import PICTURE, draw


@pytest.fixture(scope="module")
def drawn():
    return [arrow for arrow in arrows() if arrow.target != "mailsuite"]


def test_every_room_has_its_rung(drawn):
    assert {room_of(module) for arrow in drawn for module in arrow} - RUNG.keys() == set()


def test_no_room_imports_one_behind_it(drawn):
    rooms = [(arrow, room_of(arrow.source), room_of(arrow.target)) for arrow in drawn]
    wrong = [arrow for arrow, of, to in rooms if RUNG[to] > RUNG[of]]
    assert wrong == []


def test_rooms_that_stand_for_themselves_import_no_more_than_is_listed(drawn):
    rooms = [(arrow, room_of(arrow.source), room_of(arrow.target)) for arrow in drawn]
    wrong = [arrow for arrow, of, to in rooms if of in NARROW and to not in (of, *NARROW[of].split())]
    assert wrong == []


def test_the_two_services_know_nothing_of_each_other(drawn):
    assert [
        arrow for arrow in drawn if {room_of(arrow.source), room_of(arrow.target)} == {"retrieval", "smtpd_service"}
    ] == []


def test_circles_are_found():
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set()}
    assert circles(edges) == [["a", "b", "c"]]


def test_no_room_imports_itself_through_others(drawn):
    edges = defaultdict(set)
    for source, target in drawn:
        of, to = room_of(source), room_of(target)
        if of != to:
            edges[of].add(to)
    assert circles(edges) == []


def test_no_file_imports_itself_through_others():
    edges = defaultdict(set)
    for source, target in arrows(for_types=False):
        edges[source].add(target)
    assert circles(edges) == []


def test_the_picture_shows_the_imports_as_they_are():
    assert PICTURE.read_text() == draw(), "draw it anew: python3 -m tests.support.ladder_picture"
