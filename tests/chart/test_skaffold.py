"""What skaffold.yaml comes to, in each of its profiles, and the values that it takes. Needs skaffold and helm."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import __version__
from tests.chart.rendering import ROOT, variables_of

MISSING = [program for program in ("skaffold", "helm") if shutil.which(program) is None]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not on the PATH")


def resolved(profile: str, home: Path) -> Any:
    command = ["skaffold", "diagnose", "--yaml-only", *(["--profile", profile] if profile else [])]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "SKAFFOLD_UPDATE_CHECK": "false"}
    command[0] = shutil.which("skaffold") or ""
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


@pytest.mark.parametrize(
    ("profile", "target", "synced"),
    [("", "dev", True), ("gpu", "cuda", False), ("prod", "runtime", False), ("kustomize", "runtime", False)],
)
def test_a_profile_names_what_is_there(profile: str, target: str, synced: bool, tmp_path: Path) -> None:
    found = resolved(profile, tmp_path)
    (artifact,) = found["build"]["artifacts"]
    assert artifact["docker"]["target"] == target
    assert f" AS {target}\n" in (ROOT / "Dockerfile").read_text()
    assert ("sync" in artifact) == synced
    assert artifact["docker"]["buildArgs"]["VERSION"] == __version__
    assert ("REVISION" in artifact["docker"]["buildArgs"]) == (profile == "prod")
    for release in found["deploy"].get("helm", {}).get("releases", []):
        assert (Path(release["chartPath"]) / "Chart.yaml").is_file()
        assert all(Path(file).is_file() for file in release.get("valuesFiles", []))
    for folder in found.get("manifests", {}).get("kustomize", {}).get("paths", []):
        assert (Path(folder) / "kustomization.yaml").is_file()


def test_a_first_download_is_waited_for(tmp_path: Path) -> None:
    chart = (ROOT / "k8s" / "base" / "deployment.yaml").read_text()
    deadline = re.search(r"progressDeadlineSeconds: (\d+)", chart)
    assert deadline is not None
    assert resolved("prod", tmp_path)["deploy"]["statusCheckDeadlineSeconds"] > int(deadline[1])


@pytest.mark.parametrize(
    ("presets", "said"),
    [
        (("small", "dev"), {"LLAMA_ARG_MODEL": "/models/SmolLM2-135M-Instruct.Q4_1.gguf", "MISTRAL_API_WARMUP": "off"}),
        (("gpu",), {"LLAMA_ARG_N_GPU_LAYERS": "all"}),
    ],
)
def test_a_preset_makes_what_its_image_needs(presets: tuple[str, ...], said: dict[str, str]) -> None:
    values = [word for name in presets for word in ("--values", f"charts/mistral-api/values-{name}.yaml")]
    command = ["helm", "template", "mistral-api", "charts/mistral-api", "--kube-version", "1.36.0", *values]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    objects = {entry["kind"]: entry for entry in yaml.safe_load_all(text) if entry}
    assert said.items() <= (objects["ConfigMap"]["data"] | variables_of(objects)).items()
    spec = objects["Deployment"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    on_gpu = "gpu" in presets
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) == on_gpu
    assert spec["strategy"]["type"] == ("Recreate" if on_gpu else "RollingUpdate")
    assert container["securityContext"]["readOnlyRootFilesystem"] == on_gpu
