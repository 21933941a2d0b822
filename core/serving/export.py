"""Hand a tuned model on: one whole backbone in the Hugging Face layout, adapters folded in."""

import shutil
from pathlib import Path

from core.errors import InputError
from core.serving.predictor import find_model


def export(reference: str | Path, folder: Path) -> Path:
    """Write the model to ``folder`` as a tuned model of its own that needs no other weights.

    ``folder/model`` loads with transformers. Raises InputError for methods that cannot be merged and for a
    folder that is not empty.
    """
    from core.tuning import artifact
    from core.tuning.artifact import Built

    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; name a new folder.")
    source = find_model(reference)
    loaded = artifact.load(source)
    built = Built(loaded.model, loaded.tokenizer, loaded.base, [])
    merged = loaded.recipe.model_copy(
        update={"options": loaded.recipe.options.model_copy(update={"merge": True}), "start_from": None}
    )
    partial = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        artifact.save(partial, built, merged, loaded.labels)
        for name in ("calibration.json", "metrics.json", "README.md"):
            if (source / name).is_file():
                shutil.copy2(source / name, partial / name)
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # gone by now unless something failed
    return folder
