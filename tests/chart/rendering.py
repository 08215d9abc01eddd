"""The chart as helm renders it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "charts" / "mistral-api"
HELM_3, HELM_4 = (ROOT / "build" / "helm" / version / "helm" for version in "34")


def attempt(
    *arguments: str, small: bool = True, program: str | Path = "helm", kubernetes: str = "1.36.0"
) -> subprocess.CompletedProcess[str]:
    """`helm template` of a release `llm`, as it ended."""
    values = ["--values", str(CHART / "values-small.yaml")] if small else []
    command = [str(program), "template", "llm", str(CHART), "--kube-version", kubernetes, *values, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def helm(*settings: str, small: bool = True) -> subprocess.CompletedProcess[str]:
    return attempt(*(word for setting in settings for word in ("--set", setting)), small=small)


def rendered(*settings: str, small: bool = True) -> dict[str, Any]:
    """Objects by kind."""
    done = helm(*settings, small=small)
    assert done.returncode == 0, done.stderr
    return {entry["kind"]: entry for entry in yaml.safe_load_all(done.stdout) if entry}


def pod_of(objects: dict[str, Any]) -> Any:
    return objects["Deployment"]["spec"]["template"]["spec"]


def variables_of(objects: dict[str, Any]) -> dict[str, Any]:
    """The server's own variables with their plain values."""
    return {entry["name"]: entry.get("value") for entry in pod_of(objects)["containers"][0]["env"]}
