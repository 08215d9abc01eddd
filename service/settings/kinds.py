"""Kinds of value that one setting alone takes."""

from __future__ import annotations

import math
import re
from pathlib import Path

from service.settings.values import Kind, choice, names, number, read_flag

SHARE = number(0, 1)
SECONDS = number(0)
CACHE_TYPE = choice("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
LOAD_MODE = choice("auto", "none", "mmap", "mlock", "mmap+mlock")
LOG_LEVELS = ("off", "error", "warning", "info", "debug")
LOG_LEVEL = choice(*LOG_LEVELS)

RANDOM_SEED = 0xFFFFFFFF

SAMPLER_LETTERS = {
    "e": "penalties", "d": "dry", "s": "top_n_sigma", "k": "top_k", "y": "typ_p", "p": "top_p", "m": "min_p", "x": "xtc",
    "t": "temperature", "a": "adaptive_p",
}  # fmt: skip
"""llama-server's letters (common/sampling.cpp, `common_sampler_type_to_chr`), without infill, which is not served."""

SAMPLER_SYNONYMS = (
    {name.replace("_", "-"): name for name in SAMPLER_LETTERS.values()}
    | {name.replace("_", ""): name for name in SAMPLER_LETTERS.values()}
    | {"nucleus": "top_p", "temp": "temperature", "typ": "typ_p"}
)


def _read_seed(text: str) -> int:
    seed = int(text)
    if not -1 <= seed <= RANDOM_SEED:
        raise ValueError(text)
    return RANDOM_SEED if seed == -1 else seed


def _read_bias(text: str) -> tuple[tuple[int, float], ...]:
    """One token's bias in llama-server's form, `15043+1` or `15043-1`."""
    sign = next((sign for sign in "+-" if sign in text), "")
    token, _, size = text.partition(sign or "+")
    value = float(size) * (-1 if sign == "-" else 1)
    if not token.strip().isdecimal() or math.isnan(value):
        raise ValueError(text)
    return ((int(token), value),)


def _read_breaker(text: str) -> tuple[str, ...]:
    """One sequence breaker, or `none`. Escapes of the command line mean what they mean in C."""
    escapes = {"\\n": "\n", "\\t": "\t", "\\r": "\r", '\\"': '"', "\\'": "'", "\\\\": "\\"}
    return () if text == "none" else (escapes.get(text, text),)


SEED = Kind(_read_seed, f"a whole number from 0 to {RANDOM_SEED}, or -1 for a new one each time", "SEED")
BIAS = Kind(_read_bias, "a token id, + or -, and a number", "TOKEN_ID(+|-)BIAS")
BREAKER = Kind(_read_breaker, "a text, or none", "TEXT")
SAMPLERS = names(tuple(SAMPLER_LETTERS.values()), SAMPLER_SYNONYMS, ";")


def _read_gpu_layers(text: str) -> int:
    meanings = {"auto": -1, "all": -2}
    return meanings[text] if text in meanings else int(text)


def _read_shares(text: str) -> tuple[float, ...]:
    shares = tuple(float(part) for part in re.split("[,/]+", text))
    if not all(0 <= share < math.inf for share in shares) or not any(shares):
        raise ValueError(text)
    return shares


def _read_parallel(text: str) -> int:
    count = int(text)
    if count != -1 and not 1 <= count <= 128:
        raise ValueError(text)
    return count


def _read_verbosity(text: str) -> str:
    """llama-server's numbers: 1 error, 2 warning, 3 info, 4 and more everything."""
    return LOG_LEVELS[min(max(int(text), 0), 4)]


def _read_jsonl(text: str) -> str:
    return "json" if read_flag(text) else "console"


def _read_scale(text: str) -> float:
    scale = float(text)
    if not 0 < scale < math.inf:
        raise ValueError(text)
    return 1.0 / scale


def _read_folder(text: str) -> Path:
    folder = Path(text)
    if not folder.is_dir():
        raise ValueError(text)
    return folder


def _read_prefix(text: str) -> str:
    """A path without its last slash; no characters that a route or a URL gives a meaning of its own."""
    prefix = text.strip().rstrip("/")
    if prefix and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", prefix):
        raise ValueError(text)
    return prefix


FOLDER = Kind(_read_folder, "a folder that is there", "FOLDER")
PREFIX = Kind(_read_prefix, "a path such as /llm", "PREFIX")
GPU_LAYERS = Kind(_read_gpu_layers, "a whole number, auto or all", "N")
SPLIT_MODE = choice("none", "layer", "row", "tensor")
SHARES = Kind(_read_shares, "numbers with commas between them, such as 3,1", "SHARES")
PARALLEL = Kind(_read_parallel, "a whole number from 1 to 128, or -1", "N")
VERBOSITY = Kind(_read_verbosity, "a whole number", "N")
JSONL = Kind(_read_jsonl, "on or off", "")
ROPE_SCALE = Kind(_read_scale, "a number above 0", "N")
