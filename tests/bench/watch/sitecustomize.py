"""Python loads this by itself when its folder is on PYTHONPATH: it has each event loop of uvloop watch itself.

LOOP_WATCH names a folder; each process writes there, once a second, how late its loop came round and how long it
computed without a pause: the first is what a client feels, the second what the code did, since with more load than
cores a process also waits for its turn.
"""

import asyncio
import json
import os
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

TICK_SECONDS = 0.002
WRITE_SECONDS = 1.0


def write(file: Path, longest: dict[str, float]) -> None:
    file.write_text(json.dumps(longest))


async def watch(folder: Path, name: str) -> None:
    longest = {"late_ms": 0.0, "computed_ms": 0.0}
    written = time.monotonic()
    while True:
        wall, cpu = time.monotonic(), time.thread_time()
        await asyncio.sleep(TICK_SECONDS)
        longest["late_ms"] = max(longest["late_ms"], (time.monotonic() - wall - TICK_SECONDS) * 1000)
        longest["computed_ms"] = max(longest["computed_ms"], (time.thread_time() - cpu) * 1000)
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
