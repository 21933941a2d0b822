"""A tuned model's weights on disk, and back into memory in a process that never saw the training data.

``model/`` holds a whole backbone in the Hugging Face layout (method full, or merged); otherwise ``adapter/``
holds only what was trained, and ``base.json`` names the backbone it belongs to. When tuning started from
another tuned model, that model's own weights are kept in ``parent/``.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from core.errors import InputError
from core.models.sources import load_decoder, load_encoder, load_tokenizer, resolve
from core.tuning.encoder import Pooling, TextEncoder
from core.tuning.methods import METHODS, apply_method
from core.tuning.recipe import Recipe

WEIGHTS = Path("adapter") / "weights.safetensors"
WHOLE = Path("model")
HEAD = WHOLE / "head.safetensors"
PARENT = Path("parent")
BASE = Path("base.json")


@dataclass(frozen=True)
class Base:
    """What the trained weights sit on."""

    backbone: str
    sha256: str
    pooling: Pooling
    outputs: int
    query_prefix: str = ""
    passage_prefix: str = ""


@dataclass
class Built:
    """A model ready to train or to run: TextEncoder, or a causal language model for generation."""

    model: Any
    tokenizer: Any
    base: Base
    trained: list[str]
    fresh_head: bool = True

    @property
    def trainable_parameters(self) -> int:
        """Weights that training moves."""
        wanted = set(self.trained)
        return sum(p.numel() for name, p in self.model.named_parameters() if name in wanted)

    @property
    def max_length(self) -> int:
        """Most tokens one text may have, virtual ones not counted."""
        positions = getattr(self.model.config, "max_position_embeddings", 512)
        return int(min(positions, self.tokenizer.model_max_length))

    @property
    def total_parameters(self) -> int:
        """All weights of the model."""
        return sum(p.numel() for p in self.model.parameters())


def build(
    recipe: Recipe,
    outputs: int,
    parent: Path | None = None,
    labels: list[str] | None = None,
    steps: int | None = None,
) -> Built:
    """The recipe's backbone with its method applied and a fresh head (``outputs`` > 0 gives one).

    With ``parent``, the backbone carries that tuned model's weights, and its head too when the labels agree.
    """
    torch.manual_seed(recipe.training.seed)
    if parent is None:
        local = resolve(recipe.backbone)
        row = local.backbone
        base = Base(recipe.backbone, local.sha256, row.pooling, outputs, row.query_prefix, row.passage_prefix)
        backbone = load_decoder(local) if recipe.task == "generation" else _without_pooler(load_encoder(local))
        tokenizer, head = load_tokenizer(local), None
    else:
        before = load(parent)
        merge(before.model, before.recipe)
        base = Base(**{**before.base.__dict__, "outputs": outputs})
        tokenizer = before.tokenizer
        backbone = before.model.backbone if isinstance(before.model, TextEncoder) else before.model
        head = before.model.head if labels and labels == before.labels else None
    if recipe.training.dropout is not None:
        _set_dropout(backbone, recipe.training.dropout)
    backbone = apply_method(backbone, recipe, steps)
    if recipe.task == "generation":
        model: Any = backbone
    else:
        dropout = 0.1 if recipe.training.dropout is None else recipe.training.dropout
        model = TextEncoder(backbone, base.pooling, outputs, dropout)
        if head is not None:
            model.head.load_state_dict(head.state_dict())
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    return Built(model, tokenizer, base, trained, fresh_head=head is None)


def _without_pooler(backbone: Any) -> Any:
    """Pooling is ours; BERT's own pooler would be trained weights that no output depends on."""
    if isinstance(getattr(backbone, "pooler", None), nn.Module):
        backbone.pooler = None
    return backbone


def _set_dropout(backbone: Any, rate: float) -> None:
    for module in backbone.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
        if isinstance(getattr(module, "dropout_prob", None), float):
            module.dropout_prob = rate


def save(folder: Path, built: Built, recipe: Recipe, labels: list[str], parent: Path | None = None) -> None:
    """Write recipe, labels and weights into ``folder`` (the caller renames it into place)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    (folder / "labels.json").write_text(json.dumps(labels, ensure_ascii=False, indent=1), encoding="utf-8")
    (folder / BASE).write_text(json.dumps(built.base.__dict__, indent=1), encoding="utf-8")
    if recipe.method == "full" or recipe.options.merge:
        if recipe.method != "full":
            merge(built.model, recipe)
        _save_whole(folder, built)
        return
    if parent is not None:
        shutil.copytree(parent, folder / PARENT, ignore=shutil.ignore_patterns("*.png", "README.md", "metrics.json"))
    state = built.model.state_dict()
    wanted = [*built.trained, *(name for name in state if "ranknum" in name and name not in built.trained)]
    (folder / WEIGHTS).parent.mkdir()
    save_file({name: state[name].contiguous().cpu() for name in wanted}, folder / WEIGHTS)


def _save_whole(folder: Path, built: Built) -> None:
    model = built.model
    backbone = model.backbone if isinstance(model, TextEncoder) else model
    backbone.save_pretrained(folder / WHOLE)
    built.tokenizer.save_pretrained(folder / WHOLE)
    if isinstance(model, TextEncoder) and model.head is not None:
        save_file({k: v.contiguous().cpu() for k, v in model.head.state_dict().items()}, folder / HEAD)


@dataclass
class Loaded:
    """A tuned model in memory, in evaluation mode."""

    folder: Path
    recipe: Recipe
    labels: list[str]
    base: Base
    model: Any
    tokenizer: Any


def load(folder: str | Path) -> Loaded:
    """Read a tuned model's folder; the same predictions as at the end of training.

    Raises InputError when the folder is not a tuned model or a file in it is damaged.
    """
    folder = Path(folder)
    recipe = read_recipe(folder)
    base = _base(folder / BASE)
    labels = _json(folder / "labels.json")
    if recipe.task == "classification" and not (isinstance(labels, list) and len(labels) == base.outputs):
        raise InputError(f"{folder / 'labels.json'} does not list this model's {base.outputs} labels; tune again.")
    if (folder / WHOLE).is_dir():
        local = resolve(str(folder / WHOLE))
        tokenizer = load_tokenizer(local)
        if recipe.task == "generation":
            model: Any = load_decoder(local)
        else:
            model = TextEncoder(_without_pooler(load_encoder(local)), base.pooling, base.outputs)
            if model.head is not None:
                model.head.load_state_dict(_tensors(folder / HEAD))
    else:
        parent = folder / PARENT
        built = build(recipe, base.outputs, parent if parent.is_dir() else None)
        if built.base.sha256 != base.sha256:
            raise InputError(
                f"{folder}: it was tuned on another version of backbone {base.backbone!r}"
                f" (weights {base.sha256[:12]}…, installed {built.base.sha256[:12]}…);"
                f" install that version or tune again."
            )
        model, tokenizer = built.model, built.tokenizer
        weights = _tensors(folder / WEIGHTS)
        missing = set(built.trained) - set(weights)
        unexpected = model.load_state_dict(weights, strict=False).unexpected_keys
        if missing or unexpected:
            name = sorted(missing or unexpected)[0]
            raise InputError(f"{folder / WEIGHTS}: tensor {name!r} does not fit method {recipe.method!r}; tune again.")
    model.eval()
    return Loaded(folder, recipe, labels, base, model, tokenizer)


def read_recipe(folder: Path) -> Recipe:
    """The recipe of a tuned model's folder, or an InputError when the folder is none."""
    if not (folder / "recipe.toml").is_file() or not (folder / BASE).is_file():
        raise InputError(f"{folder} is not a tuned model (recipe.toml and base.json are not both in it).")
    return Recipe.load(folder / "recipe.toml")


def merge(model: nn.Module, recipe: Recipe) -> None:
    """Fold low-rank updates and scales into the backbone's own weights, in place.

    Raises InputError for methods that add computation which no weight of the backbone can hold.
    """
    if not METHODS[recipe.method].mergeable:
        raise InputError(f"method {recipe.method!r} cannot be merged into the backbone; use it as it is.")
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent_path, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent_path), attribute, module.get_base_layer())


def _base(path: Path) -> Base:
    try:
        return Base(**_json(path))
    except TypeError as error:
        raise InputError(
            f"{path} is not the base of a tuned model ({error}); the folder is damaged, tune again."
        ) from None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); the model folder is damaged, tune again.") from None


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except Exception as error:
        raise InputError(f"{path} cannot be read ({error}); the model folder is damaged, tune again.") from None
