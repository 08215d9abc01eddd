"""Every failure has what the web room, the metrics and the page of errors need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import ServiceError, SettingError, StartError

ERRORS_PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
KINDS = {
    "invalid_request_error", "exceed_context_size_error", "authentication_error", "permission_error", "not_found_error",
    "server_error", "not_supported_error", "unavailable_error", "overloaded_error",
    "timeout_error",
}  # fmt: skip
"""llama-server's types, and one of ours for 429, which it does not have."""


def subclasses(cls: type[Exception]) -> Iterator[type[Exception]]:
    for child in cls.__subclasses__():
        yield child
        yield from subclasses(child)


SERVICE_ERRORS = [cls for cls in subclasses(ServiceError) if issubclass(cls, ServiceError)]
START_ERRORS = [cls for cls in subclasses(StartError) if cls.__module__ == StartError.__module__]


def rows() -> dict[str, list[str]]:
    """The cells of each row of the page by the name of its class."""
    lines = ERRORS_PAGE.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in cells}


@pytest.mark.parametrize("cls", SERVICE_ERRORS)
def test_every_error_has_a_status_a_type_and_a_label(cls: type[ServiceError]) -> None:
    assert 400 <= cls.status <= 599
    assert cls.kind in KINDS
    assert re.fullmatch("[a-z_]+", cls.label)


def test_no_two_errors_have_one_label() -> None:
    labels = [cls.label for cls in SERVICE_ERRORS]
    assert len(labels) == len(set(labels))


@pytest.mark.parametrize("cls", SERVICE_ERRORS)
def test_the_page_says_of_every_error_what_the_class_says(cls: type[ServiceError]) -> None:
    label, status, kind, when, advice = rows()[cls.__name__]
    assert (label.strip("`"), int(status), kind.strip("`")) == (cls.label, cls.status, cls.kind)
    assert when
    assert advice


def test_the_page_has_no_error_that_is_none() -> None:
    assert set(rows()) == {cls.__name__ for cls in [*SERVICE_ERRORS, *START_ERRORS]}


def test_a_setting_error_is_one_line_with_name_value_and_what_is_right() -> None:
    assert str(SettingError("--port", "x\ny", "a number")) == r"--port: 'x\ny' cannot be used; expected a number"
