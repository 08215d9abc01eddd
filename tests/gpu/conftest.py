"""Tests on a real GPU: any for which a backend's library lies beside llama.cpp's. Without one they are skipped.

The image's `cuda` target has the library; for a working tree: build as its Dockerfile does and put libggml-cuda.so into the folder
`llama_cpp/lib` of the virtual environment. Run these alone then: tests/model counts on the CPUs' sums.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from scripts import make_gguf
from service.engine.llama.devices import GPU, Device, found_devices
from service.engine.llama.library import open_library
from tests.conftest import MODELS, SCRIPTS, run_script

HOG = """
import ctypes, sys
cuda = ctypes.CDLL("libcudart.so.13")
free, total, taken = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_void_p()
cuda.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
assert cuda.cudaMalloc(ctypes.byref(taken), ctypes.c_size_t(free.value - int(sys.argv[1]))) == 0
print("taken", flush=True)
sys.stdin.read()
"""
LONG_CONTEXT = 1 << 20
CALM = make_gguf.Shape(embedding=1024, layers=4, heads=16, kv_heads=4, feed_forward=2816, context=8192)


@pytest.fixture(scope="session")
def gpu() -> Device:
    """The first GPU."""
    open_library()
    found = [device for device in found_devices() if device.kind == GPU]
    if not found:
        pytest.skip("no GPU, or no library of a GPU's backend beside llama.cpp's")
    return found[0]


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model in Q4_K whose attention is not sharp: what is rounded stays a rounding. In the large one, 22 sharp layers make
    another text of it."""
    path = tmp_path_factory.mktemp("calm") / "calm.gguf"
    run_script(SCRIPTS / "fetch_models.py", "tokenizer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_gguf, "SHARPNESS", {})
        make_gguf.make(replace(make_gguf.PRESETS["1b"], shape=CALM), path, seed=1)
    return path


@pytest.fixture(scope="session")
def billion() -> Path:
    """A random model of a billion weights in Q4_K."""
    path = MODELS / "random-1b.Q4_K.gguf"
    if not path.exists():
        run_script(SCRIPTS / "fetch_models.py", "tokenizer")
        run_script(SCRIPTS / "make_gguf.py", "1b")
    return path


@pytest.fixture(scope="session")
def long_billion(billion: Path) -> Path:
    """The same, trained for a million tokens, as it says."""
    path = MODELS / "random-1b-long.Q4_K.gguf"
    if not path.exists() or path.stat().st_mtime < billion.stat().st_mtime:
        run_script(SCRIPTS / "make_gguf.py", "1b", "--context", str(LONG_CONTEXT), "--out", str(path))
    return path


@pytest.fixture
def leaving() -> Callable[[int], object]:
    """Makes the GPU's memory narrow: another process takes all but so many bytes while the block runs."""

    @contextmanager
    def narrow(left: int) -> Iterator[None]:
        with subprocess.Popen(
            [sys.executable, "-c", HOG, str(left)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as hog:
            assert hog.stdout is not None
            assert hog.stdin is not None
            try:
                assert hog.stdout.readline() == "taken\n"
                yield
            finally:
                hog.stdin.close()

    return narrow
