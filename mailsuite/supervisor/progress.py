"""What a start says of a step that may be long, such as changing the tables of a large database."""

import io
import sys
import time
from threading import Event, Thread

# A person at a terminal sees that it lives; a log gets lines seldom enough to be read.
TERMINAL_SECONDS = 1.0
LOG_SECONDS = 10.0


class Progress(io.StringIO):
    """Says what is done while its block runs: at a terminal in one line, with the step and the seconds so far, which
    are said anew each second; elsewhere in a line of its own every LOG_SECONDS.

    The migrate command writes to it: from that come the name of the step and how many are done.
    """

    def __init__(self, text: str, steps: int = 0) -> None:
        super().__init__()
        self._text, self._steps, self._done, self._name = text, steps, 0, ""
        self._began, self._ended = time.monotonic(), Event()
        self._is_terminal = sys.stdout.isatty()
        self._ticking = Thread(target=self._tick, name="progress", daemon=True)

    def __enter__(self) -> "Progress":
        print(self._text, end="" if self._is_terminal else "\n", flush=True)
        self._ticking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._ticking.join()
        if self._is_terminal:
            print(flush=True)

    def write(self, said: str) -> int:
        """Takes in what the migrate command says; returns how much that was."""
        _, applying, name = said.partition("Applying ")
        if applying:
            self._name = name.partition("...")[0]
        if " OK" in said:
            self._done += said.count(" OK")
            self._name = ""
            if self._is_terminal:
                self.say(time.monotonic() - self._began)
        return len(said)

    def say(self, seconds: float) -> None:
        """Says how far it is, after so many seconds."""
        step = [f"step {min(self._done + 1, self._steps)} of {self._steps}"] if self._steps else []
        name = [self._name] if self._name and not self._is_terminal else []
        line = f"{self._text}: {', '.join([*step, *name, f'{seconds:.0f} s'])}"
        print(f"\r{line}" if self._is_terminal else line, end="" if self._is_terminal else "\n", flush=True)

    def _tick(self) -> None:
        while not self._ended.wait(TERMINAL_SECONDS if self._is_terminal else LOG_SECONDS):
            self.say(time.monotonic() - self._began)
