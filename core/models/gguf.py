"""Convert a causal language model from a GGUF file to a standard transformers folder."""

import importlib.util
import io
from contextlib import redirect_stderr
from pathlib import Path

from core.errors import InputError, MissingExtra
from core.models.quiet import quiet


def convert(path: Path, folder: Path, max_length: int) -> None:
    """Write config.json, float32 model.safetensors and the tokenizer with its chat template into ``folder``.

    Raises MissingExtra without the ``gguf`` package, InputError when the file cannot be read.
    """
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtra(path.name, 'pip install "gguf>=0.19"')
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet(), redirect_stderr(io.StringIO()):  # the dequantising bar obeys no setting
        try:
            tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
            model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise InputError(f"{path} could not be read as a GGUF model ({reason}).") from error
        # The weights are plain floats now; left in place, these marks make saving and every later load fail.
        vars(model).update(hf_quantizer=None, is_quantized=False)
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(folder)
        tokenizer.model_max_length = max_length
        tokenizer.save_pretrained(folder)
