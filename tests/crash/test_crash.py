"""Promise 1 under SIGKILL: nothing acknowledged is lost, nothing doubled, half-moved or risen from the dead.

A few kills in CI; CRASH_KILLS=300 for the longer mode. SIGKILL can't show a missing fsync: test_fsync_order
and test_power_loss do.
"""

import os
import random
import time

import pytest
from crash_load import Sender, Submitter, Worker, hide_far_domain, open_imap, work_until

pytestmark = pytest.mark.crash
KILLS = int(os.environ.get("CRASH_KILLS", "4"))
PASSWORD = "crash test 42"


@pytest.fixture
def loaded_suite(start_suite):
    suite = start_suite()
    hide_far_domain(suite)
    suite.add_domain("crash.test")
    names = [*(f"sender{n}" for n in range(3)), *(f"worker{n}" for n in range(4)), "submitter0"]
    suite.add_mailboxes([f"{name}@crash.test" for name in names], PASSWORD)
    kinds = {"sender": Sender, "worker": Worker, "submitter": Submitter}
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    clients = [
        kinds[name.rstrip("0123456789")](suite, f"{name}@crash.test", PASSWORD, seed + place)
        for place, name in enumerate(names)
    ]
    return suite, clients, random.Random(seed)


@pytest.mark.timeout(120 + 30 * KILLS)
def test_sigkill_of_everything_loses_nothing(loaded_suite):
    suite, clients, chance = loaded_suite
    for kill in range(KILLS):
        clients = work_until(clients, chance, suite.kill)
        begun = time.monotonic()
        suite.start()
        with open_imap(suite, clients[0].address, PASSWORD):
            usable = time.monotonic() - begun
        assert usable < 15, f"mailboxes were usable after {usable:.1f} s"
        for client in clients:
            client.verify()
        print(f"kill {kill}: {sum(client.acknowledged for client in clients)} acknowledged so far")
    assert all(client.acknowledged for client in clients), "a client did nothing that could have been lost"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("service", ["store", "smtpd", "retrieval", "deliver"])
def test_sigkill_of_one_service_loses_nothing(loaded_suite, service):
    suite, clients, chance = loaded_suite

    def kill_one():
        for pid in suite.services[service]:
            os.kill(pid, 9)

    # The others go on, so clients of theirs must be ended by the end of the load, not by the kill.
    for _ in range(2):
        clients = work_until(clients, chance, kill_one, lambda: suite.wait_ready(20))
        for client in clients:
            client.verify()
