"""The store service as a process of its own, over a test's database and blob folder."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time

from django.db import connection

from mailsuite.writer.client import StoreClient
from mailsuite.writer.storage import mail_storage

SERVE = """
import dataclasses, sys
import django
django.setup()
from django.conf import settings
from pathlib import Path
from types import SimpleNamespace
from mailsuite.server.pulse import Pulse
from mailsuite.writer import daemon
settings.STORAGES["mail"]["OPTIONS"]["location"] = sys.argv[1]
configuration = SimpleNamespace(store_socket=Path(sys.argv[2]))
context = SimpleNamespace(configuration=configuration, parent_pipe=0, name="store", sockets={}, pulse=Pulse())
sys.exit(daemon.run(context))
"""


class Service:
    def __init__(self, folder):
        self.path = folder / "run" / "store.sock"
        self.process = None

    def start(self):
        database = connection.settings_dict
        url = f"sqlite://{database['NAME']}"
        if connection.vendor == "postgresql":
            credentials = f"{database['USER']}:{database['PASSWORD']}".rstrip(":")
            url = f"postgresql://{credentials}@/{database['NAME']}?host={database['HOST']}&port={database['PORT']}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(mail_storage().location), str(self.path)],
            env=os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "mailsuite.settings"},
            stdin=subprocess.PIPE,
        )
        # A busy machine takes longer to import Django than clients wait for a service that is away.
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)

    def _answers(self):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.path)) == 0

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(20)
        self.process.stdin.close()


def run(service, work):
    """Runs `work(client)` on a loop with a client of the service."""

    async def main():
        client = StoreClient(service.path)
        try:
            return await asyncio.wait_for(work(client), 60)
        finally:
            await client.close()

    return asyncio.run(main())
