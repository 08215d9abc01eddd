"""The trial of CPU kernels: the best library that survives is taken, and why another was not stands in the log."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

import httpx
import pytest

from service.engine.llama.library import library_folder, library_path
from service.engine.llama.variants import NoVariantRuns, by_score, choose_variant, find_variants, program, refusal
from service.errors import SettingError
from tests.support.command import running_command

GGML_LIBRARY = library_path(library_folder(), "ggml")
BEST = "extern int ggml_backend_score(void) { return 1 << 30; }"
KINDS = {
    "dies": BEST + "extern void *ggml_backend_init(void) { raise(SIGILL); return 0; }",
    "hangs": BEST + "extern void *ggml_backend_init(void) { for (;;) pause(); }",
    "empty": BEST,
    "unasked": "extern int ggml_backend_score(void) { raise(SIGSEGV); return 1; }",
    "unfit": "extern int ggml_backend_score(void) { return 0; }",
}


def folder_with(tmp_path: Path, *kinds: str) -> Path:
    """The real libraries, and beside them some that are not what they say."""
    for variant in find_variants(library_folder()):
        (tmp_path / variant.path.name).symlink_to(variant.path)
    for kind in kinds:
        source = tmp_path / f"{kind}.c"
        source.write_text(f"#include <signal.h>\n#include <unistd.h>\n{KINDS[kind]}\n")
        library = tmp_path / f"libggml-cpu-{kind}.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return tmp_path


@pytest.fixture(scope="module")
def best_real() -> str:
    return by_score(GGML_LIBRARY, find_variants(library_folder()), 10)[0].name


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_the_best_library_passes_within_the_time_it_may_take(best_real: str, caplog: pytest.LogCaptureFixture) -> None:
    began = os.times()
    assert choose_variant(GGML_LIBRARY, library_folder()).name == best_real
    took = os.times()
    assert took.children_user + took.children_system - began.children_user - began.children_system < 8, "CPU seconds"
    assert messages(caplog) == []


def test_every_library_that_fits_this_cpu_passes() -> None:
    fitting = by_score(GGML_LIBRARY, find_variants(library_folder()), 10)
    assert fitting == sorted(fitting, key=lambda variant: -variant.score)
    assert fitting[-1].score > 0
    assert [refusal([*program("try", GGML_LIBRARY), str(variant.path)], 30) for variant in fitting[::3]] == [
        None
    ] * len(fitting[::3])


def test_a_library_that_dies_gives_way_to_the_next(
    tmp_path: Path, best_real: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folder_with(tmp_path, "dies", "unfit")
    assert choose_variant(GGML_LIBRARY, folder).name == best_real
    assert messages(caplog) == [
        "CPU kernels dies refused: killed by SIGILL while opening libggml-cpu-dies.so; trying the next best"
    ]


def test_a_library_that_hangs_gives_way_to_the_next(
    tmp_path: Path, best_real: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folder_with(tmp_path, "hangs", "empty")
    assert choose_variant(GGML_LIBRARY, folder, timeout=4).name == best_real
    assert (
        "CPU kernels hangs refused: no answer in 4 s while opening libggml-cpu-hangs.so; trying the next best"
        in messages(caplog)
    )
    assert "CPU kernels empty refused: " in "\n".join(messages(caplog))


def test_a_library_that_dies_when_asked_is_left_out(
    tmp_path: Path, best_real: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folder_with(tmp_path, "unasked")
    assert choose_variant(GGML_LIBRARY, folder).name == best_real
    assert messages(caplog) == ["CPU kernels unasked refused: killed by SIGSEGV while asked what they fit"]


def test_a_library_asked_for_by_name_is_not_tried(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "dies")
    assert choose_variant(GGML_LIBRARY, folder, "dies").path == folder / "libggml-cpu-dies.so"


def test_an_unknown_name_is_refused_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"--cpu-variant: 'i9' cannot be used; expected one of .*dies.*"):
        choose_variant(GGML_LIBRARY, folder_with(tmp_path, "dies"), "i9")


def test_a_folder_where_nothing_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoVariantRuns, match="no CPU kernels in"):
        choose_variant(GGML_LIBRARY, tmp_path)


def test_a_build_for_one_cpu_is_tried_too(tmp_path: Path, best_real: str) -> None:
    real = library_folder() / f"libggml-cpu-{best_real}.so"
    (tmp_path / "libggml-cpu.so").symlink_to(real)
    assert choose_variant(GGML_LIBRARY, tmp_path).name == "default"


def test_the_service_comes_up_on_the_next_library_and_says_so_everywhere(
    tmp_path: Path, best_real: str, tiny_model_path: Path
) -> None:
    folder = folder_with(tmp_path, "dies")
    arguments = ("--model", str(tiny_model_path), "--ctx-size", "256", "--cpu-variants-dir", str(folder))
    with running_command(*arguments) as command:
        command.wait_for("ready")
        props = httpx.get(f"{command.url}/props").json()
        metrics = httpx.get(f"{command.url}/metrics").text
        answer = httpx.post(f"{command.url}/v1/completions", json={"prompt": "Hi", "max_tokens": 2}, timeout=30)
    assert answer.status_code == 200
    assert props["cpu_variant"] == best_real
    assert 1 << 20 < props["memory"]["anonymous"] < 1 << 30
    assert f'cpu_variant="{best_real}"' in metrics
    told = [str(line["event"]) for line in command.lines]
    assert any(line.startswith("CPU kernels dies refused: killed by SIGILL") for line in told)
    assert any(line.startswith("llama.cpp ") and line.endswith(f", CPU kernels {best_real}") for line in told)
