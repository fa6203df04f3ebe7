"""What the C library keeps of the memory that a process has freed, and when the system gets it back."""

import ctypes
from contextlib import suppress

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
# argon2 takes 19 MiB for a moment, a large message its size.
LARGE_OCTETS = 4 * 1024 * 1024


def give_large_memory_back() -> None:
    """Has what is large leave the process as soon as it is freed. glibc raises the size from which that holds to that
    of the largest piece freed so far (mallopt(3)), and each service kept the memory of its first sign-in."""
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, LARGE_OCTETS)
        library.mallopt(M_ARENA_MAX, 1)


def trim() -> None:
    """Give what is free to the system, page by page (malloc_trim(3)). By itself the C library gives back no more than
    the end of its heap: one small thing behind the memory of a busy hour held all of it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
