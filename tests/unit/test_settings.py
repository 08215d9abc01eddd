"""The settings: what is read, from where, and what is refused with which words."""

from __future__ import annotations

import os
from dataclasses import FrozenInstanceError, asdict, fields
from pathlib import Path

import pytest

from service.engine.requests import SamplingParams
from service.errors import SettingError
from service.settings import SamplingDefaults, Settings, every_option


def read(*arguments: str, **environment: str) -> Settings:
    return Settings.from_arguments(["--model", "m.gguf", *arguments], environment)


def refusal(*arguments: str, **environment: str) -> str:
    with pytest.raises(SettingError) as caught:
        read(*arguments, **environment)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_without_arguments_the_defaults_hold() -> None:
    assert read() == Settings(model="m.gguf")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        read().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["-c", "4096"], "ctx_size", 4096),
        (["--ctx-size", "4096"], "ctx_size", 4096),
        (["--ctx_size", "4096"], "ctx_size", 4096),
        (["--ctx-size=4096"], "ctx_size", 4096),
        (["-n", "-1"], "n_predict", -1),
        (["--predict", "7"], "n_predict", 7),
        (["-ngl", "all"], "n_gpu_layers", -2),
        (["--gpu-layers", "12"], "n_gpu_layers", 12),
        (["-fa", "on"], "flash_attn", "on"),
        (["-fa", "0"], "flash_attn", "off"),
        (["-fa", "-1"], "flash_attn", "auto"),
        (["-ctk", "q8_0"], "cache_type_k", "q8_0"),
        (["-a", "one, two"], "aliases", ("one", "two")),
        (["--no-mmap"], "mmap", False),
        (["--mlock"], "mlock", True),
        (["-np", "4"], "parallel", 4),
        (["-kvu"], "kv_unified", True),
        (["-no-kvu"], "kv_unified", False),
        (["--no-warmup"], "warmup", False),
        (["--rope-scale", "4"], "rope_freq_scale", 0.25),
        (["--log-jsonl"], "log_format", "json"),
        (["-lv", "2"], "log_level", "warning"),
        (["-v"], "log_level", "debug"),
        (["--log-disable"], "log_level", "off"),
        (["--port", "1", "--port", "2"], "port", 2),
        (["-m", "./models/mistral.gguf"], "model", "./models/mistral.gguf"),
        (["-m", "~/m.gguf"], "model", str(Path.home() / "m.gguf")),
        (["--host", " 0.0.0.0 "], "host", "0.0.0.0"),
        (["--drain-delay", "0.5"], "drain_delay", 0.5),
        (["--api-key", 'a,"b,c"', "--api-key", "d"], "api_key", ("a", "b,c", "d")),
        (["--cpu-variants-dir", "~/kernels"], "cpu_variants_dir", Path.home() / "kernels"),
    ],
)
def test_an_option_sets_its_field(arguments: list[str], field: str, value: object) -> None:
    assert getattr(read(*arguments), field) == value


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--temp", "0"], "temperature", 0.0),
        (["-s", "42"], "seed", 42),
        (["-s", "-1"], "seed", 0xFFFFFFFF),
        (["--typical-p", "0.5"], "typical_p", 0.5),
        (["--mirostat-ent", "3"], "mirostat_tau", 3.0),
        (["--samplers", "top-k;TEMP;nucleus"], "samplers", ("top_k", "temperature", "top_p")),
        (["--samplers", ""], "samplers", ()),
        (["--sampling-seq", "kt"], "samplers", ("top_k", "temperature")),
        (["--sampler-seq", "edskypmxt"], "samplers", SamplingDefaults().samplers),
        (["-l", "15043+1", "-l", "2-inf"], "logit_bias", ((15043, 1.0), (2, float("-inf")))),
        (["--dry-sequence-breaker", "\\n", "--dry-sequence-breaker", "#"], "dry_sequence_breakers", ("\n", "#")),
        (["--dry-sequence-breaker", "none"], "dry_sequence_breakers", ()),
        (["--ignore-eos"], "ignore_eos", True),
    ],
)
def test_an_option_sets_a_sampling_default(arguments: list[str], field: str, value: object) -> None:
    assert getattr(read(*arguments).sampling, field) == value


def test_sampling_defaults_have_the_shape_and_the_values_of_the_engines_parameters() -> None:
    assert SamplingParams(**asdict(SamplingDefaults())) == SamplingParams()
    assert {entry.name for entry in fields(SamplingDefaults)} == {entry.name for entry in fields(SamplingParams)} - {
        "min_keep"
    }


@pytest.mark.parametrize(
    ("environment", "field", "value"),
    [
        ({"LLAMA_ARG_CTX_SIZE": "512"}, "ctx_size", 512),
        ({"LLAMA_ARG_MMAP": "false"}, "mmap", False),
        ({"LLAMA_ARG_NO_MMAP": "1"}, "mmap", False),
        ({"LLAMA_ARG_MLOCK": "enabled"}, "mlock", True),
        ({"LLAMA_ARG_KV_UNIFIED": "0"}, "kv_unified", False),
        ({"LLAMA_API_KEY": "a,b"}, "api_key", ("a", "b")),
        ({"LLAMA_ARG_LOG_JSONL": "off"}, "log_format", "console"),
        ({"MISTRAL_API_QUEUE_LIMIT": "3"}, "queue_limit", 3),
        ({"MISTRAL_API_QUEUE_LIMIT": ""}, "queue_limit", 256),
    ],
)
def test_a_variable_sets_its_field(environment: dict[str, str], field: str, value: object) -> None:
    assert getattr(read(**environment), field) == value


def test_the_command_line_wins_over_the_environment() -> None:
    settings = read(
        "--port", "1", "--api-key", "mine", LLAMA_ARG_PORT="2", LLAMA_ARG_BATCH="64", LLAMA_API_KEY="theirs"
    )
    assert (settings.port, settings.batch_size, settings.api_key) == (1, 64, ("mine",))


def test_a_wrong_variable_is_named_even_if_the_command_line_would_win() -> None:
    assert refusal("--port", "1", LLAMA_ARG_PORT="x") == (
        "LLAMA_ARG_PORT: 'x' cannot be used; expected a whole number from 0 to 65535"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "65536"], "--port: '65536' cannot be used; expected a whole number from 0 to 65535"),
        (["--port", "-1"], "from 0 to 65535"),
        (["-c", "-1"], "-c: '-1'"),
        (["-c", "4k"], "-c: '4k' cannot be used; expected a whole number of at least 0"),
        (["-b", "0"], "at least 1"),
        (["-np", "0"], "from 1 to 128, or -1"),
        (["-np", "129"], "from 1 to 128, or -1"),
        (["-np", "-2"], "from 1 to 128, or -1"),
        (["--top-p", "1.5"], "a number from 0 to 1"),
        (["--top-p", "nan"], "a number from 0 to 1"),
        (["--temp", "-1"], "a number of at least 0"),
        (["--temp", "inf"], "a number of at least 0"),
        (["--repeat-penalty", "0"], "a number above 0"),
        (["--seed", "4294967296"], "--seed"),
        (["--drain-timeout", "-1"], "a number of at least 0"),
        (["-fa", "perhaps"], "one of on, off, auto"),
        (["-ctv", "q3"], "one of f32, f16"),
        (["--samplers", "top_k;best"], "names out of penalties"),
        (["--sampler-seq", "kz"], "letters"),
        (["-l", "x+1"], "a token id"),
        (["-l", "5"], "a token id"),
        (["--rope-scale", "0"], "a number above 0"),
        (["--api-key", ""], "at least one key"),
        (["--api-key", " , "], "at least one key"),
        (["--host", ""], "an address"),
        (["--mlock=on"], "no value"),
        (["--port"], "--port: '' cannot be used; expected a value after it"),
        (["model.gguf"], "command line: 'model.gguf'"),
        (["--ctx-sise", "1"], "the nearest is --ctx-size"),
        (["-fa", "off", "-ctv", "q8_0"], "-ctv: 'q8_0' cannot be used; expected one of f32, f16, bf16 when"),
        (["--load-mode", "mlock", "--no-mmap"], "no --no-mmap beside it"),
    ],
)
def test_a_bad_option_is_named_with_its_value_and_what_would_be_right(arguments: list[str], words: str) -> None:
    assert words in refusal(*arguments)


def test_a_key_never_stands_in_a_refusal_or_in_the_settings_text() -> None:
    assert "geheim" not in refusal("--api-key", "geheim", "--port", "x")
    assert refusal("--api-key", "geheim\nx") == "--api-key: '***' cannot be used; expected at least one key"
    assert "geheim" not in repr(read("--api-key", "geheim"))


def test_without_a_model_the_refusal_says_how_to_give_one() -> None:
    with pytest.raises(SettingError, match=r"--model FILE\.gguf .*LLAMA_ARG_MODEL"):
        Settings.from_arguments([], {})


@pytest.mark.parametrize("name", ["--help", "-h", "--version"])
def test_help_and_version_need_no_model(name: str) -> None:
    settings = Settings.from_arguments([name], {})
    assert settings.help or settings.version


@pytest.mark.parametrize(
    ("mode", "mmap", "mlock"),
    [
        ("auto", True, False),
        ("none", False, False),
        ("mmap", True, False),
        ("mlock", False, True),
        ("mmap+mlock", True, True),
    ],
)
def test_the_load_mode_says_whether_the_file_is_mapped_and_locked(mode: str, mmap: bool, mlock: bool) -> None:
    settings = read("--load-mode", mode)
    assert (settings.mmap, settings.mlock) == (mmap, mlock)


@pytest.mark.parametrize(("ubatch", "expected"), [("512", 64), ("0", 64), ("16", 16)])
def test_sizes_of_parts_stay_within_the_batch(ubatch: str, expected: int) -> None:
    assert read("-b", "64", "-ub", ubatch).ubatch_size == expected


def test_keys_are_read_from_a_file_and_joined_with_the_others(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# mine\none\n\n two \r\n")
    assert read("--api-key", "zero", "--api-key-file", str(file)).api_key == ("zero", "one", "two")


@pytest.mark.parametrize("text", ["", "# none\n\n"])
def test_a_file_without_keys_does_not_open_the_service(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    assert "at least one key" in refusal("--api-key-file", str(file))


@pytest.mark.parametrize("option", ["--api-key-file", "--chat-template-file"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, option: str) -> None:
    assert "No such file" in refusal(option, str(tmp_path / "missing"))
    assert "Is a directory" in refusal(option, str(tmp_path))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in refusal(option, str(tmp_path / "binary"))


def test_the_chat_template_comes_from_its_file_or_its_name(tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text("{{ messages }}")
    assert read("--chat-template-file", str(file)).chat_template == "{{ messages }}"
    assert read("--chat-template", "{{ bos_token }}").chat_template == "{{ bos_token }}"
    assert read("--chat-template", "chatml").chat_template == "chatml"
    assert "beside it" in refusal("--chat-template", "chatml", "--chat-template-file", str(file))


@pytest.mark.parametrize("arguments", [["--metrics"], ["--no-log-prefix"], ["--cache-reuse", "256"], ["--no-slots"]])
def test_what_changes_nothing_is_accepted_with_a_note(arguments: list[str]) -> None:
    assert [note.split()[0] for note in read(*arguments).notes] == [arguments[0]]


@pytest.mark.parametrize("arguments", [["--jinja"], ["-cb"], ["--no-context-shift"], ["--reasoning-format", "none"]])
def test_what_is_so_anyway_is_accepted_without_a_word(arguments: list[str]) -> None:
    assert read(*arguments) == read()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mmproj", "x"], "images"),
        (["--no-jinja"], "Jinja"),
        (["--embeddings"], "embeddings"),
        (["--lora", "x"], "adapters"),
        (["--context-shift"], "context"),
        (["-md", "x"], "speculative"),
        (["--reasoning-budget", "0"], "reasoning"),
        (["-hf", "x/y"], "--model"),
        (["--ssl-key-file", "x"], "proxy"),
    ],
)
def test_what_is_not_served_ends_the_start(arguments: list[str], words: str) -> None:
    text = refusal(*arguments)
    assert text.startswith(f"{arguments[0]}: ")
    assert words in text


def test_what_is_not_served_is_refused_in_the_environment_too() -> None:
    assert refusal(LLAMA_ARG_MMPROJ="x").startswith("LLAMA_ARG_MMPROJ: 'x'")
    assert refusal(LLAMA_ARG_EMBEDDINGS="maybe").startswith("LLAMA_ARG_EMBEDDINGS: 'maybe'")
    assert read(LLAMA_ARG_EMBEDDINGS="0") == read()


def test_a_variable_that_nobody_reads_is_noted() -> None:
    assert read(LLAMA_ARG_CTX_SZIE="1").notes == ("LLAMA_ARG_CTX_SZIE is no variable of this service",)


def test_variables_that_kubernetes_sets_for_a_service_of_our_name_are_left_alone() -> None:
    injected = {
        "MISTRAL_API_PORT": "tcp://10.0.0.1:8000",
        "MISTRAL_API_PORT_8000_TCP_ADDR": "10.0.0.1",
        "MISTRAL_API_SERVICE_HOST": "10.0.0.1",
        "MISTRAL_API_SERVICE_PORT_HTTP": "8000",
    }
    assert read(**injected) == read()
    ours = {spelling.variable for _, declared, _ in every_option() for spelling in declared.spellings}
    assert not [name for name in ours if name.startswith(("MISTRAL_API_PORT", "MISTRAL_API_SERVICE"))]


def test_this_process_own_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "LLAMA_ARG_PORT", "1")
    assert read().port == 8000


def test_keys_of_a_file_may_have_a_priority(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("people\nbatch  priority=10\nguests priority=0\n# nobody priority=1\nwith space\n")
    settings = read("--api-key-file", str(file))
    assert settings.api_key == ("people", "batch", "guests", "with space")
    assert settings.key_priorities == (("batch", 10), ("guests", 0))


@pytest.mark.parametrize(("given", "prefix"), [("/llm", "/llm"), ("/a/b/", "/a/b"), ("/", ""), ("", "")])
def test_a_prefix_loses_its_last_slash(given: str, prefix: str) -> None:
    assert read("--api-prefix", given).api_prefix == prefix


@pytest.mark.parametrize("given", ["llm", "/a//b", "/{x}", "/a b", "/ü", "/a?b"])
def test_a_prefix_that_is_no_plain_path_is_refused(given: str) -> None:
    with pytest.raises(SettingError, match="a path such as /llm"):
        read("--api-prefix", given)


def test_a_folder_to_serve_has_to_be_there(tmp_path: Path) -> None:
    assert read("--path", str(tmp_path)).static_path == tmp_path
    with pytest.raises(SettingError, match="a folder that is there"):
        read("--path", str(tmp_path / "not"))


@pytest.mark.parametrize("name", ["--no-ui", "--no-webui"])
def test_the_page_can_be_switched_off(name: str) -> None:
    assert read(name).ui is False
