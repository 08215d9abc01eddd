"""A claim that is there already: what of it cannot be changed is left as it is, or refused in words."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.api_server import api_server, claim
from tests.chart.rendering import attempt
from tests.chart.test_schemas import PROGRAMS

MISTRAL = 4368439584

pytestmark = pytest.mark.skipif(not PROGRAMS, reason="helm is not on the PATH, and `make helm` left none")


@pytest.fixture(params=PROGRAMS, ids=lambda path: Path(path).parent.name)
def program(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def upgraded(program: str, live: dict[str, Any], folder: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    """What helm makes where the cluster has the claim `live`."""
    given = [word for setting in settings for word in ("--set", setting)]
    with api_server(live, folder) as kubeconfig:
        here = ("--namespace", "default", "--kubeconfig", str(kubeconfig))
        return attempt("--dry-run=server", "--disable-openapi-validation", *here, *given, program=program)


@pytest.mark.parametrize(
    ("size", "settings", "rendered"),
    [
        ("9357Mi", [], "9357Mi"),
        ("9357Mi", ["storage.size=2Gi"], "9357Mi"),
        ("9357Mi", ["storage.size=10G"], "10G"),
        ("5Gi", [f"model.sizeBytes={MISTRAL}"], "5Gi"),
        ("2Gi", [f"model.sizeBytes={MISTRAL}", "storage.size=12Gi"], "12Gi"),
    ],
)
def test_a_claim_never_shrinks_and_grows_only_when_that_is_asked_for(
    program: str, tmp_path: Path, size: str, settings: list[str], rendered: str
) -> None:
    done = upgraded(program, claim(size), tmp_path, *settings)
    assert done.returncode == 0, done.stderr
    (made,) = [entry for entry in yaml.safe_load_all(done.stdout) if entry and entry["kind"] == "PersistentVolumeClaim"]
    assert made["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "standard",
        "resources": {"requests": {"storage": rendered}},
    }


@pytest.mark.parametrize(
    ("live", "settings", "words"),
    [
        (claim("1212Mi"), [f"model.sizeBytes={MISTRAL}"], "has 1212Mi, too little for a model of 4166 MiB. Ways out: storage.size=9357Mi"),
        (claim("9357Mi"), ["storage.accessMode=ReadWriteMany"], "is ReadWriteOnce, and that cannot be changed. Ways out: "),
        (claim("9357Mi"), ["storage.storageClassName=fast"], "is of the storage class standard, and that cannot be changed"),
    ],
)  # fmt: skip
def test_what_a_claim_cannot_become_is_refused_with_the_ways_out(
    program: str, tmp_path: Path, live: dict[str, Any], settings: list[str], words: str
) -> None:
    done = upgraded(program, live, tmp_path, *settings)
    assert done.returncode != 0
    assert words in done.stderr
    assert "kubectl -n default delete pvc llm-model" in done.stderr


def test_a_volume_that_is_larger_than_it_was_asked_to_be_has_room(program: str, tmp_path: Path) -> None:
    done = upgraded(program, claim("1Gi", capacity="100Gi"), tmp_path, f"model.sizeBytes={MISTRAL}")
    assert done.returncode == 0, done.stderr
