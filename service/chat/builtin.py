"""Templates that go by a name, as in llama-server's `--chat-template NAME`.

Wire formats: ChatML as in SmolLM2's and Qwen's own templates; Mistral's as mistral-common writes them (v1 and v3 know no system
message, v7 has one; the tekken variants have no spaces around the tags); Llama 2's as Meta published it.
"""

from __future__ import annotations

CHATML = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)


def _mistral(before: str, after: str, reply: str, system: str = "") -> str:
    """User turns stand between `before` and `after`, answers after `reply`; without `system` a system message is refused."""
    refusal = "{{- raise_exception('only user and assistant messages are known to this template') }}"
    other = system or refusal
    return (
        "{{- bos_token }}{%- for message in messages %}"
        "{%- if message.role == 'user' %}{{- '" + before + "' + message.content + '" + after + "' }}"
        "{%- elif message.role == 'assistant' %}{{- '" + reply + "' + message.content + eos_token }}"
        "{%- elif message.role == 'system' %}" + other + "{%- else %}" + refusal + "{%- endif %}{%- endfor %}"
    )


def _system_prompt(space: str) -> str:
    return "{{- '[SYSTEM_PROMPT]" + space + "' + message.content + '[/SYSTEM_PROMPT]' }}"


LLAMA2 = (
    "{%- if messages[0].role == 'system' %}{%- set rest = messages[1:] %}"
    "{%- set system = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}"
    "{%- else %}{%- set rest = messages %}{%- set system = '' %}{%- endif %}"
    "{%- for message in rest %}"
    "{%- if message.role == 'user' %}"
    "{{- bos_token + '[INST] ' + (system if loop.first else '') + message.content + ' [/INST]' }}"
    "{%- elif message.role == 'assistant' %}{{- ' ' + message.content + ' ' + eos_token }}"
    "{%- else %}{{- raise_exception('only user and assistant messages may follow the first') }}{%- endif %}"
    "{%- endfor %}"
)

BUILTIN_TEMPLATES = {
    "chatml": CHATML,
    "llama2": LLAMA2,
    "mistral-v1": _mistral("[INST] ", " [/INST]", " "),
    "mistral-v3": _mistral("[INST] ", "[/INST]", " "),
    "mistral-v3-tekken": _mistral("[INST]", "[/INST]", ""),
    "mistral-v7": _mistral("[INST] ", "[/INST]", " ", _system_prompt(" ")),
    "mistral-v7-tekken": _mistral("[INST]", "[/INST]", "", _system_prompt("")),
}
