"""The lock file of the web page."""

from __future__ import annotations

import json
from pathlib import Path

LOCK = Path(__file__).parents[2] / "ui" / "package-lock.json"


def test_the_lock_file_names_hashes_and_no_addresses() -> None:
    packages = json.loads(LOCK.read_text())["packages"]
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
    assert [name for name, entry in packages.items() if name and "integrity" not in entry] == []
