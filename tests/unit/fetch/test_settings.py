"""What stands behind `mistral-api fetch`."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import SettingError
from service.settings import Settings
from service.settings.fetching import Credentials, FetchSettings, fetch_help
from service.settings.option import declared_options

PAGE = Path(__file__).parents[3] / "docs" / "fetch.md"
SOURCE = "hf://Owner/Repo/a.gguf"


def read(*arguments: str, **environment: str) -> FetchSettings:
    return FetchSettings.from_arguments(arguments, environment)


def test_the_source_may_stand_before_or_after_the_options() -> None:
    assert read(SOURCE, "--to", "/models").source == SOURCE
    assert read("--to", "/models", "--offline", SOURCE) == read(SOURCE, "--offline", "--to=/models")


def test_everything_may_come_from_variables() -> None:
    settings = read(MISTRAL_API_FETCH_SOURCE=SOURCE, MISTRAL_API_FETCH_TO="/models", MISTRAL_API_FETCH_SHA256="A" * 64)
    assert (settings.source, settings.to, settings.sha256) == (SOURCE, Path("/models"), ("a" * 64,))


def test_sums_add_up_and_may_have_their_kind_in_front() -> None:
    settings = read(SOURCE, "--to", "x", "--sha256", f"sha256:{'1' * 64}", "--sha256", "2" * 64)
    assert settings.sha256 == ("1" * 64, "2" * 64)


@pytest.mark.parametrize(
    "arguments",
    [
        (), ("--to", "x"), (SOURCE,), (SOURCE, SOURCE, "--to", "x"), (SOURCE, "--to", "x", "--sha256", "abc"),
        (SOURCE, "--to", "x", "--ctx-size", "1"), (SOURCE, "--to", "x", "--retries", "-1"), (SOURCE, "--to", "x", "--timeout", "0"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SettingError):
        read(*arguments)


@pytest.mark.parametrize(
    "source",
    [
        "https://user:secret@host/a.gguf",
        "https://host/a.gguf?a=b&X-Amz-Signature=secret",
        "https://host/a.gguf?sig=secret",
    ],
)
def test_a_secret_is_taken_from_the_variable_and_not_from_the_arguments(source: str) -> None:
    with pytest.raises(SettingError, match="MISTRAL_API_FETCH_SOURCE") as caught:
        read(source, "--to", "x")
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(read("--to", "x", MISTRAL_API_FETCH_SOURCE=source))


def test_credentials_are_read_from_their_usual_variables_and_never_shown() -> None:
    settings = read(
        SOURCE, "--to", "x", HF_TOKEN=" secret1\n", AWS_ACCESS_KEY_ID="secret2", AWS_SECRET_ACCESS_KEY="secret3"
    )
    assert settings.credentials == Credentials(hub_token="secret1", access_key="secret2", secret_key="secret3")
    assert "secret" not in repr(settings)


@pytest.mark.parametrize("half", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_half_a_key_is_refused(half: str) -> None:
    with pytest.raises(SettingError, match="AWS_"):
        read(SOURCE, "--to", "x", **{half: "secret"})


def test_the_servers_variables_do_not_disturb_and_those_of_fetch_not_the_server() -> None:
    read(SOURCE, "--to", "x", LLAMA_ARG_CTX_SIZE="no number", MISTRAL_API_OTHER="x")
    assert Settings.from_arguments([], {"MISTRAL_API_FETCH_TO": "/models", "LLAMA_ARG_MODEL": "x"}).notes == ()


def test_help_and_the_page_name_every_option_and_variable() -> None:
    page, shown = PAGE.read_text(encoding="utf-8"), fetch_help()
    names = {
        name
        for _, option, _ in declared_options(FetchSettings)
        for spelling in option.spellings
        for name in spelling.names
    }
    variables = {spelling.variable for _, option, _ in declared_options(FetchSettings) for spelling in option.spellings}
    secrets = {"HF_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "MISTRAL_API_FETCH_TOKEN"}
    assert [name for name in names | variables | secrets if name not in page] == []
    assert [name for name in names | variables | secrets if name not in shown] == []
