"""A disk of one's own: an ext4 file system in a file, which can lose its power or be filled. Needs root."""

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# linux/fs: _IOR('X', 125, __u32), and its flag that leaves the log unflushed.
FS_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2


class Disk:
    """An ext4 file system in a file, which can lose its power."""

    def __init__(self, folder: Path, size_octets: int) -> None:
        self.image, self.path = folder / "disk.img", folder / "d"
        self.path.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(size_octets)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", self.image], check=True)

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", self.image, self.path], check=True)

    def unmount(self) -> None:
        """The kernel may hold files of killed processes open for a moment longer than the processes. What else has the
        file system mounted, a mount namespace made meanwhile, would be given the one without power again."""
        deadline = time.monotonic() + 10
        while (done := subprocess.run(["umount", self.path], capture_output=True, text=True)).returncode:
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.05)
        while used := subprocess.run(["losetup", "-j", self.image], capture_output=True, text=True).stdout:
            assert time.monotonic() < deadline, f"another mount namespace holds {used}"
            time.sleep(0.05)

    def cut_power(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)


@contextmanager
def mounted_disk(folder: Path, size_octets: int = 2 << 30) -> Iterator[Disk]:
    disk = Disk(folder, size_octets)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()
