"""How tokens are chosen where a request does not say: each default is an option, as in llama-server."""

from __future__ import annotations

from dataclasses import dataclass

from service.settings.kinds import BIAS, BREAKER, RANDOM_SEED, SAMPLER_LETTERS, SAMPLERS, SEED, SHARE
from service.settings.option import option, spelled
from service.settings.values import FLAG, letters, number, whole

GROUP = "Sampling defaults"


@dataclass(frozen=True)
class SamplingDefaults:
    """Names and defaults of service.engine.requests.SamplingParams, so that `SamplingParams(**asdict(defaults))` is right."""

    seed: int = option(
        RANDOM_SEED, GROUP, "Seed of a request's random numbers.", spelled("-s --seed", "MISTRAL_API_SEED", SEED),
        shown_default="-1 (a new one for each request)",
    )  # fmt: skip
    temperature: float = option(
        0.8, GROUP, "Temperature; 0 takes the likeliest token.",
        spelled("--temp --temperature", "LLAMA_ARG_TEMPERATURE", number(0)),
    )  # fmt: skip
    dynatemp_range: float = option(
        0.0, GROUP, "Range of the dynamic temperature; 0 is off.",
        spelled("--dynatemp-range", "MISTRAL_API_DYNATEMP_RANGE", number(0)),
    )  # fmt: skip
    dynatemp_exponent: float = option(
        1.0, GROUP, "Exponent of the dynamic temperature.",
        spelled("--dynatemp-exp", "MISTRAL_API_DYNATEMP_EXP", number()),
    )  # fmt: skip
    top_k: int = option(
        40, GROUP, "Keep the k likeliest tokens; 0 keeps all.", spelled("--top-k", "LLAMA_ARG_TOP_K", whole(-1)),
    )  # fmt: skip
    top_p: float = option(
        0.95, GROUP, "Keep the likeliest tokens that together have this probability; 1 keeps all.",
        spelled("--top-p", "LLAMA_ARG_TOP_P", SHARE),
    )  # fmt: skip
    min_p: float = option(
        0.05, GROUP, "Drop tokens less likely than this share of the likeliest; 0 is off.",
        spelled("--min-p", "LLAMA_ARG_MIN_P", SHARE),
    )  # fmt: skip
    top_n_sigma: float = option(
        -1.0, GROUP, "Keep logits within this many standard deviations of the highest; -1 is off.",
        spelled("--top-nsigma --top-n-sigma", "MISTRAL_API_TOP_N_SIGMA", number(-1)),
    )  # fmt: skip
    xtc_probability: float = option(
        0.0, GROUP, "How often XTC removes the top tokens; 0 is off.",
        spelled("--xtc-probability", "MISTRAL_API_XTC_PROBABILITY", SHARE),
    )  # fmt: skip
    xtc_threshold: float = option(
        0.1, GROUP, "XTC removes tokens likelier than this, but one; above 0.5 is off.",
        spelled("--xtc-threshold", "MISTRAL_API_XTC_THRESHOLD", SHARE),
    )  # fmt: skip
    typical_p: float = option(
        1.0, GROUP, "Locally typical sampling; 1 is off.",
        spelled("--typical --typical-p", "MISTRAL_API_TYPICAL", SHARE),
    )  # fmt: skip
    repeat_last_n: int = option(
        64, GROUP, "How many last tokens the penalties look at; 0 is off.",
        spelled("--repeat-last-n", "MISTRAL_API_REPEAT_LAST_N", whole(0)),
    )  # fmt: skip
    repeat_penalty: float = option(
        1.0, GROUP, "Penalty of tokens that came already; 1 is off.",
        spelled("--repeat-penalty", "LLAMA_ARG_REPEAT_PENALTY", number(above=0)),
    )  # fmt: skip
    presence_penalty: float = option(
        0.0, GROUP, "Taken from the logit of a token that came already; 0 is off.",
        spelled("--presence-penalty", "LLAMA_ARG_PRESENCE_PENALTY", number()),
    )  # fmt: skip
    frequency_penalty: float = option(
        0.0, GROUP, "Taken from the logit for each time that a token came; 0 is off.",
        spelled("--frequency-penalty", "LLAMA_ARG_FREQUENCY_PENALTY", number()),
    )  # fmt: skip
    dry_multiplier: float = option(
        0.0, GROUP, "Strength of DRY, which keeps sequences from coming again; 0 is off.",
        spelled("--dry-multiplier", "MISTRAL_API_DRY_MULTIPLIER", number(0)),
    )  # fmt: skip
    dry_base: float = option(
        1.75, GROUP, "How fast DRY's penalty grows with the length of the repetition.",
        spelled("--dry-base", "MISTRAL_API_DRY_BASE", number(1)),
    )  # fmt: skip
    dry_allowed_length: int = option(
        2, GROUP, "Repetitions up to this many tokens cost nothing.",
        spelled("--dry-allowed-length", "MISTRAL_API_DRY_ALLOWED_LENGTH", whole(0)),
    )  # fmt: skip
    dry_penalty_last_n: int = option(
        64, GROUP, "How many last tokens DRY looks at; 0 is off.",
        spelled("--dry-penalty-last-n", "MISTRAL_API_DRY_PENALTY_LAST_N", whole(0)),
    )  # fmt: skip
    dry_sequence_breakers: tuple[str, ...] = option(
        ("\n", ":", '"', "*"), GROUP, "Text that ends a repetition; the first one replaces the default, `none` has none.",
        spelled("--dry-sequence-breaker", "MISTRAL_API_DRY_SEQUENCE_BREAKER", BREAKER),
        repeats=True, shown_default="\\n : \" *",
    )  # fmt: skip
    mirostat: int = option(
        0, GROUP, "Mirostat 1 or 2 instead of the other samplers; 0 is off.",
        spelled("--mirostat", "MISTRAL_API_MIROSTAT", whole(0, 2)),
    )  # fmt: skip
    mirostat_tau: float = option(
        5.0, GROUP, "Mirostat's target entropy.", spelled("--mirostat-ent", "MISTRAL_API_MIROSTAT_ENT", number(0)),
    )  # fmt: skip
    mirostat_eta: float = option(
        0.1, GROUP, "Mirostat's learning rate.", spelled("--mirostat-lr", "MISTRAL_API_MIROSTAT_LR", number(0)),
    )  # fmt: skip
    adaptive_target: float = option(
        -1.0, GROUP, "adaptive-p prefers tokens near this probability; negative is off.",
        spelled("--adaptive-target", "MISTRAL_API_ADAPTIVE_TARGET", number(None, 1)),
    )  # fmt: skip
    adaptive_decay: float = option(
        0.9, GROUP, "How slowly adaptive-p follows.",
        spelled("--adaptive-decay", "MISTRAL_API_ADAPTIVE_DECAY", number(0, 0.99)),
    )  # fmt: skip
    samplers: tuple[str, ...] = option(
        ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"), GROUP,
        "The samplers in their order.",
        spelled("--samplers", "MISTRAL_API_SAMPLERS", SAMPLERS),
        spelled("--sampler-seq --sampling-seq", "MISTRAL_API_SAMPLER_SEQ", letters(SAMPLER_LETTERS)),
        shown_default="penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature",
    )  # fmt: skip
    logit_bias: tuple[tuple[int, float], ...] = option(
        (), GROUP, "Added to one token's logit; may be given several times.",
        spelled("-l --logit-bias", "MISTRAL_API_LOGIT_BIAS", BIAS), repeats=True,
    )  # fmt: skip
    ignore_eos: bool = option(
        False, GROUP, "Go on after the model's end token.", spelled("--ignore-eos", "MISTRAL_API_IGNORE_EOS", FLAG),
    )  # fmt: skip
