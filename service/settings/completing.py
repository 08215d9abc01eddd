"""What several settings say together, and what stands in files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import SettingError

if TYPE_CHECKING:
    from service.settings.settings import Settings

KEY_WITH_PRIORITY = re.compile(r"(.*\S)\s+priority=(-?\d{1,4})")
UNQUANTIZED = ("f32", "f16", "bf16")


def completed(settings: Settings, given_by: Mapping[str, str]) -> Settings:
    """The settings with files read and sizes in step. `given_by` are the names by which fields were given. Raises SettingError."""
    if settings.help or settings.version:
        return settings
    if settings.model is None:
        raise SettingError(
            "--model", "", "the path of a GGUF file, as in: mistral-api --model FILE.gguf (or LLAMA_ARG_MODEL)"
        )
    _check_cache_types(settings, given_by)
    keys = _keys_of_file(settings, given_by)
    mmap, mlock = _load_flags(settings, given_by)
    return replace(
        settings,
        mmap=mmap,
        mlock=mlock,
        ubatch_size=min(settings.batch_size, settings.ubatch_size or settings.batch_size),
        chat_template=_chat_template(settings, given_by),
        api_key=settings.api_key + tuple(keys),
        key_priorities=tuple((key, priority) for key, priority in keys.items() if priority is not None),
    )


def _check_cache_types(settings: Settings, given_by: Mapping[str, str]) -> None:
    if settings.cache_type_v not in UNQUANTIZED and settings.flash_attn == "off":
        name = given_by.get("cache_type_v", "--cache-type-v")
        raise SettingError(name, settings.cache_type_v, f"one of {', '.join(UNQUANTIZED)} when flash attention is off")


def _load_flags(settings: Settings, given_by: Mapping[str, str]) -> tuple[bool, bool]:
    """Whether the file is mapped and locked; --load-mode says both at once."""
    if "load_mode" not in given_by:
        return settings.mmap, settings.mlock
    other = given_by.get("mmap") or given_by.get("mlock")
    if other:
        raise SettingError(given_by["load_mode"], settings.load_mode, f"no {other} beside it: it says the same")
    return settings.load_mode in ("auto", "mmap", "mmap+mlock"), "mlock" in settings.load_mode


def _chat_template(settings: Settings, given_by: Mapping[str, str]) -> str:
    """The template's text or name; chat/ knows the names."""
    if settings.chat_template_file is None:
        return settings.chat_template
    name = given_by.get("chat_template_file", "--chat-template-file")
    if settings.chat_template:
        raise SettingError(name, str(settings.chat_template_file), "no --chat-template beside it")
    return _text_of(settings.chat_template_file, name)


def _keys_of_file(settings: Settings, given_by: Mapping[str, str]) -> dict[str, int | None]:
    """The keys of the file with their priorities, None where there is none. A line is `KEY` or `KEY priority=N`; `#` begins a comment."""
    if settings.api_key_file is None:
        return {}
    name = given_by.get("api_key_file", "--api-key-file")
    lines = (line.strip() for line in _text_of(settings.api_key_file, name).splitlines())
    keys = dict(_key_of_line(line) for line in lines if line and not line.startswith("#"))
    if not keys:
        raise SettingError(name, str(settings.api_key_file), "a file with at least one key")
    return keys


def _key_of_line(line: str) -> tuple[str, int | None]:
    found = KEY_WITH_PRIORITY.fullmatch(line)
    return (found[1], int(found[2])) if found else (line, None)


def _text_of(file: Path, name: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SettingError(name, str(file), "a text file in UTF-8") from None
    except OSError as error:
        raise SettingError(name, str(file), f"a file that can be read ({error.strerror})") from None
