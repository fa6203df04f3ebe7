"""What happens between fork and a service's first line, and between its last line and the end of the process."""

import ctypes
import faulthandler
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable

from mailsuite.server.memory import give_large_memory_back
from mailsuite.server.service import Run, ServiceContext
from mailsuite.supervisor import log
from mailsuite.supervisor.listeners import Sockets, close_all

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
# Has the process write down what each of its threads is doing, for its parent to read.
STACKS_SIGNAL = signal.SIGUSR2
logger = logging.getLogger(__name__)
_libc = ctypes.CDLL(None, use_errno=True)


def fork(main: Callable[[], int | None], parent: int) -> int:
    """Runs `main` in a new process, which ends with it; returns the process id to the parent."""
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    code = 1
    try:
        die_with_parent(parent)
        code = main() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        logger.critical("Ended by an error", exc_info=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit: what the parent registered to happen at its own end must not happen here.
        os._exit(code)


def die_with_parent(parent: int) -> None:
    """Has the kernel send SIGTERM when the parent dies: a net below the pipe, for a service that does not look."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def run_service(run: Run, context: ServiceContext, others: Sockets, parent_end: int, stacks: int) -> int | None:
    """Runs one service in a fresh fork: default signals, its own sockets only, no write end of the parent's pipe.
    On STACKS_SIGNAL it writes the stacks of its threads to the file descriptor `stacks`."""
    os.close(parent_end)
    close_all(others)
    # Ctrl-C reaches the whole group; the parent decides who ends when.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    label = context.name if context.workers == 1 else f"{context.name}/{context.index}"
    _libc.prctl(PR_SET_NAME, f"ms-{label}".encode())
    log.configure(label)
    give_large_memory_back()
    # In C, so that it works in a process whose Python does not.
    faulthandler.register(STACKS_SIGNAL, file=stacks, all_threads=True)
    gc.enable()
    return run(context)
