"""--help, --check and docs/options.md hold every setting."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest

from service.settings import SamplingDefaults, Settings, every_option
from service.settings.foreign import FOREIGN
from service.settings.showing import check_text, document, help_text

OPTIONS_PAGE = Path(__file__).parents[2] / "docs" / "options.md"
NAMES = [name for _, declared, _ in every_option() for spelling in declared.spellings for name in spelling.shown_names]
VARIABLES = [
    spelling.variable for _, declared, _ in every_option() for spelling in declared.spellings if spelling.variable
]


def test_every_field_is_declared_as_an_option() -> None:
    declared = {name for name, _, _ in every_option()}
    assert declared == {entry.name for cls in (Settings, SamplingDefaults) for entry in fields(cls)} - {
        "sampling",
        "notes",
        "key_priorities",
    }


def test_no_name_and_no_variable_stands_twice() -> None:
    names = Counter(NAMES + [name for entry in FOREIGN for name in entry.shown_names])
    variables = Counter(VARIABLES + [entry.variable for entry in FOREIGN if entry.variable])
    assert [name for name, count in (names + variables).items() if count > 1] == []


def test_every_option_but_the_commands_own_has_a_variable() -> None:
    without = {name for name, declared, _ in every_option() if not any(s.variable for s in declared.spellings)}
    assert without == {"help", "version", "check"}


def test_the_page_of_options_is_what_the_declarations_make() -> None:
    assert OPTIONS_PAGE.read_text(encoding="utf-8") == document(), "run: make docs"


def test_the_page_has_a_line_for_every_name_and_variable() -> None:
    lines = OPTIONS_PAGE.read_text(encoding="utf-8").replace("\\|", "|").splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    words = {word.strip("`,") for row in rows for word in row.replace("<br>", " ").split()}
    assert set(NAMES + VARIABLES) <= words


def test_help_holds_every_name_under_its_group() -> None:
    text = help_text()
    words = {word.strip(",;") for word in text.split()}
    assert set(NAMES) <= words
    for _, declared, _ in every_option():
        assert f"\n{declared.group}:\n" in text


@pytest.mark.parametrize("name", ["--metrics", "--jinja", "--no-jinja", "--mmproj"])
def test_help_says_what_becomes_of_llama_servers_other_options(name: str) -> None:
    before, _, refused = help_text().partition("not served")
    assert (f" {name}," in refused) is (name in ("--no-jinja", "--mmproj"))
    assert (f" {name}," in before) is (name in ("--metrics", "--jinja"))


def test_check_shows_every_setting_and_no_key() -> None:
    settings = Settings.from_arguments(["-m", "m.gguf", "--api-key", "geheim", "--metrics"], {})
    text = check_text(settings)
    shown = {line.split(" = ")[0] for line in text.splitlines() if not line.startswith("#")}
    assert shown == {name for name, _, _ in every_option()} - {"help", "version", "check"}
    assert 'model = "m.gguf"' in text
    assert 'api_key = ["***"]' in text
    assert "geheim" not in text
    assert "# --metrics changes nothing here" in text
