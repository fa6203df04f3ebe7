import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from mailsuite.configuration import read_configuration
from mailsuite.env import Environment
from mailsuite.supervisor.listeners import ListenError, addresses, close_all, open_listeners


def configure(**variables: str):
    return read_configuration(
        Environment({f"MAILSUITE_{name}": value for name, value in variables.items()}), Path("/base")
    )


@pytest.fixture
def listen():
    opened = []

    def listen(name: str, value: str):
        opened.append(open_listeners(configure(**{f"LISTEN_{name}": value}), {}, [name]))
        return opened[-1]

    yield listen
    for sockets in opened:
        close_all(sockets)


def test_several_places_for_one_listener(listen):
    sockets = listen("SUBMISSION", "127.0.0.1:0,localhost:0")
    places = addresses(sockets)["SUBMISSION"]
    assert [host for host, _ in places] == ["127.0.0.1", "127.0.0.1"]
    for place in places:
        socket.create_connection(place).close()


def test_a_listener_that_is_off_is_missing(listen):
    assert listen("POP3", "") == {}


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_both_wildcards_share_a_port(listen):
    first = listen("SMTP", "0.0.0.0:0")
    port = addresses(first)["SMTP"][0][1]
    second = listen("IMAP", f"[::]:{port}")
    assert addresses(second) in ({"IMAP": [("::", port)]}, {})


def test_a_taken_port_leaves_no_other_open(listen):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"IMAP can't listen on 127.0.0.1 port {port}.*MAILSUITE_LISTEN_IMAP"):
            listen("IMAP", f"127.0.0.1:0,127.0.0.1:{port}")


# As systemd would: the socket as descriptor 3, then exec with the same process id.
PASS_SOCKET = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "smtp"}
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], str(port)])
"""
TAKE_SOCKET = """
import os, sys
from pathlib import Path
from mailsuite.configuration import read_configuration
from mailsuite.env import Environment
from mailsuite.supervisor.listeners import addresses, open_listeners
configuration = read_configuration(Environment({"MAILSUITE_LISTEN_IMAP": "127.0.0.1:0"}), Path("/base"))
sockets = open_listeners(configuration, os.environ, ["SMTP", "IMAP"])
assert addresses(sockets)["SMTP"] == [("127.0.0.1", int(sys.argv[1]))], sockets
assert not sockets["SMTP"][0].getblocking() and not sockets["SMTP"][0].get_inheritable()
assert len(sockets["IMAP"]) == 1
"""


def test_sockets_of_the_service_manager_are_taken(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PASS_SOCKET, TAKE_SOCKET],
        cwd=settings.BASE_DIR,
        env=os.environ | {"PYTHONPATH": str(settings.BASE_DIR)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
