"""Python loads this by itself when its folder is on PYTHONPATH: it has each event loop of uvloop watch itself.

LOOP_WATCH names a folder; each process writes there, once a second, how long its loop took at most to come round, and
how long it computed meanwhile: the first is what a client feels, the second what the code did, since with more load
than cores a process also waits for its turn. Each pass of a loop that has something to do is measured by itself.
"""

import asyncio
import json
import os
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

TICK_SECONDS = 0.002
# A pass that takes less had nothing to do.
BUSY_SECONDS = 0.0002
WRITE_SECONDS = 1.0


def write(file: Path, longest: dict[str, float]) -> None:
    file.write_text(json.dumps(longest))


async def watch(folder: Path, name: str) -> None:
    longest = {"late_ms": 0.0, "computed_ms": 0.0}
    written = time.monotonic()
    while True:
        wall, cpu = time.monotonic(), time.thread_time()
        await asyncio.sleep(0)
        passed, computed = time.monotonic() - wall, time.thread_time() - cpu
        longest["late_ms"] = max(longest["late_ms"], passed * 1000)
        longest["computed_ms"] = max(longest["computed_ms"], computed * 1000)
        if passed < BUSY_SECONDS:
            await asyncio.sleep(TICK_SECONDS)
        if wall - written > WRITE_SECONDS:
            write(folder / f"{name}-{os.getpid()}-{int(wall)}", longest)
            longest, written = {"late_ms": 0.0, "computed_ms": 0.0}, wall


if folder := os.environ.get("LOOP_WATCH"):
    import uvloop

    run_unwatched = uvloop.run

    def run(main: Coroutine[Any, Any, Any], **options: Any) -> Any:
        service = Path(main.cr_code.co_filename).stem

        async def watched() -> Any:
            task = asyncio.create_task(watch(Path(folder), service))
            try:
                return await main
            finally:
                task.cancel()

        return run_unwatched(watched(), **options)

    uvloop.run = run
