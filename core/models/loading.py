"""Load a resolved backbone through transformers, and refuse weights that would partly be random."""

from typing import TYPE_CHECKING, Any

from core.errors import InputError
from core.models.catalog import CATALOG, Kind
from core.models.local import LocalBackbone
from core.models.quiet import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_ENCODERS = ", ".join(name for name, row in CATALOG.items() if row.kind == "encoder")
_DECODERS = ", ".join(name for name, row in CATALOG.items() if row.kind == "decoder")

_VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken", "tekken.json", "spm.*", "*vocab*.json")


def load_tokenizer(local: LocalBackbone) -> "PreTrainedTokenizerBase":
    """The tokenizer, truncating at the backbone's own limit when asked to truncate.

    A decoder without a padding token pads with its end token. Raises InputError when the folder has none.
    """
    from transformers import AutoTokenizer

    # Checked here, since transformers makes an almost empty tokenizer where it finds no vocabulary.
    if not any(any(local.path.glob(pattern)) for pattern in _VOCABULARIES):
        raise InputError(f"{local.path} has no tokenizer (tokenizer.json or a vocabulary file); copy it there.")
    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(local.path, local_files_only=True)
        except Exception as error:  # every tokenizer family fails in its own way
            raise InputError(f"{local.path} has no tokenizer that can be loaded ({_first_line(error)}).") from error
    tokenizer.model_max_length = min(tokenizer.model_max_length, local.backbone.max_length)
    if tokenizer.pad_token is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_encoder(local: LocalBackbone, **kwargs: Any) -> "PreTrainedModel":
    """The body of an encoder, float32 unless ``dtype`` says otherwise; ``kwargs`` go to ``from_pretrained``.

    Raises InputError for a decoder, and when weights other than the unused pooler are missing.
    """
    from transformers import AutoModel

    _require(local, "encoder", "only the generation task can use it", _ENCODERS)
    model, missing = _load(AutoModel, local, kwargs)
    _refuse_missing(local, [key for key in missing if not key.startswith("pooler.")], "part of the encoder")
    return model


def load_decoder(local: LocalBackbone, **kwargs: Any) -> "PreTrainedModel":
    """A causal language model with its head, float32 unless ``dtype`` says otherwise.

    Raises InputError for an encoder, and when weights are missing.
    """
    from transformers import AutoModelForCausalLM

    _require(local, "decoder", "it cannot generate text", _DECODERS)
    model, missing = _load(AutoModelForCausalLM, local, kwargs)
    _refuse_missing(local, missing, "part of the language model")
    return model


def load_masked_lm(local: LocalBackbone, **kwargs: Any) -> "PreTrainedModel":
    """An encoder with its masked-language-model head.

    Raises InputError for a decoder, and when the checkpoint was saved without that head: it would be random.
    """
    from transformers import AutoModelForMaskedLM

    _require(local, "encoder", "it has no masked-language-model head", _ENCODERS)
    model, missing = _load(AutoModelForMaskedLM, local, kwargs)
    _refuse_missing(
        local,
        missing,
        "the masked-language-model head",
        "; use a checkpoint saved with it, such as bert-base-uncased",
    )
    return model


def _require(local: LocalBackbone, kind: Kind, reason: str, instead: str) -> None:
    if local.backbone.kind != kind:
        raise InputError(
            f"backbone {local.name!r} is {_article(local.backbone.kind)}: {reason}; "
            f"choose {_article(kind)} instead ({instead} or your own folder)."
        )


def _load(auto: Any, local: LocalBackbone, kwargs: dict[str, Any]) -> tuple["PreTrainedModel", list[str]]:
    import torch

    kwargs = {
        "dtype": torch.float32,
        **kwargs,
    }  # trained in float32 even where the checkpoint is stored in half
    with quiet():
        try:
            model, info = auto.from_pretrained(local.path, local_files_only=True, output_loading_info=True, **kwargs)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise InputError(f"{local.path} could not be loaded ({_first_line(error)}).") from error
    mismatched = sorted(str(entry[0]) for entry in info.get("mismatched_keys", ()))
    if mismatched:
        raise InputError(
            f"{local.path}: {mismatched[0]} has another shape than config.json says; copy the model again."
        )
    return model, sorted(info["missing_keys"])


def _refuse_missing(local: LocalBackbone, missing: list[str], what: str, remedy: str = "") -> None:
    if missing:
        raise InputError(
            f"the weights of {local.name!r} lack {what} ({len(missing)} tensors, for example {missing[0]}), "
            f"which would start as random numbers{remedy}."
        )


def _article(kind: Kind) -> str:
    return f"an {kind}" if kind == "encoder" else f"a {kind}"


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
