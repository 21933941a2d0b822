"""The recipe: what to tune, on which text, by which method. TOML in, validated with clear messages."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from core.data.sources import Checks, Columns, Source
from core.errors import InputError

Task = Literal["classification", "matching", "ranking", "generation"]
Method = Literal[
    "full",
    "top-layers",
    "head",
    "bitfit",
    "lora",
    "adalora",
    "ia3",
    "adapter",
    "prefix",
    "prompt",
    "p-tuning",
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict | Source) else value


Sources = Annotated[list[Source], BeforeValidator(_as_list), Field(min_length=1)]
SourcesOrFraction = Annotated[float, Field(gt=0, lt=1)] | Sources


class DataConfig(_Strict):
    """Where labelled text comes from. A fraction for ``validation`` or ``test`` is cut from ``train``."""

    train: Sources
    validation: SourcesOrFraction = 0.1
    test: SourcesOrFraction | None = None
    columns: Columns = Columns()
    split: Literal["stratified", "grouped", "temporal"] = "stratified"
    multi_label: bool = False
    checks: Checks = Checks()
    limit_per_class: int | None = Field(default=None, ge=1)
    # Written out only where they are given, so that recipes without them stay the recipes they were.
    descriptions: dict[str, str] = Field(
        default={}, exclude_if=lambda given: not given, description="labels in words, for methods that read them"
    )
    unlabelled: bool = Field(
        default=False,
        exclude_if=lambda given: not given,
        description="matching: only texts are read, and the positive of each is the text itself",
    )
    word_deletion: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        exclude_if=lambda given: not given,
        description="unlabelled: share of the words that the second view of a training text lacks",
    )

    @model_validator(mode="before")
    @classmethod
    def _flat_column_names(cls, values: Any) -> Any:
        # `text = "title"` directly under [data] is the short form of [data.columns].
        if not isinstance(values, dict):
            return values
        named = {k: v for k, v in values.items() if k in Columns.model_fields}
        rest = {k: v for k, v in values.items() if k not in named}
        if named:
            rest["columns"] = {**dict(rest.get("columns", {})), **named}
        return rest


class MethodConfig(_Strict):
    """Options of the tuning methods; each method reads only its own."""

    rank: int = Field(default=16, ge=1, description="LoRA rank; AdaLoRA's average rank")
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    targets: Literal["attention", "all-linear"] = "all-linear"
    layers: int | None = Field(
        default=None, ge=1, description="top-layers: how many; lora: only the top N (default: all)"
    )
    bottleneck: int = Field(default=48, ge=1, description="width of a Houlsby adapter")
    virtual_tokens: int = Field(default=16, ge=1, description="prefix, prompt and p-tuning")
    merge: bool = Field(default=False, description="fold LoRA into the backbone when the model is saved")


class TrainingConfig(_Strict):
    """How the weights move."""

    epochs: float = Field(default=3, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    head_learning_rate: float | None = Field(default=None, gt=0)
    layer_decay: float = Field(default=1.0, gt=0, le=1, description="learning-rate factor per layer downwards")
    unfreeze_every: float | None = Field(
        default=None, gt=0, description="gradual unfreezing: one more layer every so many epochs"
    )
    batch_size: int = Field(default=32, ge=1)
    accumulation: int = Field(default=1, ge=1)
    eval_batch_size: int = Field(default=128, ge=1)
    max_length: int = Field(default=128, ge=4)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = Field(default=0.01, ge=0)
    head_start: Literal["probe", "random"] = Field(
        default="probe", description="classification: the head starts as a linear probe, or at random"
    )
    objective: Literal["cross-entropy", "contrastive"] = Field(
        default="cross-entropy",
        description="classification: train head and encoder on labels, or first the encoder by contrast (few labels)",
    )
    label_names: bool = Field(
        default=True,
        exclude_if=lambda wanted: wanted,
        description="contrastive: what labels are called counts as an example, as far as it fits the rows",
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: bool = False
    dropout: float | None = Field(default=None, ge=0, lt=1)
    train_embeddings: bool = Field(default=True, description="full: also move the word embeddings")
    patience: int | None = Field(default=None, ge=1, description="early stopping after so many epochs without gain")
    keep: Literal["best", "last"] = "best"
    hard_negatives: int = Field(default=0, ge=0, description="matching: negatives mined per pair")
    temperature: float = Field(default=0.05, gt=0, description="matching: softmax temperature")
    known_pairs: bool = Field(
        default=False, description="matching: all positives of a text in the batch are targets, not negatives"
    )
    popularity_correction: float = Field(
        default=0.0, ge=0, le=1, description="known_pairs: share of log(frequency) taken off a positive's logit"
    )
    seed: int = 7
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="of products while tuning; auto: bfloat16 where the hardware multiplies it natively"
    )


class EvaluationConfig(_Strict):
    """What is measured beside the metrics of the test rows."""

    robustness_rows: int = Field(
        default=200, ge=0, description="rows whose texts are changed (typos, capitals, …) to see what is lost; 0: none"
    )


def _all_default(config: BaseModel) -> bool:
    return config == type(config)()


class TrackingConfig(_Strict):
    """Where runs are recorded."""

    report_to: list[Literal["mlflow", "tensorboard", "wandb"]] = ["mlflow", "tensorboard"]
    experiment: str = "headwater"


class Recipe(_Strict):
    """A whole tuning job."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    task: Task
    intended_use: str = Field(default="", description="who uses the model and what for; stated on its card")
    backbone: str = "minilm"
    method: Method = "lora"
    start_from: str | None = Field(
        default=None, description="a tuned model (folder or name@alias) whose weights are the starting point"
    )
    data: DataConfig
    options: MethodConfig = MethodConfig()
    training: TrainingConfig = TrainingConfig()
    # Written out only where it says something else: what is measured does not make another training of it.
    evaluation: EvaluationConfig = Field(default=EvaluationConfig(), exclude_if=_all_default)
    tracking: TrackingConfig = TrackingConfig()

    @classmethod
    def load(cls, path: str | Path, overrides: list[str] | None = None) -> "Recipe":
        """Read a TOML recipe and apply ``a.b=value`` overrides; relative paths stay relative to the caller.

        Raises InputError naming the file and the field.
        """
        path = Path(path)
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{path}: there is no such recipe; check the path.") from None
        except IsADirectoryError:
            raise InputError(f"{path} is a folder; name the .toml file inside it.") from None
        except UnicodeDecodeError:
            raise InputError(f"{path} is not text; a recipe is a UTF-8 TOML file.") from None
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{path} is not valid TOML: {error}.") from None
        for override in overrides or []:
            apply_override(values, override)
        return cls.parse(values, where=str(path))

    @classmethod
    def parse(cls, values: dict[str, Any], where: str = "recipe") -> "Recipe":
        """Validate a plain dictionary; the first problem becomes one InputError sentence."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InputError(_sentence(error, where)) from None

    def to_toml(self) -> str:
        """The recipe with every default written out, so that it can be run again elsewhere."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set ``a.b=value`` in a recipe's plain values. Raises InputError for what is no assignment."""
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise InputError(f"--set {override!r}: write it as field=value, for example training.epochs=3.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word or path is a string
    *parents, last = key.strip().split(".")
    place = values
    for part in parents:
        below = place.get(part)
        if isinstance(below, list) and len(below) == 1:
            below = below[0]  # one source, written as a list
        if isinstance(below, list):
            raise InputError(f"--set {override!r}: {part} is a list of {len(below)}; change it in the recipe itself.")
        if not isinstance(below, dict):
            below = place[part] = {}
        place = below
    place[last] = value


def _sentence(error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    field = ".".join(str(p) for p in first["loc"] if not str(p).startswith(("function-", "constrained-", "list[")))
    if first["type"] == "extra_forbidden":
        return f"{where}: {field} is not a known field; remove it or check its spelling."
    if first["type"] == "missing":
        return f"{where}: {field} is missing; add it."
    return f"{where}: {field} = {first['input']!r} is not valid: {first['msg'].rstrip('.')}."
