"""Promise 1 when the power goes: what was written but not fsynced is gone, which no SIGKILL can show.

The data folder is on an ext4 image on a loop device. The file system's own shutdown call, without a flush of its log,
throws away all that is not on the "disk"; then the suite starts again on what is left. Needs root.
POWER_CUTS=100 for the longer mode.
"""

import os
import random
import signal
import tempfile
from pathlib import Path

import pytest
from crash_load import Sender, ServerBug, Submitter, Worker, hide_far_domain, work_until
from disk_image import mounted_disk
from running_suite import Suite

pytestmark = [pytest.mark.crash, pytest.mark.sqlite_only]
CUTS = int(os.environ.get("POWER_CUTS", "2"))
PASSWORD = "power test 42"


@pytest.fixture
def suite_on_disk(require_program):
    require_program("mkfs.ext4", "e2fsprogs")
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount an image")
    # The suite's log stays outside, and the path short: it leads to a Unix socket.
    with tempfile.TemporaryDirectory(prefix="cut-") as folder, mounted_disk(Path(folder)) as disk:
        suite = Suite(disk.path / "data", {})
        hide_far_domain(suite)
        suite.log = Path(folder) / "suite.log"
        suite.start()
        try:
            yield suite, disk
        finally:
            suite.kill()


@pytest.mark.timeout(120 + 30 * CUTS)
def test_a_power_cut_loses_nothing(suite_on_disk):
    suite, disk = suite_on_disk
    suite.add_domain("cut.test")
    kinds = [Sender, Sender, Worker, Worker, Worker, Submitter]
    chance = random.Random(seed := random.randrange(1 << 30))
    print(f"seed {seed}")
    addresses = [f"box{place}@cut.test" for place in range(len(kinds))]
    suite.add_mailboxes(addresses, PASSWORD)
    clients = [
        kind(suite, address, PASSWORD, seed + place)
        for place, (kind, address) in enumerate(zip(kinds, addresses, strict=True))
    ]

    def cut() -> None:
        # Whoever is without power says nothing any more: an fsync that is under way then may seem to have been done.
        os.killpg(suite.process.pid, signal.SIGKILL)
        disk.cut_power()
        suite.kill()
        disk.unmount()
        disk.mount()

    for number in range(CUTS):
        clients = work_until(clients, chance, cut, tolerate=(ServerBug,))
        suite.start()
        for client in clients:
            client.verify()
        print(f"cut {number}: {sum(client.acknowledged for client in clients)} acknowledged so far")
    assert all(client.acknowledged for client in clients), "a client did nothing that could have been lost"
