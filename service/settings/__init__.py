"""The settings: one frozen value, read once, passed down. The only reader of the command line and the environment."""

from __future__ import annotations

from service.settings.sampling import SamplingDefaults
from service.settings.settings import Settings, every_option

__all__ = ["SamplingDefaults", "Settings", "every_option"]
