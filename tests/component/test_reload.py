"""scripts/reload.py around a small program in the service's place."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent.parent / "scripts" / "reload.py"
PROGRAM = """
import sys, time
from service import word
print(word.WORD, *sys.argv[1:], flush=True)
if "once" not in sys.argv:
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(SCRIPT, tmp_path)
    (tmp_path / "service").mkdir()
    for name, text in {"__init__.py": "", "word.py": "WORD = 'first'\n", "__main__.py": PROGRAM}.items():
        (tmp_path / "service" / name).write_text(text)
    return tmp_path


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "reload.py", *arguments]
    # As in the image: compiled files are compared by whole seconds, and edits here are closer together.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture
def process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with started(folder, "--option") as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_an_edit_starts_the_service_again_and_one_that_breaks_it_waits_for_the_next(
    folder: Path, process: subprocess.Popen[str]
) -> None:
    assert line(process) == "first --option"
    word = folder / "service" / "word.py"
    word.write_text("WORD = 'second'\n")
    assert line(process) == "reload: changed: word.py; starting again"
    assert line(process) == "second --option"

    word.write_text("WORD = nothing\n")
    assert line(process) == "reload: changed: word.py; starting again"
    while (said := line(process)) != "reload: the service ended with 1; waiting for a change":
        assert said
    word.write_text("WORD = 'third'\n")
    assert line(process) == "reload: changed: word.py; starting again"
    assert line(process) == "third --option"


def test_sigterm_ends_both(process: subprocess.Popen[str]) -> None:
    assert line(process) == "first --option"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert line(process) == ""


def test_a_command_is_run_once(folder: Path) -> None:
    with started(folder, "once", "--option") as process:
        assert line(process) == "first once --option"
        assert process.wait(10) == 0
