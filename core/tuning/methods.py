"""Which weights move: full and parameter-efficient methods as rows of a table.

Each method changes a backbone in place (or wraps it) and leaves ``requires_grad`` set on exactly the weights
it trains. Everything saved, loaded and counted follows from those flags.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from core.errors import InputError
from core.tuning.adapter import add_adapters
from core.tuning.encoder import layers_of
from core.tuning.recipe import Method, MethodConfig, Recipe, Task


@dataclass(frozen=True)
class MethodSpec:
    """One tuning method: what it does, with which tasks it works, whether it folds into the backbone."""

    name: Method
    summary: str
    source: str
    apply: Callable[[Any, MethodConfig, "Context"], nn.Module]
    tasks: tuple[Task, ...] = ("classification", "matching", "ranking", "generation")
    mergeable: bool = False
    refusal: str = ""


@dataclass(frozen=True)
class Context:
    """What a method may need to know besides its options."""

    task: Task
    total_steps: int | None = None
    train_embeddings: bool = True


def apply_method(backbone: Any, recipe: Recipe, total_steps: int | None = None) -> nn.Module:
    """Prepare ``backbone`` for the recipe's method; returns the module to run (the same or a wrapper).

    Raises InputError when method and task, or method and architecture, do not go together.
    """
    spec = check_combination(recipe.method, recipe.task)
    for parameter in backbone.parameters():
        parameter.requires_grad = False
    context = Context(recipe.task, total_steps, recipe.training.train_embeddings)
    try:
        return spec.apply(backbone, recipe.options, context)
    except ValueError as error:
        raise InputError(
            f"method {recipe.method!r} does not work with backbone {recipe.backbone!r}: {error}."
        ) from error


def check_combination(method: Method, task: Task) -> MethodSpec:
    """The method's row, or an InputError that says why the task cannot use it."""
    spec = METHODS[method]
    if task not in spec.tasks:
        raise InputError(f"method {method!r} cannot be used for task {task!r}: {spec.refusal}.")
    return spec


def _full(backbone: Any, options: MethodConfig, context: Context) -> nn.Module:
    for parameter in backbone.parameters():
        parameter.requires_grad = True
    if not context.train_embeddings:
        for parameter in backbone.get_input_embeddings().parameters():
            parameter.requires_grad = False
    return backbone


def _top_layers(backbone: Any, options: MethodConfig, context: Context) -> nn.Module:
    blocks = layers_of(backbone)
    count = options.layers or max(1, len(blocks) // 3)
    if count > len(blocks):
        raise ValueError(f"options.layers = {count}, but it has {len(blocks)} layers")
    for block in blocks[-count:]:
        for parameter in block.parameters():
            parameter.requires_grad = True
    return backbone


def _head(backbone: Any, options: MethodConfig, context: Context) -> nn.Module:
    return backbone


def _bitfit(backbone: Any, options: MethodConfig, context: Context) -> nn.Module:
    biases = [p for name, p in backbone.named_parameters() if name.endswith(".bias")]
    if not biases:
        raise ValueError("it has no bias terms to tune")
    for bias in biases:
        bias.requires_grad = True
    return backbone


def _linear_targets(backbone: Any, options: MethodConfig) -> list[str]:
    """Module paths of the linear layers inside the chosen blocks."""
    blocks = layers_of(backbone)
    chosen = blocks[-options.layers :] if options.layers else blocks
    inside = {id(m) for block in chosen for m in block.modules() if isinstance(m, nn.Linear)}
    names = [name for name, m in backbone.named_modules() if id(m) in inside]
    if options.targets == "attention":
        names = [n for n in names if n.split(".")[-1] in _QUERY_AND_VALUE]
    if not names:
        raise ValueError("no query and value projections were found in its blocks; use targets = 'all-linear'")
    return names


_QUERY_AND_VALUE = {"query", "value", "q", "v", "q_lin", "v_lin", "q_proj", "v_proj"}


def _lora(backbone: Any, options: MethodConfig, context: Context) -> nn.Module:
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=_linear_targets(backbone, options),
    )
    inject_adapter_in_model(config, backbone)
    return backbone


def _adalora(backbone: Any, options: MethodConfig, context: Context) -> nn.Module:
    from peft import AdaLoraConfig
    from peft.tuners.adalora import AdaLoraModel

    steps = max(2, context.total_steps or 10)
    # Warm-up, then budgeting, then training at the final ranks; two steps have room for budgeting only.
    warm_up, final = (max(1, steps // 10), steps // 2) if steps > 2 else (0, 0)
    config = AdaLoraConfig(
        init_r=int(options.rank * 1.5),
        target_r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=_linear_targets(backbone, options),
        total_step=steps,
        tinit=warm_up,
        tfinal=final,
        deltaT=max(1, steps // 100),
        inference_mode=False,
    )
    tuner = AdaLoraModel(backbone, {"default": config}, "default")
    # The schedule and the regulariser live on the tuner; a plain attribute keeps it out of the state.
    object.__setattr__(backbone, "adalora", tuner)
    return backbone


def _ia3(backbone: Any, options: MethodConfig, context: Context) -> nn.Module:
    from peft import IA3Config, inject_adapter_in_model

    blocks = layers_of(backbone)
    inside = {id(m) for block in blocks for m in block.modules() if isinstance(m, nn.Linear)}
    linear = {name: m for name, m in backbone.named_modules() if id(m) in inside}
    keys_values = [n for n in linear if n.split(".")[-1] in _KEY_AND_VALUE]
    down = [n for n, m in linear.items() if m.in_features > m.out_features]
    if not keys_values:
        raise ValueError("no key and value projections were found in its blocks")
    inject_adapter_in_model(IA3Config(target_modules=keys_values + down, feedforward_modules=down), backbone)
    return backbone


_KEY_AND_VALUE = {"key", "value", "k", "v", "k_lin", "v_lin", "k_proj", "v_proj"}


def _adapter(backbone: Any, options: MethodConfig, context: Context) -> nn.Module:
    add_adapters(backbone, options.bottleneck)
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad = ".adapter." in name
    return backbone


def _prompt_learning(config_name: str, **extra: int) -> Callable[[Any, MethodConfig, Context], nn.Module]:
    def apply(backbone: Any, options: MethodConfig, context: Context) -> nn.Module:
        import peft

        if config_name == "PrefixTuningConfig" and backbone.config.model_type in _NO_KEY_VALUE_CACHE:
            raise ValueError("its attention cannot take prefix keys and values; use 'prompt' or 'p-tuning'")
        config = getattr(peft, config_name)(
            task_type="CAUSAL_LM" if context.task == "generation" else "FEATURE_EXTRACTION",
            num_virtual_tokens=options.virtual_tokens,
            **extra,
        )
        wrapped = peft.get_peft_model(backbone, config)
        # The wrapper registers the word embeddings a second time, and a checkpoint may hold no tensor twice.
        embeddings = wrapped._modules.pop("word_embeddings", None)
        if embeddings is not None:
            object.__setattr__(wrapped, "word_embeddings", embeddings)
        return wrapped

    return apply


_NO_KEY_VALUE_CACHE = {"mpnet", "distilbert"}

METHODS: dict[Method, MethodSpec] = {
    spec.name: spec
    for spec in (
        MethodSpec("full", "every weight moves", "Devlin et al. 2019", _full, mergeable=True),
        MethodSpec("top-layers", "only the top N blocks move", "Lee et al. 2019", _top_layers, mergeable=True),
        MethodSpec(
            "head",
            "the backbone stays as it is; only the task head is trained",
            "linear probing, Alain & Bengio 2016",
            _head,
            tasks=("classification", "ranking"),
            mergeable=True,
            refusal="without a task head there is nothing left to train; use 'bitfit' or 'lora'",
        ),
        MethodSpec("bitfit", "only the bias terms move", "Ben Zaken et al. 2022", _bitfit, mergeable=True),
        MethodSpec("lora", "low-rank updates", "Hu et al. 2022", _lora, mergeable=True),
        MethodSpec(
            "adalora",
            "low-rank updates, rank moved to where it helps",
            "Zhang et al. 2023",
            _adalora,
            mergeable=True,
        ),
        MethodSpec("ia3", "learned scales on keys, values and feed-forward", "Liu et al. 2022", _ia3, mergeable=True),
        MethodSpec("adapter", "bottleneck networks in every block", "Houlsby et al. 2019", _adapter),
        MethodSpec(
            "prefix",
            "learned keys and values in every block",
            "Li & Liang 2021",
            _prompt_learning("PrefixTuningConfig"),
        ),
        MethodSpec(
            "prompt",
            "learned tokens before the text",
            "Lester et al. 2021",
            _prompt_learning("PromptTuningConfig"),
        ),
        MethodSpec(
            "p-tuning",
            "learned tokens from a small encoder",
            "Liu et al. 2021",
            _prompt_learning("PromptEncoderConfig", encoder_hidden_size=128),
        ),
    )
}
