"""The real command in a process of its own, with its log read as it comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def run_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command to its end."""
    return subprocess.run(
        _command(*arguments),
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def running_command(*arguments: str, **environment: str) -> Iterator[Running]:
    """The command on a free port if no other is given, killed on the way out if it still runs."""
    process = subprocess.Popen(
        _command("--port", "0", "--log-format", "json", *arguments),
        env=os.environ | environment, cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    running = Running(process)
    try:
        yield running
    finally:
        process.kill()
        process.wait()
        running.join()


class Running:
    """A running command. `lines` are the lines of its log so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self.wait_for("listening")["on"][0])

    def wait_for(self, event: str, seconds: float = 30.0) -> dict[str, Any]:
        """The first line with this event."""
        with self._news:
            self._news.wait_for(lambda: self._line(event) or not self._reader.is_alive(), timeout=seconds)
            line = self._line(event)
        assert line is not None, f"no {event!r} in the log: {self.lines}"
        return line

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Sends a signal."""
        self.process.send_signal(number)

    def ended(self, seconds: float = 30.0) -> tuple[int, float]:
        """Waits for the end: the exit code and how long it took from now."""
        began = monotonic()
        code = self.process.wait(seconds)
        self.join()
        return code, monotonic() - began

    def join(self) -> None:
        """Waits until all of the log is read."""
        self._reader.join()

    def _line(self, event: str) -> dict[str, Any] | None:
        return next((line for line in self.lines if line["event"] == event), None)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            line = json.loads(text) if text.startswith("{") else {"event": text}
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        self.process.stderr.close()
        with self._news:
            self._news.notify_all()


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "service", *arguments]
