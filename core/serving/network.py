"""What is served: a tuned model's or a backbone's network, described without loading its weights."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.errors import InputError
from core.models import weights
from core.tuning.recipe import Recipe

Output = Literal["logits", "vectors"]


@dataclass(frozen=True)
class Network:
    """Tokens to logits [b, width] or unit-length vectors [b, width], and what its texts need beforehand.

    ``fingerprint`` changes whenever another output could result: weights, method, pooling, prefixes, length limit.
    ``load`` brings the weights into memory: the TextEncoder and its transformers tokenizer.
    """

    name: str
    fingerprint: str
    output: Output
    width: int
    max_length: int
    query_prefix: str
    passage_prefix: str
    pooling: str
    folder: Path
    load: Callable[[], tuple[Any, Any]] = field(compare=False, repr=False)


def tuned_network(folder: Path, recipe: Recipe, load: Callable[[], tuple[Any, Any]]) -> Network:
    """The network of a tuned model's folder. Raises InputError when a file is missing or damaged."""
    try:
        base = json.loads((folder / "base.json").read_text(encoding="utf-8"))
        outputs, pooling = int(base["outputs"]), str(base["pooling"])
        identity = _weights_of(folder)
        width = outputs or _dimension(folder, base["backbone"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder}: base.json or the weights cannot be read ({error}); tune again.") from None
    prefixes = (str(base.get("query_prefix", "")), str(base.get("passage_prefix", "")))
    method = [recipe.task, recipe.method, recipe.options.model_dump(mode="json")]
    print_of = _fingerprint(identity, method, pooling, outputs, prefixes, recipe.training.max_length)
    output: Output = "logits" if outputs else "vectors"
    return Network(recipe.name, print_of, output, width, recipe.training.max_length, *prefixes, pooling, folder, load)


def backbone_network(name: str) -> Network:
    """The network of a catalogue backbone, a local folder or a hub id: pooled, unit-length vectors.

    Raises InputError for a decoder, MissingExtra when a catalogue backbone is not installed.
    """
    from core.models.sources import resolve

    local = resolve(name)
    row = local.backbone
    if row.kind != "encoder":
        raise InputError(f"backbone {name!r} is a {row.kind}, which gives no vectors; choose an encoder, e.g. minilm.")

    def load() -> tuple[Any, Any]:
        from core.models.sources import load_encoder, load_tokenizer
        from core.tuning.encoder import TextEncoder

        backbone: Any = load_encoder(local)
        if getattr(backbone, "pooler", None) is not None:
            backbone.pooler = None
        return TextEncoder(backbone, row.pooling).eval(), load_tokenizer(local)

    prefixes = (row.query_prefix, row.passage_prefix)
    print_of = _fingerprint([local.sha256, _vocabulary(local.path)], [], row.pooling, 0, prefixes, row.max_length)
    return Network(name, print_of, "vectors", row.dimension, row.max_length, *prefixes, row.pooling, local.path, load)


def _fingerprint(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _weights_of(folder: Path) -> list[Any]:
    """Digests of all files that decide what the network computes."""
    found: list[Any] = []
    if (folder / "model").is_dir():
        found += [weights.sha256(weights.find(folder / "model")), _vocabulary(folder / "model")]
        head = folder / "model" / "head.safetensors"
        found.append(weights.sha256([head]) if head.is_file() else "")
    else:
        base = json.loads((folder / "base.json").read_text(encoding="utf-8"))
        found += [base["sha256"], weights.sha256([folder / "adapter" / "weights.safetensors"])]
        if (folder / "parent").is_dir():
            parent = Recipe.load(folder / "parent" / "recipe.toml")
            found += [parent.method, parent.options.model_dump(mode="json"), *_weights_of(folder / "parent")]
    return found


def _vocabulary(folder: Path) -> str:
    files = [path for name in ("tokenizer.json", "vocab.txt", "config.json") if (path := folder / name).is_file()]
    return weights.sha256(files) if files else ""


def _dimension(folder: Path, backbone: str) -> int:
    if (folder / "model" / "config.json").is_file():
        config = json.loads((folder / "model" / "config.json").read_text(encoding="utf-8"))
        return int(config["hidden_size"])
    if (folder / "parent").is_dir():
        base = json.loads((folder / "parent" / "base.json").read_text(encoding="utf-8"))
        return _dimension(folder / "parent", base["backbone"])
    from core.models.sources import resolve

    return resolve(backbone).backbone.dimension
