"""What people are told to look at and to set is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "mistral-api"
TOLD = [ROOT / "docs" / "operating.md", CHART / "README.md", CHART / "values.yaml"]


@pytest.mark.parametrize("page", TOLD, ids=lambda page: page.name)
def test_every_metric_that_is_named_is_served(page: Path) -> None:
    served = set(re.findall(r"`(mistral_api_\w+)`", (ROOT / "docs" / "metrics.md").read_text()))
    named = {name.removesuffix("_bucket") for name in re.findall(r"\bmistral_\w+", page.read_text())}
    assert named <= served


@pytest.mark.parametrize("page", TOLD, ids=lambda page: page.name)
def test_every_option_that_is_named_can_be_set(page: Path) -> None:
    options = json.loads((CHART / "files" / "server-options.json").read_text())
    named = set(re.findall(r"\bserver\.(\w+)", page.read_text()))
    assert named <= options.keys()


def test_every_value_that_is_named_is_one() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    groups = [name for name, part in schema["properties"].items() if part.get("properties") and name != "resources"]
    named = re.findall(rf"`((?:{'|'.join(groups)})\.\w[\w.]*)", TOLD[0].read_text() + TOLD[1].read_text())
    assert named
    for name in named:
        part = schema
        for key in name.split("."):
            assert key in part["properties"], name
            part = part["properties"][key]
