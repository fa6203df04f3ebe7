"""What a process keeps of the memory that it no longer needs."""

import subprocess
import sys
from pathlib import Path

import pytest

BASE = Path(__file__).resolve().parent.parent.parent
# Beside the services' own memory nothing of a sign-in's may stay.
PROGRAM = """
import sys
from argon2 import PasswordHasher
from mailsuite.server.memory import give_large_memory_back

def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if sys.argv[1] == "yes":
    give_large_memory_back()
hasher = PasswordHasher(time_cost=1, memory_cost=19 * 1024, parallelism=1)
before = held()
for _ in range(3):
    hasher.hash("a password")
print(held() - before)
"""


@pytest.mark.parametrize(("asked", "stays"), [("yes", False), ("no", True)])
def test_the_memory_of_a_sign_in_leaves_the_process(asked, stays):
    done = subprocess.run([sys.executable, "-c", PROGRAM, asked], cwd=BASE, capture_output=True, text=True, check=True)
    assert (int(done.stdout) > 16 << 20) is stays


# Ten thousand small things, and one behind them that stays.
BUSY_HOUR = """
import sys
from mailsuite.server.pulse import Pulse

def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

before = held()
small = [bytes(2000) for _ in range(10_000)]
last = small.pop()
del small
if sys.argv[1] == "yes":
    Pulse().beat()
print(held() - before)
"""


@pytest.mark.parametrize(("beats", "stays"), [("yes", False), ("no", True)])
def test_the_memory_of_a_busy_hour_leaves_the_process(beats, stays):
    done = subprocess.run(
        [sys.executable, "-c", BUSY_HOUR, beats], cwd=BASE, capture_output=True, text=True, check=True
    )
    assert (int(done.stdout) > 10 << 20) is stays
