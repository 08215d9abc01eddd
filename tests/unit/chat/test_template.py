"""Messages become the prompt that the model was trained on, and nothing a template does harms the service."""

from __future__ import annotations

from contextlib import suppress

import pytest

from service.chat import sandbox
from service.chat.builtin import BUILTIN_TEMPLATES, CHATML
from service.chat.template import ChatTemplate, chosen_source, load_template, merge_system
from service.errors import InvalidRequest, SettingError

USER = {"role": "user", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be brief."}
ANSWER = {"role": "assistant", "content": "Hello"}


def make_template(source: str, *, adds_bos: bool = False) -> ChatTemplate:
    return ChatTemplate(source, bos="<s>", eos="</s>", adds_bos=adds_bos)


def test_chatml_is_written_as_its_models_know_it() -> None:
    assert make_template(CHATML).prompt([SYSTEM, USER]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("mistral-v1", "<s>[INST] Hi [/INST] Hello</s>[INST] Hi [/INST]"),
        ("mistral-v3", "<s>[INST] Hi[/INST] Hello</s>[INST] Hi[/INST]"),
        ("mistral-v3-tekken", "<s>[INST]Hi[/INST]Hello</s>[INST]Hi[/INST]"),
        ("mistral-v7", "<s>[INST] Hi[/INST] Hello</s>[INST] Hi[/INST]"),
        ("mistral-v7-tekken", "<s>[INST]Hi[/INST]Hello</s>[INST]Hi[/INST]"),
        ("llama2", "<s>[INST] Hi [/INST] Hello </s><s>[INST] Hi [/INST]"),
    ],
)
def test_a_built_in_template_writes_turns_as_its_family_does(name: str, prompt: str) -> None:
    assert make_template(BUILTIN_TEMPLATES[name]).prompt([USER, ANSWER, USER]) == prompt


@pytest.mark.parametrize("name", sorted(BUILTIN_TEMPLATES))
def test_a_system_message_gets_into_every_built_in_template(name: str) -> None:
    assert "Be brief." in make_template(BUILTIN_TEMPLATES[name]).prompt([SYSTEM, USER])


def test_a_template_that_refuses_a_system_message_gets_it_in_the_first_user_message() -> None:
    template = make_template(BUILTIN_TEMPLATES["mistral-v1"])
    assert template.prompt([SYSTEM, USER]) == "<s>[INST] Be brief.\n\nHi [/INST]"


def test_a_template_that_drops_a_system_message_gets_it_in_the_first_user_message() -> None:
    template = make_template("{% for m in messages if m.role != 'system' %}<{{ m.content }}>{% endfor %}")
    assert template.prompt([SYSTEM, USER]) == "<Be brief.\n\nHi>"


def test_a_system_message_alone_becomes_a_user_message() -> None:
    assert merge_system([SYSTEM]) == [{"role": "user", "content": "Be brief."}]


def test_a_template_that_takes_system_messages_gets_them_as_they_are() -> None:
    assert make_template(CHATML).takes_system


def test_the_beginning_of_sequence_is_not_doubled_when_the_tokenizer_writes_it_too() -> None:
    source = BUILTIN_TEMPLATES["mistral-v1"]
    assert make_template(source, adds_bos=True).prompt([USER]) == "[INST] Hi [/INST]"
    assert make_template(source).prompt([USER]) == "<s>[INST] Hi [/INST]"


def test_a_beginning_of_an_answer_is_continued() -> None:
    prompt = make_template(CHATML).prompt([USER, ANSWER], continue_last=True)
    assert prompt.endswith("<|im_start|>assistant\nHello")


def test_the_generation_prompt_can_be_left_out() -> None:
    assert make_template(CHATML).prompt([USER], add_generation_prompt=False).endswith("<|im_end|>\n")


def test_a_client_s_variables_reach_the_template_but_cannot_replace_its_own() -> None:
    template = make_template("{{ style }}:{{ messages[0].content }}")
    assert template.prompt([USER], extra={"style": "terse", "messages": []}) == "terse:Hi"


def test_a_refusal_is_the_client_s_error_in_the_template_s_words() -> None:
    with pytest.raises(InvalidRequest, match="roles must alternate") as caught:
        make_template("{{ raise_exception('roles must alternate') }}").prompt([USER])
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    "source",
    [
        "{{ 1 / 0 }}",
        "{{ messages[0].content.parts.first }}",
        "{{ messages[7].content }}",
        "{{ undefined_function() }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ messages.append(1) }}",
        "{{ range(10 ** 9) | list }}",
        "{{ 'a' * 999999999 }}",
        "{{ 9 ** 999999999 }}",
        "{% for i in messages %}{{ m.content }}{% endfor %}",
        "{% set n = namespace(t='aaaaaaaa') %}{% for i in range(99) %}{% set n.t = n.t + n.t %}{% endfor %}",
    ],
)
def test_a_template_s_own_mistake_is_a_client_error_not_a_crash(source: str) -> None:
    with pytest.raises(InvalidRequest):
        make_template(source).prompt([USER])


@pytest.mark.parametrize(
    "bomb",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    ],
)
def test_a_template_that_would_run_for_ever_is_stopped(bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MOST_TURNS", 1000)
    with pytest.raises(InvalidRequest, match="more than 1000 loop turns"):
        make_template(bomb).prompt([USER])


@pytest.mark.parametrize(
    "secret", ["{{ ''.__class__.__mro__ }}", "{{ cycler.__init__.__globals__ }}", "{{ messages.__init__ }}"]
)
def test_a_template_sees_nothing_of_python(secret: str) -> None:
    with suppress(InvalidRequest):
        assert make_template(secret).prompt([USER]) == ""


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% for m in messages %}{{ m.role }}{% break %}{% endfor %}", "user"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}", "Hi"),
        ("{{ {'a': '<é>'} | tojson }}", '{"a": "<é>"}'),
        ("{{ {'b': 1, 'a': 2} | tojson(indent=1, sort_keys=true) }}", '{\n "a": 2,\n "b": 1\n}'),
        (
            "{%- if tools %}t{% endif %}{% if not tools is defined %}u{% endif %}{{ bos_token }}{{ eos_token }}",
            "<s></s>",
        ),
        ("  {% if true %}\n  x\n  {% endif %}\n", "  x\n"),
    ],
)
def test_templates_find_what_hugging_face_gives_them(source: str, text: str) -> None:
    assert make_template(source).prompt([USER]) == text


def test_the_date_is_there_for_templates_that_want_it() -> None:
    assert len(make_template("{{ strftime_now('%Y-%m-%d') }}").prompt([USER])) == len("2026-01-01")


@pytest.mark.parametrize("setting", ["chatmi", "{% for %}", "{{ messages["])
def test_a_template_setting_that_cannot_be_used_ends_the_start(setting: str) -> None:
    with pytest.raises(SettingError, match="--chat-template"):
        chosen_source(setting)


def test_the_setting_wins_over_the_model_s_own_template() -> None:
    assert load_template("{{ 'set' }}", "{{ 'own' }}", bos="", eos="", adds_bos=False).prompt([USER]) == "set"
    assert load_template("", "{{ 'own' }}", bos="", eos="", adds_bos=False).prompt([USER]) == "own"
    assert load_template("chatml", "{{ 'own' }}", bos="", eos="", adds_bos=False).source == CHATML


@pytest.mark.parametrize("own", ["", "{% broken", "{{" + "(" * 5000])
def test_a_model_without_a_usable_template_gets_chatml_and_the_log_says_so(
    own: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert load_template("", own, bos="", eos="", adds_bos=False).source == CHATML
    assert "ChatML" in caplog.text


def test_a_template_is_compiled_once() -> None:
    template = make_template(CHATML)
    template.prompt([USER])
    assert template._compiled is template._compiled
