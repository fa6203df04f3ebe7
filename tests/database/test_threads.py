"""The database asked from an event loop. Questions here read nothing of ours."""

import asyncio
import threading

import pytest
from django.db import Error, connections, transaction

from mailsuite.database.threads import READER, DatabaseThreads, drop_broken, guarded

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])


@pytest.fixture(autouse=True)
def unsafe(monkeypatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def one(alias=READER):
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetchone()[0]


def lose(alias=READER):
    """What happens to a connection whose server was restarted: the next question fails."""
    connections[alias].ensure_connection()
    connections[alias].connection.close()


def use(what, **options):
    """What a coroutine function of such threads answers."""

    async def run():
        threads = DatabaseThreads("test", **{"seconds": 30.0, **options})
        try:
            return await what(threads)
        finally:
            connections[READER].close()
            threads.close()

    return asyncio.run(run())


def where():
    return threading.get_ident(), one()


def test_a_short_read_runs_at_once_where_that_is_cheaper():
    thread, answer = use(lambda threads: threads.read(where))
    assert answer == 1
    assert (thread == threading.get_ident()) is (connections[READER].vendor == "sqlite")


def test_what_is_asked_runs_aside_with_its_arguments():
    assert use(lambda threads: threads.ask(where))[0] != threading.get_ident()
    assert use(lambda threads: threads.ask(int, "11", base=2)) == 3


@pytest.mark.postgresql_only
@pytest.mark.parametrize("way", [DatabaseThreads.read, DatabaseThreads.ask])
def test_a_connection_that_broke_fails_once(way):
    async def run(threads):
        await way(threads, lose)
        with pytest.raises(Error):
            await way(threads, one)
        return await way(threads, one)

    assert use(run) == 1


@pytest.mark.postgresql_only
def test_what_is_asked_rarely_finds_a_living_connection_at_once():
    async def run(threads):
        await threads.ask(one)
        await threads.ask(lose)
        return await threads.ask(one)

    assert use(run, is_rare=True) == 1


def test_a_connection_amid_a_transaction_is_let_be():
    with transaction.atomic():
        assert one("default") == 1
        kept = connections["default"].connection
        drop_broken()
        assert connections["default"].connection is kept


def test_a_question_that_fails_says_why():
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: 1 / 0)


def test_nobody_waits_longer_than_agreed():
    held = threading.Event()

    async def run(threads):
        with pytest.raises(TimeoutError):
            await threads.ask(held.wait)
        held.set()
        return await threads.ask(one)

    assert use(run, seconds=0.3) == 1


def test_the_end_closes_the_connections_of_the_threads():
    async def run(threads):
        return await threads.ask(lambda: one() and connections[READER])

    assert use(run).connection is None
