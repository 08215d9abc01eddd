"""What of a model goes to GPUs: counted here on devices that are not there, seen on real ones in tests/gpu."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from service.engine.llama import devices, placement
from service.engine.llama.devices import GPU, INTEGRATED, Device, chosen_devices, found_devices
from service.engine.llama.library import open_library
from service.engine.llama.loading import cost_by_share, layer_count, load_model, offloading, sketched
from service.engine.llama.metadata import read_metadata
from service.engine.llama.options import LlamaOptions
from service.engine.llama.placement import layers_within, placement_of, places_of
from service.engine.memory import ContextCost, choose_context
from service.errors import SettingError

MIB, GIB = 1 << 20, 1 << 30
TWO = (Device(1, "CUDA0", GPU, 30 * GIB), Device(2, "CUDA1", GPU, 10 * GIB))
INSIDE = Device(3, "Vulkan0", INTEGRATED, 8 * GIB)


def options(**changes: object) -> LlamaOptions:
    return LlamaOptions("m.gguf", **changes)  # type: ignore[arg-type]


def cost(share: float) -> ContextCost:
    """A token takes 128 KiB of cells and 2 KiB of working memory."""
    return ContextCost(fixed=100 * MIB, per_token=int(131072 * share) + 2048)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "free_bytes", lambda device: device.free)


@pytest.mark.parametrize(
    ("asked", "layers", "cells"),
    [(-1, 33, 1.0), (-2, 33, 1.0), (99, 33, 1.0), (33, 33, 1.0), (17, 17, 0.5), (1, 1, 0.0), (0, 0, 0.0)],
)
def test_the_output_is_offloaded_first_and_has_no_cells(asked: int, layers: int, cells: float) -> None:
    placed = placement_of(options(), TWO, asked, 33)
    assert (placed.layers, placed.cells_on_gpus) == (layers, cells)
    assert placed.weights_on_host == pytest.approx((33 - layers) / 33)


def test_without_a_gpu_nothing_is_offloaded() -> None:
    assert placement_of(options(), (), -1, 33).layers == 0
    assert len(places_of(placement_of(options(), (), -1, 33), cost)) == 1


def test_cells_may_stay_on_the_host() -> None:
    assert placement_of(options(kv_offload=False), TWO, -1, 33).cells_on_gpus == 0


@pytest.mark.parametrize(
    ("asked", "shares"),
    [((), (0.75, 0.25)), ((1.0, 1.0), (0.5, 0.5)), ((1.0,), (1.0, 0.0)), ((3.0, 1.0, 9.0), (0.75, 0.25))],
)
def test_each_device_has_its_share(asked: tuple[float, ...], shares: tuple[float, ...]) -> None:
    assert placement_of(options(tensor_split=asked), TWO, -1, 33).shares == shares


@pytest.mark.usefixtures("free")
def test_a_context_is_as_long_as_the_narrowest_device_allows() -> None:
    even = placement_of(options(tensor_split=(1.0, 1.0)), TWO, -1, 33)
    by_memory = placement_of(options(), TWO, -1, 33)
    lengths = [choose_context(0, 1 << 20, *places_of(placed, cost)[1:]).tokens for placed in (even, by_memory)]
    assert lengths[0] < lengths[1]
    # 9 GiB less 100 MiB at 66 KiB a token
    assert lengths[0] == (9 * GIB - 100 * MIB) // (66 * 1024) // 256 * 256


def test_the_layers_that_fit_leave_room_for_the_context_and_others() -> None:
    one = TWO[:1]
    assert layers_within(one, 33, 20 * GIB, cost, 4096) == 33
    some = layers_within(one, 33, 60 * GIB, cost, 4096)
    assert some == 15
    assert layers_within(one, 33, 60 * GIB, cost, 65536) < some
    assert layers_within((Device(1, "CUDA0", GPU, GIB // 2),), 33, 60 * GIB, cost, 4096) == 0


@pytest.mark.parametrize(
    ("found", "changes", "chosen"),
    [
        ((*TWO, INSIDE), {}, ["CUDA0", "CUDA1"]),
        ((INSIDE,), {}, ["Vulkan0"]),
        ((*TWO, INSIDE), {"devices": ("none",)}, []),
        ((*TWO, INSIDE), {"devices": ("Vulkan0", "cuda1")}, ["Vulkan0", "CUDA1"]),
        (TWO, {"split_mode": "none"}, ["CUDA0"]),
        (TWO, {"split_mode": "none", "main_gpu": 1}, ["CUDA1"]),
        ((), {"split_mode": "none", "main_gpu": 1}, []),
    ],
)
def test_devices_are_chosen_as_llama_cpp_does(
    monkeypatch: pytest.MonkeyPatch, found: tuple[Device, ...], changes: dict[str, object], chosen: list[str]
) -> None:
    monkeypatch.setattr(devices, "found_devices", lambda: list(found))
    assert [device.name for device in chosen_devices(options(**changes))] == chosen


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"devices": ("CUDA7",)}, "--device: 'CUDA7' cannot be used; expected one of CUDA0, CUDA1, none"),
        ({"devices": ("none", "CUDA0")}, "--device: 'none' cannot be used"),
        ({"split_mode": "none", "main_gpu": 2}, "--main-gpu: '2' cannot be used; expected a number below 2"),
    ],
)
def test_a_device_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], words: str
) -> None:
    monkeypatch.setattr(devices, "found_devices", lambda: list(TWO))
    with pytest.raises(SettingError, match=words):
        chosen_devices(options(**changes))


def test_a_model_that_does_not_fit_is_offloaded_in_part(
    tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    open_library()
    given = LlamaOptions(str(tiny_model_path), context=512, ubatch=64)
    with caplog.at_level(logging.INFO), sketched(given) as model:
        assert layer_count(model) == 3
    assert caplog.text == ""
    for free, devices_left, fitting in ((GIB + 50 * MIB, 1, {3}), (GIB + 30 * MIB, 1, {1, 2}), (GIB + 5 * MIB, 0, {0})):
        narrow = Device(1, "CUDA0", GPU, free)
        monkeypatch.setattr(devices, "found_devices", lambda narrow=narrow: [narrow])
        taking, layers = offloading(given)
        assert layers in fitting
        assert len(taking) == devices_left
    assert "of 3 layers fit on CUDA0; the CPUs compute the others" in caplog.text
    assert offloading(replace(given, gpu_layers=2))[1] == 2


def test_what_is_split_is_priced_without_flash_attention(tiny_model_path: Path) -> None:
    open_library()
    given = LlamaOptions(str(tiny_model_path))
    with sketched(given) as model:
        prices = {
            (flash, split): cost_by_share(replace(given, flash_attn=flash), model, read_metadata(model), split=split)(
                1.0
            ).per_token
            for flash in ("auto", "on", "off")
            for split in (False, True)
        }
    assert prices["auto", False] == prices["on", False] == prices["on", True]
    assert prices["auto", True] == prices["off", False] > prices["auto", False]


def test_only_a_pool_on_the_host_is_saved_from() -> None:
    assert placement_of(options(), TWO, -1, 33).spare_bytes == 0
    assert placement_of(options(), TWO, 5, 33).spare_bytes == 0
    assert placement_of(options(kv_offload=False), TWO, -1, 33).spare_bytes > 0
    assert placement_of(options(), (), -1, 33).spare_bytes > 0


@pytest.mark.parametrize(
    ("changes", "layers", "split"), [({}, -1, False), ({}, 17, True), ({}, 0, True), ({"kv_offload": False}, -1, True)]
)
def test_a_model_is_split_where_the_host_has_a_part(changes: dict[str, object], layers: int, split: bool) -> None:
    assert placement_of(options(**changes), TWO, layers, 33).split == split
    assert not placement_of(options(**changes), (), layers, 33).split


def test_the_cpus_are_no_device(tiny_model_path: Path) -> None:
    model = load_model(
        LlamaOptions(str(tiny_model_path), context=256, devices=("none",), split_mode="row", warmup=False),
        lambda _: None,
    )
    assert model.runtime.gpu_layers == 0
    model.close()
    assert all(device.kind in (GPU, INTEGRATED) and device.free > 0 for device in found_devices())
