"""Request fields become what the sampler chain takes: over the defaults, within bounds."""

from __future__ import annotations

from dataclasses import asdict, fields
from math import inf
from typing import Any

import pytest

from service.api.sampling import CLAMPS, FLOAT32, sampling_params
from service.api.schemas.fields import SamplingFields
from service.engine.requests import DEFAULT_SAMPLERS, RANDOM_SEED, SamplingParams
from service.errors import InvalidRequest
from service.settings import Settings
from tests.support.fake_model import FakeModel

DEFAULTS = SamplingParams(**asdict(Settings().sampling))


def params(**given: Any) -> SamplingParams:
    return sampling_params(SamplingFields(**given), DEFAULTS, FakeModel(), 256)


def test_a_request_that_says_nothing_gets_the_settings() -> None:
    assert params() == DEFAULTS
    assert SamplingParams() == DEFAULTS


def test_every_parameter_can_be_asked_for() -> None:
    assert {field.name for field in fields(SamplingParams)} <= set(SamplingFields.__struct_fields__)


@pytest.mark.parametrize(
    ("field", "given", "taken"),
    [
        ("temperature", -1.0, 0.0), ("temperature", 1e300, FLOAT32), ("top_k", -5, 0), ("top_k", 2**40, 2**31 - 1),
        ("top_p", 1.5, 1.0), ("min_p", -0.5, 0.0), ("xtc_probability", 2.0, 1.0), ("xtc_threshold", -1.0, 0.0),
        ("mirostat", 7, 2), ("mirostat", -1, 0), ("adaptive_target", 3.0, 1.0), ("presence_penalty", -1e300, -FLOAT32),
        ("repeat_last_n", -1, 256), ("dry_penalty_last_n", -1, 256), ("dry_base", 0.5, 1.75), ("dry_base", 2.0, 2.0),
        ("seed", -1, RANDOM_SEED), ("seed", 7, 7), ("seed", 2**32 + 7, 7), ("ignore_eos", True, True),
        ("dry_sequence_breakers", ["a"], ("a",)),
    ],
)  # fmt: skip
def test_a_value_is_taken_within_its_bounds(field: str, given: Any, taken: Any) -> None:
    value = getattr(params(**{field: given}), field)
    assert value == taken
    assert type(value) is type(taken)


def test_clamps_are_of_fields_that_exist() -> None:
    assert set(CLAMPS) <= set(SamplingFields.__struct_fields__)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([], ()),
        ("", ()),
        ("kpt", ("top_k", "top_p", "temperature")),
        ("edskypmxt", DEFAULT_SAMPLERS),
        (["temperature", "Top-K", "nucleus", "typical_p"], ("temperature", "top_k", "top_p", "typ_p")),
    ],
)
def test_samplers_are_named_or_written_as_letters(given: list[str] | str, names: tuple[str, ...]) -> None:
    assert params(samplers=given).samplers == names


@pytest.mark.parametrize("given", ["kz", ["top_k", "magic"], ["k"]])
def test_an_unknown_sampler_is_refused(given: list[str] | str) -> None:
    with pytest.raises(InvalidRequest, match="samplers: unknown sampler"):
        params(samplers=given)


@pytest.mark.parametrize(
    ("given", "biases"),
    [
        ({"5": -100, "6": False}, ((5, -100.0), (6, -inf))),
        ([(5, 1.5), ("7", 2)], ((5, 1.5), (7, 2.0))),
        ([("Hi", -1)], ((72, -1.0), (105, -1.0))),
        ({"": 3}, ()),
        ({"5": 1e300}, ((5, FLOAT32),)),
        ({"٣": 1}, ((217, 1.0), (163, 1.0))),
        ({"--5": 1}, ((45, 1.0), (45, 1.0), (53, 1.0))),
    ],
)
def test_biases_are_by_token_or_by_text(given: Any, biases: tuple[tuple[int, float], ...]) -> None:
    assert params(logit_bias=given).logit_bias == biases


@pytest.mark.parametrize("given", [{"258": 1}, {"-1": 1}, [(300, 1)], {"5": True}])
def test_a_bias_that_means_nothing_is_refused(given: Any) -> None:
    with pytest.raises(InvalidRequest, match="logit_bias") as caught:
        params(logit_bias=given)
    assert caught.value.param == "logit_bias"
