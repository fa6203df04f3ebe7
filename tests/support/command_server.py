"""Commands of manage.py without a new Python for each: a process that has Django ready, and forks for every command.

To start Python and to import Django costs more than most commands do. What a fork runs is `manage.main()` all the same,
with arguments, input and environment of its own; the settings are those that the process was started with.
"""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock

BASE = Path(__file__).resolve().parent.parent.parent
LONGEST_ORDER = 100_000
START_SECONDS = 60


class CommandServer:
    """The client's side. One command at a time; who comes meanwhile waits."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._lock = Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__)), str(theirs.fileno())],
                cwd=BASE,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def run(
        self, arguments: tuple[str, ...], environment: Mapping[str, str], input: str, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """As subprocess.run does it, output captured as text. Raises TimeoutError."""
        order = json.dumps({"arguments": arguments, "environment": dict(environment), "folder": os.getcwd()}).encode()
        assert len(order) <= LONGEST_ORDER
        with self._lock, TemporaryFile() as stdin, TemporaryFile() as stdout, TemporaryFile() as stderr:
            files = (stdin, stdout, stderr)
            stdin.write(input.encode())
            stdin.seek(0)
            self._socket.settimeout(START_SECONDS + timeout)
            socket.send_fds(self._socket, [order], [file.fileno() for file in files])
            code = int(self._socket.recv(100) or self._process.wait())
            for file in files:
                file.seek(0)
            said, complained = stdout.read().decode(), stderr.read().decode()
        return subprocess.CompletedProcess(["manage.py", *arguments], code, said, complained)

    def end(self) -> None:
        """Ends it, and the command that it may be at."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        self._socket.close()


def serve(orders: socket.socket) -> None:
    """Runs one command after another until the other side is gone; returns only in a fork, that it may run its own."""
    while True:
        order, descriptors, _, _ = socket.recv_fds(orders, LONGEST_ORDER, 3)
        if not order:
            os._exit(0)
        pid = os.fork()
        if not pid:
            orders.close()
            become(json.loads(order), descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        orders.send(str(os.waitstatus_to_exitcode(status)).encode())


def become(order: dict, descriptors: list[int]) -> None:
    """Makes this process what the shell makes of `manage.py …`."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    sys.argv = [str(BASE / "manage.py"), *order["arguments"]]


if __name__ == "__main__":
    # Not this folder, whose modules no command may meet.
    sys.path[0] = str(BASE)
    os.environ["DJANGO_SETTINGS_MODULE"] = "mailsuite.settings"
    import django

    import manage

    django.setup()
    # The checks before most commands want all of the admin.
    importlib.import_module("mailsuite.web.urls")
    serve(socket.socket(fileno=int(sys.argv[1])))
    manage.main()
