import asyncio
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue

import pytest
from django.db import connections

from mailsuite.directory.cache import CACHE
from mailsuite.directory.models import Domain, Mailbox, User
from mailsuite.provisioning import services as directory

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def one_connection(db):
    """The reader sees what the test's own transaction has written."""
    reader, connections["reader"] = connections["reader"], connections["default"]
    CACHE.clear()
    yield
    connections["reader"] = reader


@pytest.fixture
def home():
    """example.org with ann and bob, and its other name example.com; the mailboxes by local-part."""
    User.objects.create_superuser("root@localhost", PASSWORD)
    directory.add_domain("example.org", key_pairs=[])
    directory.add_domain("example.com", alias_of="example.org", key_pairs=[])
    for local_part in ("ann", "bob"):
        directory.add_mailbox(f"{local_part}@example.org", owner="root@localhost")
    return {row.address.partition("@")[0]: row for row in Mailbox.objects.all()}


@pytest.fixture
def domain(home):
    return Domain.objects.get(name="example.org")


class HereAndNow(Executor):
    """Runs what an event loop in another thread hands over in this one, whose connection and transaction are the
    test's."""

    def __init__(self):
        self.waiting = SimpleQueue()

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.waiting.put((future, fn, args, kwargs))
        return future

    async def ask(self, question, *args, **kwargs):
        """What mailsuite.database.threads.DatabaseThreads does in threads of its own."""
        return await asyncio.get_running_loop().run_in_executor(self, partial(question, *args, **kwargs))

    read = ask

    def run(self, coroutine):
        """What the coroutine returns."""
        with ThreadPoolExecutor(1) as pool:
            outcome = pool.submit(asyncio.run, coroutine)
            outcome.add_done_callback(lambda _: self.waiting.put(None))
            while work := self.waiting.get():
                future, fn, args, kwargs = work
                try:
                    future.set_result(fn(*args, **kwargs))
                except Exception as error:
                    future.set_exception(error)
            return outcome.result()


@pytest.fixture
def inline():
    return HereAndNow()
