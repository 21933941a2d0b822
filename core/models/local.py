"""A backbone on this machine's disk: a standard transformers folder and what is known about it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.models import weights
from core.models.catalog import Backbone, Kind, Pooling

# Their position ids begin after the padding id, so two of the positions are never used.
_OFFSET_POSITIONS = {
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "mpnet",
    "longformer",
    "roberta-prelayernorm",
}
_POOLING: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}


@dataclass(frozen=True)
class LocalBackbone:
    """``path`` holds config.json, weights and tokenizer; ``sha256`` is the digest of the weights."""

    name: str
    path: Path
    backbone: Backbone
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "path": str(self.path),
            "sha256": self.sha256,
            "backbone": self.backbone.to_dict(),
        }


def read_folder(folder: Path, name: str) -> LocalBackbone:
    """Check that ``folder`` holds a whole model and describe it from its own files.

    Raises InputError naming what is missing or damaged.
    """
    config = _config(folder)
    files = weights.find(folder)
    if not files:
        raise InputError(
            f"{folder} holds no weights ({weights.SAFETENSORS} or {weights.PICKLED}); copy them beside config.json."
        )
    parameters = weights.count(files)
    kind = _kind(config, folder)
    card = _card(folder)
    query_prefix, passage_prefix = _prefixes(folder)
    digest = weights.sha256(files)
    backbone = Backbone(
        name=name,
        summary=f"{config['model_type']} model in {folder}",
        kind=kind,
        packages=(),
        install="",
        weights_sha256=digest,
        languages=_listed(card.get("language")),
        max_length=_max_length(folder, config),
        dimension=next((config[k] for k in ("hidden_size", "dim", "n_embd", "d_model") if config.get(k)), 0),
        parameters=parameters,
        pooling=_pooling(folder, kind),
        licence=str(card.get("license") or "unknown"),
        query_prefix=query_prefix,
        passage_prefix=passage_prefix,
        size_mb=round(sum(path.stat().st_size for path in files) / 1e6),
    )
    return LocalBackbone(name, folder, backbone, digest)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        if (folder / "adapter_config.json").is_file():
            raise InputError(f"{folder} holds an adapter, not a whole model; name the backbone it was tuned on.")
        raise InputError(f"{folder} holds no config.json; a backbone is a folder as transformers saves it.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}); copy the model again.") from None
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise InputError(f"{path} has no model_type; it is not the config.json of a transformers model.")
    return config


def _kind(config: dict[str, Any], folder: Path) -> Kind:
    if config.get("is_encoder_decoder"):
        raise InputError(
            f"{folder} is an encoder-decoder model ({config['model_type']}); choose an encoder or a decoder-only model."
        )
    architectures = " ".join(config.get("architectures") or [])
    if config.get("is_decoder") or "ForCausalLM" in architectures:
        return "decoder"
    from transformers.models.auto import modeling_auto as auto

    model_type = config["model_type"]
    generates = model_type in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return "decoder" if generates and model_type not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES else "encoder"


def _max_length(folder: Path, config: dict[str, Any]) -> int:
    positions = config.get("max_position_embeddings") or config.get("n_positions") or 0
    if positions and config["model_type"] in _OFFSET_POSITIONS:
        positions -= (config.get("pad_token_id") or 0) + 1
    told = _optional_json(folder / "tokenizer_config.json").get("model_max_length")
    limits = [int(n) for n in (positions, told) if isinstance(n, int | float) and 0 < n < 10**6]
    return min(limits, default=512)


def _pooling(folder: Path, kind: Kind) -> Pooling:
    told = _optional_json(folder / "1_Pooling" / "config.json")
    if told.get("pooling_mode") in ("mean", "cls"):
        return "mean" if told["pooling_mode"] == "mean" else "cls"
    found = next((mode for key, mode in _POOLING.items() if told.get(key)), None)
    return found or ("last" if kind == "decoder" or told.get("pooling_mode") == "lasttoken" else "mean")


def _prefixes(folder: Path) -> tuple[str, str]:
    prompts = _optional_json(folder / "config_sentence_transformers.json").get("prompts") or {}
    return str(prompts.get("query") or ""), str(prompts.get("passage") or prompts.get("document") or "")


def _card(folder: Path) -> dict[str, Any]:
    readme = folder / "README.md"
    if not readme.is_file():
        return {}
    from huggingface_hub.repocard import metadata_load

    try:
        return metadata_load(readme) or {}
    except Exception:  # a card is for people: whatever its front matter holds must not stop a model from loading
        return {}


def _listed(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(map(str, value)) if isinstance(value, list) and value else ("unknown",)


def _optional_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
