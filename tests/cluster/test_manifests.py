"""k8s/ is what a cluster takes, in a namespace that enforces `restricted`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from tests.cluster.release import CHART, Release, Tools, attempt, run

K8S = CHART.parent.parent / "k8s"


@pytest.mark.parametrize("folder", ["base", "overlays/dev", "overlays/production"])
def test_a_cluster_takes_the_manifests(folder: str, namespace: str) -> None:
    code, made, warnings = attempt("kubectl", "-n", namespace, "apply", "--dry-run=server", "-k", str(K8S / folder))
    assert code == 0, warnings
    assert "deployment.apps/mistral-api created" in made
    # A Deployment is taken whatever its pods are like; the API server warns where they would be refused.
    assert "would violate PodSecurity" not in warnings


def test_the_dev_overlay_serves(namespace: str, tools: Tools, image: str, tmp_path: Path) -> None:
    """Applied as it is, but for the image's name and the address of the model: the hub need not be reached."""
    repository, _, tag = image.rpartition(":")
    address = {
        "op": "replace",
        "path": "/spec/template/spec/initContainers/0/args/1",
        "value": f"{tools.address}/{tools.model}",
    }
    overlay = {
        "namespace": namespace,
        "resources": [os.path.relpath(K8S / "overlays" / "dev", tmp_path)],
        "images": [{"name": "mistral-api", "newName": repository, "newTag": tag}],
        "patches": [{"target": {"kind": "Deployment"}, "patch": yaml.safe_dump([address])}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    run("kubectl", "apply", "-k", str(tmp_path))
    service = Release("mistral-api", namespace, {}, tools)
    service.wait_ready()
    assert service.first_words()
