"""A real CPU quota around the running service: the threads follow it while texts are generated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import httpx
import pytest

from bench.cpu_group import CpuGroup, NoGroup, cpu_group
from service.engine.threads import usable_cpus
from tests.support.command import running_command

pytestmark = pytest.mark.model

SECONDS = 20.0
"""The service reads the quota every two seconds; a busy machine may take longer to get to it."""


@pytest.fixture
def group() -> Iterator[CpuGroup]:
    try:
        with cpu_group() as made:
            yield made
    except NoGroup as error:
        pytest.skip(str(error))


@contextmanager
def traffic(url: str) -> Iterator[None]:
    """One text after the other, until the block ends."""
    enough, failures = Event(), list[str]()

    def ask() -> None:
        body = {"prompt": "Once upon a time", "max_tokens": 50, "ignore_eos": True}
        while not enough.is_set():
            answer = httpx.post(f"{url}/v1/completions", json=body, timeout=60)
            if answer.status_code != 200:
                failures.append(answer.text)
                return

    thread = Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
    assert not failures


def threads_of(url: str) -> tuple[dict[str, int], tuple[int, int]]:
    """What /metrics and /props say of the threads."""
    found = re.findall(r'^mistral_api_threads{for="(\w+)"} ([\d.]+)$', httpx.get(f"{url}/metrics").text, re.MULTILINE)
    props = httpx.get(f"{url}/props").json()
    return {kind: int(float(count)) for kind, count in found}, (props["threads"], props["threads_batch"])


def until_threads(url: str, count: int) -> None:
    """Waits until both say `count`, and says what they said when they do not."""
    wanted = {"decode": count, "batch": count}, (count, count)
    end = monotonic() + SECONDS
    while (found := threads_of(url)) != wanted:
        assert monotonic() < end, f"the threads should be {count}: {found}"
        sleep(0.1)


def test_threads_follow_a_quota_that_changes_while_texts_are_generated(tiny_model_path: Path, group: CpuGroup) -> None:
    if (cpus := int(usable_cpus())) < 2:
        pytest.skip("with less than two CPUs there is nothing to follow")
    with running_command("--model", str(tiny_model_path)) as command:
        command.wait_for("ready")
        assert threads_of(command.url)[1] == (cpus, cpus)
        with traffic(command.url):
            group.limit(1)
            group.take(command.process.pid)
            until_threads(command.url, 1)
            group.limit(cpus)
            until_threads(command.url, cpus)
            group.limit(1.5)
            until_threads(command.url, 1)
        changes = [line["event"] for line in command.lines if "CPUs that may be used" in line["event"]]
        assert len(changes) == 3
