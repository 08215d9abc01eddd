"""k8s/: in step with the chart, and whole in every combination that is offered. Builds need kubectl."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import ROOT
from tests.chart.test_schemas import check

K8S = ROOT / "k8s"
COMPONENTS = sorted(path.name for path in (K8S / "components").iterdir())
BASES = ("base", "overlays/dev", "overlays/production")

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on the PATH")


@pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on the PATH, and `make helm` left none")
def test_k8s_is_what_the_chart_renders() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "render_k8s.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def built(base: str, folder: Path, *components: str, **parts: object) -> dict[str, Any]:
    """Objects by kind of an overlay in `folder`."""
    reached = {name: os.path.relpath(K8S / name, folder) for name in (base, *(f"components/{it}" for it in components))}
    first, *others = reached.values()
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    whole = head | {"resources": [first], "components": others} | parts
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(whole))
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))
    objects = {entry["kind"]: entry for entry in made}
    assert len(objects) == len(made)
    return objects


@needs_kubectl
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("components", [*([name] for name in COMPONENTS), COMPONENTS], ids=[*COMPONENTS, "all"])
def test_every_component_fits_on_every_base(base: str, components: list[str], tmp_path: Path) -> None:
    for entry in built(base, tmp_path, *components).values():
        check(entry, "1.34")


@needs_kubectl
@pytest.mark.parametrize("base", BASES)
def test_pods_that_are_scaled_share_no_volume_of_one_pod(base: str, tmp_path: Path) -> None:
    objects = built(base, tmp_path, "autoscaler")
    deployment = objects["Deployment"]["spec"]
    assert "ephemeral" in deployment["template"]["spec"]["volumes"][0]
    assert deployment["strategy"]["type"] == "RollingUpdate"
    assert "replicas" not in deployment
    assert "PersistentVolumeClaim" not in objects
    assert objects["HorizontalPodAutoscaler"]["spec"]["minReplicas"] == 2


@needs_kubectl
def test_the_gpu_component_asks_for_one_and_uses_it(tmp_path: Path) -> None:
    objects = built("overlays/production", tmp_path, "gpu")
    deployment = objects["Deployment"]["spec"]
    (container,) = deployment["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert (deployment["strategy"], deployment["template"]["spec"]["runtimeClassName"]) == (
        {"type": "Recreate"},
        "nvidia",
    )
    assert deployment["template"]["spec"]["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    assert objects["ConfigMap"]["data"]["LLAMA_ARG_N_GPU_LAYERS"] == "all"


@needs_kubectl
@pytest.mark.parametrize("base", BASES)
def test_settings_that_an_overlay_merges_roll_the_pods(base: str, tmp_path: Path) -> None:
    settings = {"name": "mistral-api", "behavior": "merge", "literals": ["LLAMA_ARG_CTX_SIZE=4096"]}
    names = []
    for generators in ([], [settings]):
        objects = built(base, tmp_path, configMapGenerator=generators)
        names.append(objects["ConfigMap"]["metadata"]["name"])
        (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
        assert container["envFrom"] == [{"configMapRef": {"name": names[-1]}}]
    assert objects["ConfigMap"]["data"]["LLAMA_ARG_CTX_SIZE"] == "4096"
    assert "MISTRAL_API_DRAIN_TIMEOUT" in objects["ConfigMap"]["data"]
    assert names[0] != names[1]
