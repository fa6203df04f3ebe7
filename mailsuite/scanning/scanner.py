"""The seam at which scanners outside join: what they are asked, what they answer. Pure values.

A scanner that can't answer raises ScannerError; `guard.Guarded` puts a time limit, a circuit breaker and the site's
choice of what a failure means around any of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class ScanAction(StrEnum):
    """What the scanner would do. NONE: it has nothing to say, or could not be asked."""

    ACCEPT = "accept"
    JUNK = "junk"
    REJECT = "reject"
    DEFER = "defer"
    NONE = "none"


class ScannerError(Exception):
    """The scanner gave no answer that makes sense; str() says why, for people."""


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """One message and its envelope. `chunks` yields the octets of the whole message, `size_octets` of them, and may
    read from the disk unless `is_in_memory`. `reverse_path` is "" for the null one; `user` is whoever has logged in;
    `tls_version` and `tls_cipher` are "" without TLS."""

    chunks: Callable[[], Iterator[bytes]]
    size_octets: int
    is_in_memory: bool = True
    queue_id: str = ""
    client_address: str = ""
    client_name: str = ""
    helo: str = ""
    reverse_path: str = ""
    recipients: tuple[str, ...] = ()
    user: str = ""
    tls_version: str = ""
    tls_cipher: str = ""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """`score` is in the scanner's own measure; `reason` is for people, fit to stand after "because"; `symbols` are
    what it found, the heaviest first, such as `GTUBE (15)`."""

    action: ScanAction
    score: float = 0.0
    reason: str = ""
    symbols: tuple[str, ...] = ()


class Scanner(Protocol):
    """Belongs to one event loop. Raises ScannerError, OSError or TimeoutError when it can't tell."""

    async def scan(self, request: ScanRequest) -> ScanResult: ...
