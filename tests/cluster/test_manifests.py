"""k8s/ is what a cluster takes, in a namespace that enforces `restricted`."""

from __future__ import annotations

import pytest

from tests.cluster.release import CHART, attempt

K8S = CHART.parent.parent / "k8s"


@pytest.mark.parametrize("folder", ["base", "overlays/dev", "overlays/production"])
def test_a_cluster_takes_the_manifests(folder: str, namespace: str) -> None:
    code, made, warnings = attempt("kubectl", "-n", namespace, "apply", "--dry-run=server", "-k", str(K8S / folder))
    assert code == 0, warnings
    assert "deployment.apps/mistral-api created" in made
    # A Deployment is taken whatever its pods are like; the API server warns where they would be refused.
    assert "would violate PodSecurity" not in warnings
