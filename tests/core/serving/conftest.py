"""Models to serve, made in a moment: the right files with weights moved at random instead of by training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LABELS = {"classification": 3, "multi-label": 3, "pairs": 2}


@pytest.fixture(scope="session")
def made_model(make_recipe: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``made_model(method, kind, **changes)``: the folder of a model, as tuning writes it; not to be changed.

    What the method would train is moved by seeded noise, so that every part of it shows in the results; the
    temperature is 1.7. ``start_from`` takes another such folder.
    """
    import torch

    from core.evaluation.calibration import Calibration
    from core.tuning import artifact

    done: dict[str, Path] = {}

    def make(method: str = "lora", kind: str = "classification", **changes: Any) -> Path:
        key = repr((method, kind, changes))
        if key not in done:
            recipe = make_recipe(method, kind, **changes)
            labels = ["money", "sport", "weather"] if LABELS.get(kind) == 3 else ["other", "same"]
            outputs = {"classification": len(labels), "ranking": 1}.get(recipe.task, 0)
            parent = Path(recipe.start_from) if recipe.start_from else None
            built = artifact.build(recipe, outputs, parent, labels, steps=4)
            draw = torch.Generator().manual_seed(5)
            with torch.no_grad():
                for name, weights in built.model.named_parameters():
                    if name in built.trained:
                        weights.add_(0.05 * torch.randn(weights.shape, generator=draw))
            folder = tmp_path_factory.mktemp("made") / recipe.name
            artifact.save(folder, built, recipe, labels if kind in LABELS else [], parent)
            (folder / "README.md").write_text("# A model for tests\n")
            if recipe.task == "classification":
                Calibration(1.7, 0.2, 0.1, 0.9, 0.8, 6, 6, False, kind == "multi-label", (), ()).save(
                    folder / "calibration.json"
                )
            done[key] = folder
        return done[key]

    return make
