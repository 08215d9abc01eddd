"""The real command, killed, stopped, and two at once on one folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.fetch.download import OVERLAP
from tests.support.file_server import Answer, FileServer, gguf, sha256

ROOT = Path(__file__).resolve().parents[3]
CONTENT = gguf(6_000_000)
KILLS = 20


class Command:
    """`mistral-api fetch` in processes of their own, all ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def start(self, source: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "fetch", "--to", str(self.folder), "--retry-delay", "0.01", *arguments],
            env=os.environ | environment | {"MISTRAL_API_FETCH_SOURCE": source}, cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.started.append(process)
        return process

    def run(self, source: str, *arguments: str, **environment: str) -> tuple[int, str, list[dict[str, Any]]]:
        return ended(self.start(source, *arguments, **environment))

    def wait_for_bytes(self, count: int, process: subprocess.Popen[str]) -> None:
        """Until so many bytes have come."""
        end = time.monotonic() + 100
        while self.bytes < count and process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)

    @property
    def bytes(self) -> int:
        """What has come so far."""
        return sum(entry.stat().st_size for entry in self.folder.glob("*.partial"))


def ended(process: subprocess.Popen[str]) -> tuple[int, str, list[dict[str, Any]]]:
    """Exit code, standard output and the log."""
    out, log = process.communicate(timeout=60)
    return process.returncode, out, [json.loads(line) for line in log.splitlines()]


def first_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The first line of the log, as soon as it is there."""
    assert process.stderr is not None
    line: dict[str, Any] = json.loads(process.stderr.readline())
    return line


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """Lets answers go on that are held; the end of the test does too."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    commands = Command(tmp_path / "models")
    yield commands
    for process in commands.started:
        process.kill()
        process.communicate()


def test_it_prints_the_path_and_logs_json(server: FileServer, command: Command) -> None:
    server.serve("/tiny.gguf", CONTENT)
    code, out, log = command.run(server.url("/tiny.gguf"), "--sha256", sha256(CONTENT))
    assert (code, out) == (0, f"{command.folder / 'tiny.gguf'}\n")
    assert [line["event"] for line in log] == ["fetching", "fetched"]
    assert log[-1]["sha256"] == sha256(CONTENT)


@pytest.mark.timeout(600)
def test_killed_twenty_times_in_one_download_it_loses_nothing_but_the_overlap(
    server: FileServer, command: Command, held: threading.Event
) -> None:
    served = server.serve("/tiny.gguf", CONTENT)
    step = len(CONTENT) // (KILLS + 1)
    for kill in range(1, KILLS + 1):
        served.answers.append(Answer(cut=step if kill == 1 else step + OVERLAP, hold=held))
        process = command.start(server.url("/tiny.gguf"))
        command.wait_for_bytes(kill * step, process)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert command.bytes == kill * step
    code, _, log = command.run(server.url("/tiny.gguf"))
    assert code == 0
    assert [line["resumed_at"] for line in log if "resumed_at" in line] == [KILLS * step]
    assert log[-2]["sha256"] == sha256(CONTENT)
    assert (command.folder / "tiny.gguf").read_bytes() == CONTENT
    looks = 4 * (KILLS + 1)
    assert server.sent == len(CONTENT) + KILLS * OVERLAP + looks


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_keeps_what_came(
    server: FileServer, command: Command, held: threading.Event, number: signal.Signals
) -> None:
    server.serve("/tiny.gguf", CONTENT).answers.append(Answer(cut=500_000, hold=held))
    process = command.start(server.url("/tiny.gguf"))
    command.wait_for_bytes(500_000, process)
    process.send_signal(number)
    code, out, log = ended(process)
    assert (code, out) == (128 + number, "")
    assert log[-1]["event"] == "stopped; the next start goes on from here"
    assert command.bytes == 500_000


def test_of_two_on_one_folder_one_downloads_and_the_other_waits_and_says_so(
    server: FileServer, command: Command, held: threading.Event
) -> None:
    server.serve("/tiny.gguf", CONTENT).answers.append(Answer(cut=100_000, hold=held))
    first = command.start(server.url("/tiny.gguf"))
    command.wait_for_bytes(100_000, first)
    second = command.start(server.url("/tiny.gguf"))
    waiting = first_line(second)
    assert waiting["event"] == "waiting for another process that fetches this model"
    assert f"process {first.pid}" in waiting["owner"]
    held.set()
    (code, _, _), (other_code, out, log) = ended(first), ended(second)
    assert (code, other_code) == (0, 0)
    assert len(server.downloads) == 1
    assert log[-1]["event"] == "the model is there"
    assert out == f"{command.folder / 'tiny.gguf'}\n"


def test_one_that_waits_goes_on_where_the_other_was_killed(
    server: FileServer, command: Command, held: threading.Event
) -> None:
    server.serve("/tiny.gguf", CONTENT).answers.append(Answer(cut=1_000_000, hold=held))
    first = command.start(server.url("/tiny.gguf"))
    command.wait_for_bytes(1_000_000, first)
    second = command.start(server.url("/tiny.gguf"))
    assert first_line(second)["event"].startswith("waiting")
    first.kill()
    code, _, log = ended(second)
    assert code == 0
    assert next(line for line in log if line["event"] == "fetching")["resumed_at"] == 1_000_000


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("--sha256", "0" * 64), 5, "WrongContent"),
        (("--retries", "0", "--to", "/proc/nowhere"), 6, "NoRoom"),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(
    server: FileServer, command: Command, arguments: tuple[str, ...], code: int, error: str
) -> None:
    server.serve("/tiny.gguf", CONTENT)
    ended_with, out, log = command.run(server.url("/tiny.gguf"), *arguments)
    assert (ended_with, out, log[-1]["error"]) == (code, "", error)


def test_missing_and_unreachable_have_exit_codes_too(server: FileServer, command: Command) -> None:
    assert command.run(server.url("/none.gguf"))[0] == 3
    assert command.run("http://127.0.0.1:9/none.gguf", "--retries", "0")[0] == 4


def test_a_wrong_setting_is_one_line_and_exit_code_1(command: Command) -> None:
    process = command.start("ftp://host/x.gguf", "--sha256", "x")
    _, text = process.communicate(timeout=60)
    assert process.returncode == 1
    assert text.startswith("mistral-api fetch: --sha256: 'x' cannot be used")
    assert text.count("\n") == 1


def test_help_needs_nothing(command: Command) -> None:
    process = command.start("", "--help")
    out, log = process.communicate(timeout=60)
    assert (process.returncode, log) == (0, "")
    assert "HF_TOKEN" in out


def test_no_secret_reaches_the_log_or_the_volume_even_at_debug(server: FileServer, command: Command) -> None:
    server.serve("/tiny.gguf", CONTENT).answers.extend([Answer(cut=100_000), Answer(status=503)])
    secret = "Zwiebelkuchen"
    source = server.url(f"/tiny.gguf?X-Amz-Signature={secret}").replace("http://", f"http://user:{secret}@")
    code, out, log = command.run(
        source, "--log-level", "debug", "--log-every", "0.001", MISTRAL_API_FETCH_TOKEN=secret, HF_TOKEN=secret,
        AWS_ACCESS_KEY_ID=secret, AWS_SECRET_ACCESS_KEY=secret,
    )  # fmt: skip
    assert code == 0
    assert server.downloads[0].headers["authorization"].startswith("Basic ")
    held = "".join(entry.read_text() for entry in command.folder.iterdir() if entry.suffix != ".gguf")
    assert secret not in out + json.dumps(log) + held
    code, _, log = command.run(source.replace("tiny", "none"), "--log-level", "debug")
    assert code == 3
    assert secret not in json.dumps(log)
