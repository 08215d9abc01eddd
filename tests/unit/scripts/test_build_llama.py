from __future__ import annotations

import base64
import hashlib
import shlex
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import build_llama
from scripts.build_llama import (
    BuildError,
    alone,
    build_environment,
    build_key,
    cached_wheel,
    new_place,
    repack,
    show_progress,
)

RECORD = "llama_cpp_python-0.3.36.dist-info/RECORD"
BUILT = [
    "llama_cpp/__init__.py",
    "llama_cpp/lib/libllama.so",
    "lib/libllama.so",
    "bin/libllama.so",
    "llama_cpp/lib/libggml.so",
    "lib/libggml.so",
    "lib/libggml-base.so",
    "bin/libggml-cpu-haswell.so",
    "llama_cpp/lib/libggml-cpu-haswell.so",
    "bin/libggml-cpu-zen4.so",
    "lib/libvendor-hash.a",
    "lib/libllama.so.0",
    "include/llama.h",
    RECORD,
]


@pytest.fixture(autouse=True)
def compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_llama, "compiler_version", lambda: "c++ 12")


def write_wheel(folder: Path, names: list[str]) -> Path:
    path = folder / "llama_cpp_python-0.3.36-py3-none-linux_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name.rsplit("/", 1)[-1])
    return path


@pytest.fixture
def slim(tmp_path: Path) -> Path:
    (tmp_path / "slim").mkdir()
    return repack(write_wheel(tmp_path, BUILT), tmp_path / "slim")


def test_each_library_is_kept_once_and_beside_the_binding(slim: Path) -> None:
    with zipfile.ZipFile(slim) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names))
    assert sorted(names) == [
        "llama_cpp/__init__.py",
        "llama_cpp/lib/libggml-base.so",
        "llama_cpp/lib/libggml-cpu-haswell.so",
        "llama_cpp/lib/libggml-cpu-zen4.so",
        "llama_cpp/lib/libggml.so",
        "llama_cpp/lib/libllama.so",
        RECORD,
    ]


def test_the_record_names_every_file_with_its_hash(slim: Path) -> None:
    with zipfile.ZipFile(slim) as archive:
        lines = archive.read(RECORD).decode().splitlines()
        for line in lines[:-1]:
            name, digest, size = line.rsplit(",", 2)
            data = archive.read(name)
            assert digest == "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert int(size) == len(data)
        assert [line.split(",")[0] for line in lines] == archive.namelist()
    assert lines[-1] == f"{RECORD},,"


@pytest.mark.parametrize("lost", ["libllama.so", "libggml.so", "libggml-base.so", "libggml-cpu"])
def test_a_wheel_without_a_library_that_the_service_needs_is_refused(tmp_path: Path, lost: str) -> None:
    (tmp_path / "slim").mkdir()
    names = [name for name in BUILT if not name.rsplit("/", 1)[-1].startswith(lost)]
    with pytest.raises(BuildError, match="lacks"):
        repack(write_wheel(tmp_path, names), tmp_path / "slim")


@pytest.mark.parametrize(
    "name", ["llama_cpp/lib/libllama-common.so", "lib/libmtmd.so", "lib/libggml.so.0", "include/ggml.h", "lib/"]
)
def test_what_the_binding_does_not_open_is_left_out(name: str) -> None:
    assert new_place(name) is None


def change_option(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(build_llama.OPTIONS, "GGML_NATIVE", "ON")


def change_compiler(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(build_llama, "compiler_version", lambda: "c++ 14")


def change_header(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(build_llama, "HEADER", build_llama.PARTS)


def change_patch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(build_llama, "PATCHES", (build_llama.PARTS,))


def change_flags(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("CXXFLAGS", "-O1")


@pytest.mark.parametrize("change", [change_option, change_compiler, change_header, change_patch, change_flags])
def test_the_key_changes_with_what_the_bytes_depend_on(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch], None]
) -> None:
    before = build_key()
    change(monkeypatch)
    assert build_key() != before


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("# another comment\nllama-cpp-python==1.0 \\\n    --hash=sha256:bb\n", True),
        ("llama-cpp-python==1.1 \\\n    --hash=sha256:aa\n", False),
    ],
)
def test_the_key_knows_locked_versions_not_wording(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, same: bool
) -> None:
    monkeypatch.setattr(build_llama, "REQUIREMENTS", tmp_path)
    (tmp_path / "build.txt").write_text("cmake==4.0 \\\n    --hash=sha256:cc\n")
    (tmp_path / "llama.txt").write_text("llama-cpp-python==1.0 \\\n    --hash=sha256:aa\n")
    before = build_key()
    (tmp_path / "llama.txt").write_text(text)
    assert (build_key() == before) is same


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Folders in which llama.cpp would have been compiled; the cache is in tmp_path."""
    runs: list[Path] = []

    def compile_wheel(work: Path) -> Path:
        runs.append(work)
        return write_wheel(work, BUILT)

    monkeypatch.setenv("MISTRAL_API_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build_llama, "compile_wheel", compile_wheel)
    return runs


def test_a_wheel_is_compiled_once_for_all_clones(compiled: list[Path]) -> None:
    first, second = cached_wheel(), cached_wheel()
    assert first == second
    assert first.is_file()
    assert len(compiled) == 1


def test_a_build_waits_for_another_one_of_the_same_key(compiled: list[Path], tmp_path: Path) -> None:
    build = threading.Thread(target=cached_wheel)
    (tmp_path / "cache" / "llama").mkdir(parents=True)
    with alone(tmp_path / "cache" / "llama" / f"{build_key()}.lock"):
        build.start()
        build.join(0.1)
        assert compiled == []
    build.join()
    assert len(compiled) == 1


def test_a_failed_build_leaves_nothing_that_looks_built(
    compiled: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build_llama, "NEEDED_LIBRARIES", ("libabsent.so",))
    with pytest.raises(BuildError):
        cached_wheel()
    assert not list((tmp_path / "cache").rglob("*.whl"))


def test_progress_is_shown_in_steps_of_five_percent_and_all_lines_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"  [{n}/200] Building CXX object [3/4].o\n" for n in range(1, 201)] + ["warning: [100/100]\n"]
    assert show_progress(lines) == lines
    shown = [line.split("%")[0].split()[-1] for line in capsys.readouterr().out.splitlines()]
    assert shown == [str(percent) for percent in range(0, 101, 5)]


def test_a_folder_with_spaces_does_not_split_the_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build_llama, "HEADER", tmp_path / "my project" / "header.h")
    words = shlex.split(build_environment(tmp_path)["CMAKE_ARGS"])
    assert f'-DCMAKE_CXX_FLAGS=-include "{tmp_path}/my project/header.h"' in words
