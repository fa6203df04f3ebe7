"""Work on files that an event loop has a thread do, and that must not be left alone amid it."""

import asyncio
from collections.abc import Callable


async def undisturbed(function: Callable[[], object]) -> None:
    """Run the function in a thread, and raise what it raises. When the task is cancelled meanwhile, that is heeded once
    the thread is done: it works on a file, which must not be closed, and be another one, under its hands."""
    running = asyncio.ensure_future(asyncio.to_thread(function))
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:
            break
    if cancelled:
        raise cancelled
    running.result()
