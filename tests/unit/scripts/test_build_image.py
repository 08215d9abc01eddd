"""What build_image.sh asks a builder for."""

from __future__ import annotations

import os
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from service import __version__

ROOT = Path(__file__).resolve().parents[3]


def asked(folder: Path, image: str) -> list[str]:
    """The arguments that a builder gets."""
    program = folder / "buildah"
    program.write_text('#!/bin/sh\nfor word; do echo "$word"; done\n')
    program.chmod(0o755)
    environment = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "BUILDER": "buildah"}
    command = [str(ROOT / "scripts" / "build_image.sh"), image, "runtime"]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()


def tags(words: list[str]) -> list[str]:
    return [word for before, word in pairwise(words) if before == "--tag"]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("mistral-api", [f"mistral-api:{__version__}", "mistral-api:latest"]),
        ("host:5000/mistral-api", [f"host:5000/mistral-api:{__version__}", "host:5000/mistral-api:latest"]),
        ("host:5000/mistral-api:1", ["host:5000/mistral-api:1"]),
    ],
)
def test_an_image_without_a_tag_has_the_version_and_latest(image: str, expected: list[str], tmp_path: Path) -> None:
    assert tags(asked(tmp_path, image)) == expected


def test_the_image_has_the_name_that_the_manifests_use(tmp_path: Path) -> None:
    deployment = yaml.safe_load((ROOT / "k8s" / "base" / "deployment.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] in tags(asked(tmp_path, "mistral-api"))
