"""Headwater's fine-tuning core. The names below load on first use, so that importing ``core`` costs nothing."""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "InputError": "core.errors",
    "Prediction": "core.serving.predictor",
    "Recipe": "core.tuning.recipe",
    "TunedModel": "core.model_folder",
    "evaluate": "core.workflow",
    "load_predictor": "core.serving.predictor",
    "tune": "core.workflow",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'core' has no attribute {name!r}")
