"""Runs hostile and honest clients side by side against the whole suite, and prints how long the honest ones waited.
Not a test: nothing fails.

    python3 manage.py bench soak [--seconds 600] [--without smtp_idle,imap_search]

Needs root and ends by itself. It moves into a network of its own first, which has nothing but a loopback device: there
clients can come from as many addresses as they like, which are not loopback's, so that each limit counts for them, and
nothing reaches any other machine. Honest clients do one thing at a time, each once a second; a row of the table is one
kind of what they do. What the hostile ones try stands in soak_hostile.py, each attack by its name.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from ours import proportional_memory
from running_suite import LISTENERS, Suite, free_port
from soak_places import DOMAIN, HONEST_MAILBOXES, HOSTILE_MAILBOX, LIST_MEMBERS, NETWORK, PASSWORD, PATTERN, SERVER

HERE = Path(__file__).resolve().parent
# By the ORM: what the commands would refuse is what an older version may have left in the database.
FILL = f"""
from mailsuite.directory.models import Alias, AliasTarget, Domain
from mailsuite.screening.models import ScreeningSettings
ScreeningSettings.objects.update_or_create(pk=1, defaults={{"greylists_doubtful": False}})
domain = Domain.objects.get(name="{DOMAIN}")
pattern = Alias.objects.create(
    domain=domain, kind="pattern", address="{PATTERN}@{DOMAIN}", address_key="{PATTERN}@{DOMAIN}"
)
AliasTarget.objects.create(alias=pattern, address="m0@{DOMAIN}", address_key="m0@{DOMAIN}")
everybody = Alias.objects.create(domain=domain, address="list@{DOMAIN}", address_key="list@{DOMAIN}")
names = ["m%d@{DOMAIN}" % number for number in range({LIST_MEMBERS})]
AliasTarget.objects.bulk_create(AliasTarget(alias=everybody, address=name, address_key=name) for name in names)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--without", default="", help="names of attacks to leave out")
    parser.add_argument("--only", default="", help="names of the only attacks")
    options = parser.parse_args()
    enter_own_network()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    suite = Suite(folder / "data", listeners())
    memory: list[float] = []
    over = threading.Event()
    try:
        suite.start()
        fill(suite)
        places = {name.lower(): suite.port(name) for name in LISTENERS}
        print(f"idle: {proportional_memory(suite.processes()):.0f} MB", flush=True)
        watch = threading.Thread(target=watch_memory, args=(suite, memory, over), daemon=True)
        watch.start()
        honest = start("soak_honest.py", places, options.seconds, "")
        hostile = start("soak_hostile.py", places, options.seconds, f"{options.only}/{options.without}")
        hostile_says, honest_says = hostile.communicate()[0], honest.communicate()[0]
        over.set()
        watch.join()
        print(honest_says, hostile_says, sep="\n")
        print(f"memory at most {max(memory):.0f} MB, at the end {proportional_memory(suite.processes()):.0f} MB")
        print("restarts:", suite.state["restarts"], "; errors in the log:", count_errors(suite.log))
        suite.stop()
    finally:
        suite.kill()
        if suite.dns:
            suite.dns.stop()
        shutil.copy(suite.log, Path(tempfile.gettempdir()) / "soak.log")
        shutil.rmtree(folder, ignore_errors=True)


def enter_own_network() -> None:
    """Starts this program again in a network namespace of its own, unless it is there."""
    if os.environ.get("SOAK_NETWORK") == str(os.getppid()):
        return
    commands = f"ip link set lo up && ip route add local {NETWORK} dev lo && SOAK_NETWORK=$$ "
    words = " ".join(f"'{word}'" for word in [sys.executable, *sys.argv])
    sys.exit(subprocess.run(["unshare", "-n", "sh", "-c", f"{commands} {words}; exit $?"]).returncode)


def listeners() -> dict[str, str]:
    """Each on loopback, for the commands, and where clients come to."""
    ports = {name: free_port() for name in LISTENERS}
    settings = {f"MAILSUITE_LISTEN_{name}": f"127.0.0.1:{port},{SERVER}:{port}" for name, port in ports.items()}
    return settings | {"MAILSUITE_ALLOW_PRIVATE_HOSTS": f"127.0.0.0/8,{NETWORK}"}


def fill(suite: Suite) -> None:
    suite.add_domain(DOMAIN)
    members = [f"m{number}@{DOMAIN}" for number in range(LIST_MEMBERS)]
    suite.add_mailboxes([*HONEST_MAILBOXES, HOSTILE_MAILBOX, *members], PASSWORD)
    suite.manage("shell", "-c", FILL)


def start(program: str, places: dict[str, int], seconds: int, more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(HERE / program), json.dumps(places), str(seconds), more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def watch_memory(suite: Suite, memory: list[float], over: threading.Event) -> None:
    began = time.monotonic()
    while not over.wait(5):
        memory.append(proportional_memory(suite.processes()))
        if len(memory) % 12 == 0:
            print(f"{time.monotonic() - began:4.0f} s: {memory[-1]:.0f} MB", file=sys.stderr, flush=True)


def count_errors(log: Path) -> int:
    return sum(" ERROR " in line or " CRITICAL " in line for line in log.read_text(errors="replace").splitlines())


if __name__ == "__main__":
    main()
