"""The small readers of requests: prompts, fields that are not served yet, origins."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.datastructures import MutableScopeHeaders

from service.api.cors import Cors
from service.api.prompts import split_prompts
from service.api.schemas.completions import CompletionRequest
from service.api.schemas.fields import UnservedFields
from service.api.unserved import HARMLESS, refuse_unserved
from service.errors import InvalidRequest, NotServed


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a", ["a"]),
        ([1, 2], [[1, 2]]),
        ([1, "a"], [[1, "a"]]),
        (["a", 1], [["a", 1]]),
        (["a", "b"], ["a", "b"]),
        ([[1], "a", [1, "b"]], [[1], "a", [1, "b"]]),
        (["a"], ["a"]),
    ],
)
def test_a_list_with_a_number_is_one_prompt_and_any_other_several(prompt: Any, prompts: list[Any]) -> None:
    assert split_prompts(prompt) == prompts


@pytest.mark.parametrize("prompt", [[], [None], [{"prompt_string": "a"}], [True], [1.5]])
def test_what_is_no_prompt_is_refused(prompt: Any) -> None:
    with pytest.raises(InvalidRequest, match="prompt"):
        split_prompts(prompt)


def test_every_unserved_field_says_what_is_harmless() -> None:
    assert set(HARMLESS) == set(UnservedFields.__struct_fields__)


@pytest.mark.parametrize("field", sorted(HARMLESS))
def test_a_value_that_would_change_the_answer_is_refused_by_name(field: str) -> None:
    given: dict[str, Any] = {field: {"some": "thing"}}
    with pytest.raises(NotServed) as caught:
        refuse_unserved(CompletionRequest(prompt="a", **given))
    assert caught.value.param == field


@pytest.mark.parametrize("field", sorted(HARMLESS))
def test_null_is_never_refused(field: str) -> None:
    refuse_unserved(CompletionRequest(prompt="a", **{field: None}))


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ("*", "https://a.example", True),
        ("https://a.example", "https://a.example", True),
        ("https://a.example", "https://a.example.evil", False),
        ("https://a.example,https://b.example", "https://b.example", True),
        ("localhost", "http://localhost:3000", True),
        ("localhost", "http://[::1]:80", True),
        ("https://a.example", "http://localhost:3000", False),
        ("localhost", "http://localhost.evil", False),
        ("localhost", "http://[broken", False),
        ("", "https://a.example", False),
    ],
)
def test_origins_are_allowed_as_the_setting_says(origins: str, origin: str, allowed: bool) -> None:
    headers = MutableScopeHeaders({"headers": []})
    scope: Any = {"headers": [(b"origin", origin.encode())], "method": "GET"}
    Cors(origins, "GET", "*", credentials=True).add_to(headers, scope)
    assert (headers.get("access-control-allow-origin") == origin) is allowed
