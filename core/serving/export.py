"""Hand a model on: one whole folder in the Hugging Face layout, adapters folded in, with a fast engine if wanted."""

import json
import shutil
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.serving.gate import Gate
from core.serving.network import Network


def export(reference: str | Path, folder: Path, engine: str | None = None, rows: Gate | None = None) -> Path:
    """Write a model to ``folder`` that needs no other weights: a tuned model, or a backbone of the catalogue.

    ``folder/model`` (of a backbone: ``folder``) loads with transformers. With ``engine``, an export for it is
    enclosed and used from then on; ``rows`` judge an int8 one. Raises InputError for methods that cannot be
    merged, for a folder that is not empty, and for an int8 export that loses too much.
    """
    from core.serving import engine_store
    from core.serving.encoder import find_network
    from core.serving.opening import export_engine

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty; name a new folder.")
    network = find_network(reference)
    fast = None if engine is None else export_engine(network, engine, rows)
    partial = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        merged = _write_tuned(network.folder, partial) if is_tuned(network) else _write_backbone(network, partial)
        if fast is not None and engine is not None:
            (partial / engine_store.ENCLOSED).mkdir()
            engine_store.enclose(fast, merged, partial / engine_store.ENCLOSED / engine)
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # gone by now unless something failed
    return folder


def exported(folder: Path, engine: str | None = None) -> dict[str, Any]:
    """What was written, as plain values: the folder, and what is known about the enclosed engine."""
    from core.serving.engine_store import ENCLOSED, receipt

    result: dict[str, Any] = {"folder": str(folder)}
    return result if engine is None else {**result, "engine": receipt(folder / ENCLOSED / engine)}


def is_tuned(network: Network) -> bool:
    """Whether the network is a tuned model's, not a bare backbone's."""
    return (network.folder / "recipe.toml").is_file()


def _write_tuned(source: Path, partial: Path) -> Network:
    from core.serving.predictor import Predictor
    from core.tuning import artifact
    from core.tuning.artifact import Built

    loaded = artifact.load(source)
    built = Built(loaded.model, loaded.tokenizer, loaded.base, [])
    merged = loaded.recipe.model_copy(
        update={"options": loaded.recipe.options.model_copy(update={"merge": True}), "start_from": None}
    )
    artifact.save(partial, built, merged, loaded.labels)
    for name in ("calibration.json", "metrics.json", "README.md"):
        if (source / name).is_file():
            shutil.copy2(source / name, partial / name)
    return Predictor.network_of(partial)


def _write_backbone(network: Network, partial: Path) -> Network:
    from core.serving.engine_store import ENCLOSED
    from core.serving.network import backbone_network

    shutil.copytree(network.folder, partial, ignore=shutil.ignore_patterns(ENCLOSED, ".*"))
    # What the catalogue knows and the folder itself may not say, in the files where sentence-transformers looks.
    flag = {"mean": "mean_tokens", "cls": "cls_token", "last": "lasttoken"}[network.pooling]
    pooling = {"word_embedding_dimension": network.width, f"pooling_mode_{flag}": True}
    if not (partial / "1_Pooling" / "config.json").is_file():
        (partial / "1_Pooling").mkdir(exist_ok=True)
        _update(partial / "1_Pooling" / "config.json", pooling)
    if network.query_prefix or network.passage_prefix:
        prompts = {"query": network.query_prefix, "passage": network.passage_prefix}
        _update(partial / "config_sentence_transformers.json", {"prompts": prompts})
    _update(partial / "tokenizer_config.json", {"model_max_length": network.max_length})
    return backbone_network(str(partial))


def _update(path: Path, values: dict[str, Any]) -> None:
    told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps({**told, **values}, ensure_ascii=False, indent=1), encoding="utf-8")
