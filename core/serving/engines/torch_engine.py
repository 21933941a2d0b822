"""PyTorch: any network as it is; on a GPU in bfloat16 with scaled dot-product attention."""

from typing import Any

import numpy as np
import torch

from core.errors import InputError
from core.serving.engines import Precision
from core.serving.threads import use_available_cpus


class TorchEngine:
    """The weights in memory, on the GPU when there is one."""

    def __init__(self, model: Any, output: str, precision: Precision = "auto", device: str | None = None) -> None:
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        on_gpu = self._device.type == "cuda"
        self.precision = ("bfloat16" if on_gpu else "float32") if precision == "auto" else precision
        self.batch_tokens = 65_536 if on_gpu else 2_048
        if not on_gpu:
            use_available_cpus()
        self._output = output
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        self._model = model.to(device=self._device, dtype=dtype).eval()

    def run(self, tokens: np.ndarray, mask: np.ndarray, segments: np.ndarray) -> np.ndarray:
        """float32 [b, width] of int64 [b, t] each."""
        arrays = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": segments}
        try:
            with torch.inference_mode():
                batch = {k: torch.from_numpy(v).to(self._device, non_blocking=True) for k, v in arrays.items()}
                out = self._model(**batch)["logits"].float()
                if self._output == "vectors":
                    out = torch.nn.functional.normalize(out, dim=-1)
                return np.asarray(out.cpu().numpy())
        except torch.cuda.OutOfMemoryError:
            if len(tokens) == 1:
                raise InputError("the GPU's memory is full even for one text; stop what else uses it.") from None
            torch.cuda.empty_cache()
            half = len(tokens) // 2
            return np.concatenate(
                [self.run(tokens[part], mask[part], segments[part]) for part in (slice(half), slice(half, None))]
            )


def open(model: Any, output: str, precision: Precision = "auto") -> TorchEngine:
    """The engine of a TextEncoder; ``output`` "vectors" scales its results to unit length."""
    return TorchEngine(model, output, precision)
