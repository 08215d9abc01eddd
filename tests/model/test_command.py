"""The real command: how it starts, how it refuses to, how it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import httpx
import pytest

from service import __version__
from service.settings.showing import help_text
from tests.support.command import Running, run_command, running_command

pytestmark = pytest.mark.model

SECRET = "Zwiebelkuchen"


class Stream(Thread):
    """A streamed completion, read as it comes."""

    def __init__(self, url: str, tokens: int) -> None:
        super().__init__()
        self.url, self.tokens = url, tokens
        self.text = ""
        self.failure: Exception | None = None
        self.start()
        end = monotonic() + 20
        while not self.text and self.is_alive() and monotonic() < end:
            sleep(0.01)
        assert self.text, "the stream did not begin"

    def run(self) -> None:
        body = {"prompt": SECRET, "max_tokens": self.tokens, "ignore_eos": True, "stream": True, "seed": 1}
        try:
            with httpx.stream("POST", f"{self.url}/v1/completions", json=body, timeout=60) as response:
                for part in response.iter_text():
                    self.text += part
        except httpx.HTTPError as error:
            self.failure = error


@contextmanager
def ready(model: Path, *arguments: str) -> Iterator[Running]:
    with running_command("--model", str(model), *arguments) as command:
        command.wait_for("ready")
        yield command


def refused(*arguments: str, **environment: str) -> str:
    """The one line of a start that was refused before there was a log."""
    done = run_command(*arguments, **environment)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    return line


def test_help_prints_every_option_without_a_model() -> None:
    done = run_command("--help")
    assert (done.returncode, done.stdout, done.stderr) == (0, help_text(), "")


def test_version_says_ours_and_llama_cpps() -> None:
    done = run_command("--version")
    assert done.returncode == 0
    assert re.fullmatch(rf"mistral-api {__version__}\nllama\.cpp b\S+\n", done.stdout)


def test_check_prints_the_settings_and_serves_nothing() -> None:
    done = run_command("--check", "-m", "none.gguf", "--api-key", SECRET, LLAMA_ARG_CTX_SIZE="77")
    assert done.returncode == 0
    assert "ctx_size = 77\n" in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_a_bad_setting_is_one_line() -> None:
    assert refused("-m", "x", "--port", "x").startswith("mistral-api: --port: 'x' cannot be used")
    assert refused("-m", "x", LLAMA_ARG_PORT="x").startswith("mistral-api: LLAMA_ARG_PORT: 'x'")
    assert refused().startswith("mistral-api: --model: ''")


def test_a_taken_port_is_one_line_of_the_log() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run_command("-m", "x", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    (line,) = (json.loads(line) for line in done.stderr.splitlines())
    assert (line["level"], line["event"].split(":")[0]) == ("error", "--port")
    assert "Address already in use" in line["event"]


@pytest.mark.parametrize(
    "content",
    [None, b"", b"no model", b"GGUF\x03\x00\x00\x00" + bytes(64)],
    ids=["missing", "empty", "other", "header only"],
)
def test_a_file_that_is_no_model_ends_the_start_with_one_line_that_has_its_path(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "bad.gguf"
    if content is not None:
        path.write_bytes(content)
    with running_command("--model", str(path)) as command:
        code, seconds = command.ended()
    assert code == 1
    assert seconds < 20
    errors = [line["event"] for line in command.lines if line.get("level") in ("error", None)]
    assert [str(path) in error for error in errors] == [True], errors


def test_an_unknown_kernel_ends_the_start_with_one_line(tiny_model_path: Path) -> None:
    with running_command("--model", str(tiny_model_path), "--cpu-variant", "z80") as command:
        assert command.ended()[0] == 1
    errors = [line["event"] for line in command.lines if line.get("level") in ("error", None)]
    assert ["z80" in error for error in errors] == [True], errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_what_runs_finish_and_refuses_what_comes(tiny_model_path: Path, number: signal.Signals) -> None:
    with ready(tiny_model_path, "--drain-delay", "1", "--drain-timeout", "60", "-c", "2048") as command:
        url = command.url
        assert httpx.get(f"{url}/health/ready").status_code == 200
        stream = Stream(url, 1500)  # longer than the tenth of a second that a signal may wait to be looked at
        command.signal(number)
        assert command.wait_for("draining")["running"] == 1
        assert httpx.get(f"{url}/health/ready").status_code == 503
        assert httpx.get(f"{url}/health/live").status_code == 200
        late = httpx.post(f"{url}/v1/completions", json={"prompt": "x"})
        assert late.status_code == 503
        assert int(late.headers["retry-after"]) >= 1
        code, seconds = command.ended()
        stream.join()
    assert code == 0
    assert seconds > 0.5
    assert stream.failure is None
    assert stream.text.endswith("data: [DONE]\n\n")
    requests = [line for line in command.lines if line["event"] == "request" and line["status"] == 200]
    assert [(line["generated_tokens"], line["finish_reason"]) for line in requests] == [(1500, "length")]
    assert SECRET not in json.dumps(command.lines)


def test_what_does_not_finish_in_time_is_cut_off(tiny_model_path: Path) -> None:
    with ready(tiny_model_path, "--drain-delay", "0", "--drain-timeout", "0.5", "-c", "32768") as command:
        stream = Stream(command.url, 30_000)
        command.signal()
        code, seconds = command.ended()
        stream.join()
    assert code == 0
    assert 0.4 < seconds < 10
    assert "[DONE]" not in stream.text
    assert '{"error":' in stream.text.rpartition("data: ")[2]
    assert command.wait_for("requests are cut off")["running"] == 1


def test_a_second_signal_ends_at_once(tiny_model_path: Path) -> None:
    with ready(tiny_model_path, "--drain-delay", "30") as command:
        command.signal()
        command.wait_for("draining")
        command.signal()
        code, seconds = command.ended()
    assert code == 128 + signal.SIGTERM
    assert seconds < 2
    assert command.lines[-1]["event"] == "ended at once"


def test_with_nothing_to_drain_the_end_comes_after_the_delay(tiny_model_path: Path) -> None:
    with ready(tiny_model_path, "--drain-delay", "0.2") as command:
        command.signal()
        code, seconds = command.ended()
    assert code == 0
    assert seconds < 5


def test_a_signal_while_the_model_loads_ends_well(tiny_model_path: Path) -> None:
    with running_command("--model", str(tiny_model_path), "--drain-delay", "0.2") as command:
        command.wait_for("listening")
        command.signal()
        code, seconds = command.ended()
    assert code == 0
    assert seconds < 15
    assert command.lines[-1]["event"] == "ended"


def test_every_line_of_the_log_is_json(tiny_model_path: Path) -> None:
    with ready(tiny_model_path, "--drain-delay", "0", "--metrics", "-v") as command:
        httpx.get(f"{command.url}/metrics").raise_for_status()
        httpx.get(f"{command.url}/v1/models").raise_for_status()
        command.signal()
        command.ended()
    assert all("level" in line for line in command.lines)
    events = [line["event"] for line in command.lines]
    assert "--metrics changes nothing here: it is always so" in events
    assert [line["route"] for line in command.lines if line["event"] == "request"] == ["/v1/models"]
