"""What stands around a scanner: mail does not wait for one that is slow or gone.

A scanner that fails several times in a row is left alone for a pause that grows; one message after each pause tries it
again, and its first answer ends the pauses. What a failure means is the site's choice: go on as if nobody had been
asked, or have the client come back later. It is never a reason to refuse.
"""

import asyncio
import logging

from mailsuite.configuration import OnFailure
from mailsuite.scanning.scanner import ScanAction, Scanner, ScannerError, ScanRequest, ScanResult

logger = logging.getLogger(__name__)

FAILURES_IN_A_ROW = 3
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
AT_ONCE = 20


class Guarded:
    """A scanner that always answers, within `timeout_seconds`, the wait for one of AT_ONCE places included."""

    def __init__(self, scanner: Scanner, *, timeout_seconds: float, on_failure: OnFailure) -> None:
        self._scanner, self._timeout_seconds, self._on_failure = scanner, timeout_seconds, on_failure
        self._places = asyncio.Semaphore(AT_ONCE)
        self._failures = 0
        self._pause = 0.0
        self._paused_until = 0.0

    async def scan(self, request: ScanRequest) -> ScanResult:
        """The scanner's answer, or what a failure means here. Raises nothing but for cancellation."""
        now = asyncio.get_running_loop().time()
        if self._pause:
            if now < self._paused_until:
                return self._failed("it has not answered lately")
            # This message tries; those that come meanwhile don't wait for the outcome.
            self._paused_until = now + self._timeout_seconds + self._pause
        try:
            async with asyncio.timeout(self._timeout_seconds), self._places:
                result = await self._scanner.scan(request)
        except TimeoutError:
            return self._note_failure(request, f"it did not answer within {self._timeout_seconds:g} seconds")
        except (OSError, ScannerError) as error:
            return self._note_failure(request, str(error))
        except Exception as error:
            logger.exception("%s: the scanner's client failed", request.queue_id)
            return self._note_failure(request, f"its client failed ({type(error).__name__})")
        self._failures, self._pause = 0, 0.0
        return result

    def _note_failure(self, request: ScanRequest, why: str) -> ScanResult:
        logger.warning("%s: not scanned: %s", request.queue_id, why)
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            self._pause = min(max(FIRST_PAUSE_SECONDS, self._pause * 2), LONGEST_PAUSE_SECONDS)
            self._paused_until = asyncio.get_running_loop().time() + self._pause
        return self._failed(why)

    def _failed(self, why: str) -> ScanResult:
        action = ScanAction.DEFER if self._on_failure is OnFailure.DEFER else ScanAction.NONE
        return ScanResult(action, reason=f"the scanner could not be asked: {why}")
