from __future__ import annotations

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).resolve().parents[3] / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.txt"))
PIN = re.compile(r"^([\w.-]+==\S+(?: ; .*?)?) \\$", re.MULTILINE)


def test_every_list_has_its_lock() -> None:
    assert {path.stem for path in REQUIREMENTS.glob("*.in")} == {path.stem for path in LOCKS}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_holds_only_pins_and_hashes(lock: Path) -> None:
    text = lock.read_text()
    assert PIN.search(text)
    for line in text.splitlines():
        assert line.startswith("#") or PIN.match(line) or re.fullmatch(r" {4}--hash=sha256:[0-9a-f]{64}(?: \\)?", line)


def test_tests_run_with_the_versions_that_the_service_runs_with() -> None:
    # Without the markers: dev may need on every system what the service needs on one.
    runtime, dev = (
        {pin.partition(" ;")[0] for pin in PIN.findall((REQUIREMENTS / name).read_text())}
        for name in ("runtime.txt", "dev.txt")
    )
    assert runtime
    assert runtime <= dev
