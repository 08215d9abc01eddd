"""Runs the service and starts it again whenever one of its files changes. What the image's `dev` target starts.

Usage: reload.py [options of mistral-api]. SIGTERM and SIGINT end the service and this. A command, such as `fetch`, is run once.
Only the standard library is needed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

WATCHED = Path(__file__).resolve().parent / "service"
SUFFIXES = {".py", ".html", ".css", ".js"}
LOOK_SECONDS = 0.25
GRACE_SECONDS = 3.0


def main() -> None:
    command = [sys.executable, "-m", "service", *sys.argv[1:]]
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        os.execv(sys.executable, command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    while True:
        before = state()
        child = subprocess.Popen(command)
        try:
            wait_for_change(child, before)
        finally:
            end(child)


def leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def state() -> dict[Path, int]:
    """Every watched file and when it was changed last. A file that vanishes meanwhile counts as gone."""
    found = {}
    for path in WATCHED.rglob("*"):
        if path.suffix in SUFFIXES:
            try:
                found[path] = path.stat().st_mtime_ns
            except FileNotFoundError:
                continue
    return found


def wait_for_change(child: subprocess.Popen[bytes], before: dict[Path, int]) -> None:
    """Returns when a file is not what it was and all have been quiet for one look; a service that fell over waits for that too."""
    fell = False
    while (now := state()) == before:
        if not fell and child.poll() is not None:
            fell = True
            say(f"the service ended with {child.returncode}; waiting for a change")
        time.sleep(LOOK_SECONDS)
    while True:
        time.sleep(LOOK_SECONDS)
        last, now = now, state()
        if last == now:
            break
    changed = sorted(
        str(path.relative_to(WATCHED)) for path in now.keys() | before if now.get(path) != before.get(path)
    )
    say(f"changed: {', '.join(changed[:5])}{' …' if len(changed) > 5 else ''}; starting again")


def end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def say(text: str) -> None:
    print(f"reload: {text}", flush=True)


if __name__ == "__main__":
    main()
