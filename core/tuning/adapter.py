"""Bottleneck adapters (Houlsby et al. 2019, https://arxiv.org/abs/1902.00751).

Two small networks per transformer block, after attention and after the feed-forward layer, each before
the residual sum: down-projection, GELU, up-projection, and a skip around them. The up-projection starts
at zero, so an untrained adapter changes nothing.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from core.tuning.encoder import layers_of


class Adapter(nn.Module):
    """One bottleneck, d -> width -> d, added to its own input."""

    def __init__(self, dimension: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(dimension, width)
        self.up = nn.Linear(width, dimension)
        nn.init.normal_(self.down.weight, std=0.02)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Shape is kept: [..., d]."""
        return hidden + self.up(F.gelu(self.down(hidden)))


# Where the sub-layers of a block write back to the residual stream, by architecture family.
_SUBLAYER_OUTPUTS = (
    ("attention.output.dense", "output.dense"),  # BERT, RoBERTa, XLM-R, ELECTRA
    ("attention.attn.o", "output.dense"),  # MPNet
    ("attention.out_lin", "ffn.lin2"),  # DistilBERT
    ("self_attn.o_proj", "mlp.down_proj"),  # Llama, Qwen, Mistral, Gemma
)


def add_adapters(backbone: nn.Module, width: int) -> None:
    """Put an adapter behind both sub-layers of every block, in place.

    Raises ValueError when the architecture's block is not known.
    """
    for block in layers_of(backbone):
        for path in _sublayer_paths(block):
            parent_path, _, name = path.rpartition(".")
            parent = block.get_submodule(parent_path)
            linear = getattr(parent, name)
            setattr(parent, name, WithAdapter(linear, Adapter(linear.out_features, width)))


def _sublayer_paths(block: nn.Module) -> tuple[str, str]:
    names = {name for name, _ in block.named_modules()}
    for paths in _SUBLAYER_OUTPUTS:
        if names.issuperset(paths):
            return paths
    raise ValueError(f"adapters do not know the transformer block {type(block).__name__}")


class WithAdapter(nn.Module):
    """A frozen linear layer followed by its adapter."""

    def __init__(self, linear: nn.Linear, adapter: Adapter) -> None:
        super().__init__()
        self.linear = linear
        self.adapter = adapter

    def forward(self, hidden: Tensor, *args: Any) -> Tensor:
        """As the linear layer alone, [..., d_in] to [..., d_out], then the adapter."""
        return self.adapter(self.linear(hidden, *args))
