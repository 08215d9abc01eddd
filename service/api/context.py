"""What handlers stand on: the settings, the engine, the metrics, and what follows from them."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from functools import cached_property

from service.api.access import Access
from service.chat.template import ChatTemplate, load_template
from service.engine.engine import Engine
from service.engine.requests import SamplingParams
from service.settings import Settings
from service.telemetry.metrics import Metrics


@dataclass(frozen=True)
class Service:
    """One service. What needs the model raises ModelLoading until it is there."""

    settings: Settings
    engine: Engine
    metrics: Metrics
    access: Access
    started: int = field(default_factory=lambda: int(time.time()))
    """Unix time in seconds."""

    @cached_property
    def default_sampling(self) -> SamplingParams:
        return SamplingParams(**asdict(self.settings.sampling))

    @cached_property
    def template(self) -> ChatTemplate:
        """The chat template, compiled once."""
        info = self.engine.model.info
        return load_template(
            self.settings.chat_template,
            info.chat_template,
            bos=info.bos_token,
            eos=info.eos_token,
            adds_bos=info.adds_bos,
        )

    @property
    def model_name(self) -> str:
        """What answers call the model: the alias, else its path as it was given."""
        return self.settings.alias or self.engine.model.info.path

    @property
    def fingerprint(self) -> str:
        """llama.cpp's build, as llama-server tells it."""
        return self.engine.model.runtime.build
