"""An app adds an operation in files of its own, and the service that runs it knows nothing of the app."""

import os
import subprocess
import sys
from pathlib import Path

import greeting_app
import pytest
import store_process
from greeting_app import Greet
from store_process import Service, run

from mailsuite.trace.models import RefusalCount
from mailsuite.writer import registry, wire
from mailsuite.writer.operation import Refused
from mailsuite.writer.run import execute

ALONE = """
import django, sys
from django.conf import settings
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
django.setup()
import mailsuite.writer.daemon, mailsuite.writer.client
print(*sorted({name.split(".")[1] for name in sys.modules if name.startswith("mailsuite.")}))
"""


@pytest.fixture(autouse=True)
def registered():
    handlings, locks = dict(registry.HANDLINGS), list(registry.LOCKS)
    greeting_app.register_all()
    wire._requests.cache_clear()
    yield
    registry.HANDLINGS.clear()
    registry.HANDLINGS.update(handlings)
    registry.LOCKS[:] = locks
    wire._requests.cache_clear()


@pytest.mark.django_db
def test_it_runs_here_and_now():
    assert execute(Greet("friend")) == "friend of 1"
    with pytest.raises(Refused, match="nobody to greet"):
        execute(Greet("nobody"))
    assert RefusalCount.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_it_runs_in_the_service(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(greeting_app.__file__).parent), os.getcwd()]))
    serve = store_process.SERVE.replace(
        "settings.STORAGES", "import greeting_app\ngreeting_app.register_all()\nsettings.STORAGES", 1
    )
    monkeypatch.setattr(store_process, "SERVE", serve)
    service = Service(tmp_path)
    service.start()

    async def work(client):
        assert await client.run(Greet("friend")) == "friend of 1"
        with pytest.raises(Refused, match="nobody to greet"):
            await client.run(Greet("nobody"))

    try:
        run(service, work)
    finally:
        service.stop()
    assert RefusalCount.objects.get().network == "friend"


def test_the_engine_alone_imports_no_app():
    """In a Django that has no app of ours."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["database", "ids", "mail", "server", "writer"]
