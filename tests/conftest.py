"""What all tests share: model files made or fetched on demand, and an environment that holds no settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"
SCRIPTS = ROOT / "scripts"
SETTING_PREFIXES = ("LLAMA_ARG_", "LLAMA_LOG_", "LLAMA_API_KEY", "MISTRAL_API_")


def pytest_configure() -> None:
    # Before any test module is imported, so that nothing of the caller's shell reaches a default read at import.
    for name in [name for name in os.environ if name.startswith(SETTING_PREFIXES)]:
        del os.environ[name]


def pytest_unconfigure() -> None:
    # The binding opens these at import and never closes them: a warning after pytest's last line.
    if (binding := sys.modules.get("llama_cpp._utils")) is not None:
        binding.outnull_file.close()
        binding.errnull_file.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "model"):
            item.add_marker(pytest.mark.model)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def tiny_model_path() -> Path:
    """A random-weight model with Mistral's vocabulary, 17 MB. Compare its texts exactly only with flash attention off: its sums in
    16 bits differ with the batch's shape, by enough to turn about one greedy token in 200."""
    return made_model("tiny-mistral")


@pytest.fixture(scope="session")
def default_model_path() -> Path:
    """SmolLM2-135M-Instruct, 98 MB: what `make run` serves."""
    run_script(SCRIPTS / "fetch_models.py", "default")
    return MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"


def made_model(preset: str) -> Path:
    """The file of a preset of make_gguf.py, made anew when the script is newer."""
    script, path = SCRIPTS / "make_gguf.py", MODELS / f"{preset}.gguf"
    if not path.exists() or path.stat().st_mtime < script.stat().st_mtime:
        run_script(SCRIPTS / "fetch_models.py", "tokenizer")
        run_script(script, preset)
    return path


def run_script(script: Path, *arguments: str) -> None:
    """Runs a script of the repository with this Python; a failure shows the script's own words."""
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{script.name} {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}", pytrace=False)
