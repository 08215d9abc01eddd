"""What loading reports: progress, refusals with path and reason, the sum of the context, memory."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter
from llama_cpp import llama_cpp as native

from service.engine.llama.loading import load_model, model_loader
from service.engine.llama.model import LlamaModel
from service.engine.llama.options import LlamaOptions
from service.engine.memory import Room
from service.engine.model import DecodeResult, Model, Rows
from service.errors import ModelLoadError, SettingError
from tests.model.conftest import tiny_options

ROOT = Path(__file__).resolve().parent.parent.parent


def refused(path: Path, **changes: object) -> str:
    with pytest.raises(ModelLoadError) as caught:
        load_model(replace(tiny_options(path), **changes), lambda _: None)  # type: ignore[arg-type]
    assert caught.value.path == str(path)
    message = str(caught.value)
    assert message.startswith(f"cannot load the model {path}: ")
    assert "\n" not in message
    return message.removeprefix(f"cannot load the model {path}: ")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.gguf") == "no such file or directory"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "folder" in refused(tmp_path)


@pytest.mark.parametrize("content", [b"", b"GG", b"PK\x03\x04 not a model", b"ggml" * 100])
def test_another_format_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    assert "not a GGUF file" in refused(path)


@pytest.mark.parametrize("share", [0.00001, 0.02, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, tiny_model_path: Path, share: float) -> None:
    whole = tiny_model_path.read_bytes()
    path = tmp_path / "model.gguf"
    path.write_bytes(whole[: int(len(whole) * share)])
    assert re.search("incomplete|not a GGUF file", refused(path))


def test_an_unknown_architecture_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    writer = GGUFWriter(path, "abacus")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "abacus" in refused(path)


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("llama_model_has_encoder", True, "encoder"),
        ("llama_model_has_decoder", False, "continue a text"),
        ("llama_model_is_diffusion", True, "diffusion"),
        ("llama_vocab_type", 0, "no vocabulary"),
        ("llama_get_memory", None, "no memory"),
    ],
)
def test_a_model_that_cannot_continue_a_text_is_refused(
    tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch, question: str, answer: object, reason: str
) -> None:
    monkeypatch.setattr(native, question, lambda _: answer)
    assert reason in refused(tiny_model_path)


def test_a_model_that_computes_no_numbers_is_refused(tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LlamaModel, "logits", lambda *_: np.array([1.0, np.nan]))
    assert "NaN" in refused(tiny_model_path, warmup=True)


def test_errors_of_a_refused_file_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tiny_model_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny_model_path.read_bytes()[:500_000])
    with caplog.at_level(logging.INFO):
        refused(path)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"cache_type_k": "q3"}, "--cache-type-k"),
        ({"cache_type_v": ""}, "--cache-type-v"),
        ({"flash_attn": "yes"}, "--flash-attn"),
        ({"rope_scaling": "magic"}, "--rope-scaling"),
    ],
)
def test_an_unknown_name_is_refused_before_anything_is_read(changes: dict[str, str], setting: str) -> None:
    with pytest.raises(SettingError, match="expected one of") as caught:
        load_model(replace(LlamaOptions("none.gguf"), **changes), lambda _: None)  # type: ignore[arg-type]
    assert caught.value.name == setting


def run_limited(options: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Loads in a process that may have 3 GiB of addresses."""
    program = f"""
import resource, logging, sys
from pathlib import Path
logging.basicConfig(level=logging.WARNING)
from service.engine.llama.loading import load_model
from service.engine.llama.options import LlamaOptions
from service.errors import ModelLoadError
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
try:
    load_model(LlamaOptions({str(path)!r}, {options}), lambda _: None)
except ModelLoadError as error:
    print(error)
"""
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )


def test_a_context_beyond_memory_is_warned_about_and_then_refused(tiny_model_path: Path) -> None:
    run = run_limited("context=100_000_000", tiny_model_path)
    assert "no context of 100000000 tokens can be made: " in run.stdout
    assert re.search(r"WARNING:engine.llama:context 100000000 tokens \(as asked\).*may not fit", run.stderr)


def test_progress_rises_from_zero_to_one(tiny_model_path: Path) -> None:
    seen: list[float] = []
    model: Model = model_loader(replace(tiny_options(tiny_model_path), warmup=True))(seen.append)
    model.close()
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert all(0 <= value <= 0.9 for value in seen[:-1])


def test_a_warmed_up_model_is_empty(tiny_model_path: Path) -> None:
    model = load_model(replace(tiny_options(tiny_model_path), warmup=True), lambda _: None)
    assert model.decode([Rows(0, 0, [1] * 100, wants_sample=True)]) is DecodeResult.OK
    model.close()
    model.close()


def test_context_zero_takes_the_trained_length_and_says_the_sum(
    tiny_model_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "engine.llama"):
        model = load_model(replace(tiny_options(tiny_model_path), context=0), lambda _: None)
    assert (model.cells, model.runtime.context) == (2048, 2048)
    model.close()
    [line] = [record.message for record in caplog.records if record.message.startswith("context")]
    assert "2048 tokens (trained 2048): needs" in line
    assert [record.message for record in caplog.records if "beside the file" in record.message]


@pytest.mark.parametrize("flash_attn", ["on", "off"])
@pytest.mark.parametrize(
    "sizes",
    [{"context": 256}, {"context": 8192}, {"context": 32768, "ubatch": 64}, {"context": 4096, "cache_type_k": "f32"}],
    ids=str,
)
def test_the_sum_is_above_what_llama_takes_and_not_far_above(
    tiny_model_path: Path, caplog: pytest.LogCaptureFixture, flash_attn: str, sizes: dict[str, int | str]
) -> None:
    options = replace(tiny_options(tiny_model_path), batch=512, ubatch=512, flash_attn=flash_attn)
    options = replace(options, **sizes)  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO):
        load_model(options, lambda _: None).close()
    text = "\n".join(record.message for record in caplog.records if "CPU_Mapped" not in record.message)
    taken = sum(float(size) for size in re.findall(r"buffer size =\s+([\d.]+) MiB", text))
    needs = re.search(r"needs (\d+) MiB", text)
    assert needs is not None
    assert taken <= int(needs[1]) + 1 <= 2 * taken + 32


def test_the_weights_pages_are_not_to_spare(tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = tiny_model_path.stat().st_size
    spare = {}
    for mmap in (True, False):
        monkeypatch.setattr("service.engine.memory.memory_room", lambda: Room(size, "a test"))
        model = load_model(replace(tiny_options(tiny_model_path), mmap=mmap), lambda _: None)
        spare[mmap] = model.spare_bytes
        model.close()
    assert spare[True] < size * 0.2 < spare[False] < size


def test_what_was_loaded_is_told(loaded_tiny: LlamaModel) -> None:
    runtime = loaded_tiny.runtime
    assert re.fullmatch(r"b[\d.]+-[0-9a-f]{7,}", runtime.build)
    assert (runtime.threads, runtime.threads_batch, runtime.context, runtime.gpu_layers) == (2, 2, 512, 0)
    assert runtime.cpu_variant
    assert (loaded_tiny.cells, loaded_tiny.batch, loaded_tiny.sequences, loaded_tiny.keeps_partial) == (
        512,
        128,
        16,
        True,
    )
    assert json.dumps(loaded_tiny.info.metadata)
