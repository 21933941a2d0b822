"""A causal language model whose frozen lower blocks were already run: training starts above them."""

import copy
from typing import Any

from torch import Tensor, nn

from core.tuning.encoder import layers_of, untrained_from_below

# Models of the Llama shape: ``model.layers`` between embeddings and ``model.norm``, then ``lm_head``.
_LLAMA_SHAPED = {"llama", "qwen2", "qwen3", "mistral"}


def frozen_blocks(model: Any) -> int:
    """How many blocks from the bottom (embeddings included) no trained weight touches; 0 means no cache."""
    if model.config.model_type not in _LLAMA_SHAPED or not hasattr(getattr(model, "model", None), "layers"):
        return 0
    blocks, words = layers_of(model), model.get_input_embeddings()
    above = {id(p) for part in (blocks, model.model.norm, model.lm_head) for p in part.parameters()}
    above -= {id(p) for p in words.parameters()}  # the head may share its weights with the embeddings
    # What is trained outside, such as virtual tokens, works from the bottom up.
    if any(p.requires_grad for p in model.parameters() if id(p) not in above):
        return 0
    return untrained_from_below(blocks)


def lower_blocks(model: Any, count: int) -> Any:
    """Embeddings and the lowest ``count`` blocks, as a view that shares all weights."""
    return _view(model.model, slice(None, count), norm=nn.Identity())


class UpperBlocks(nn.Module):
    """The blocks above ``start``, the final norm and the language-model head of ``model``, which keeps the weights."""

    def __init__(self, model: Any, start: int) -> None:
        super().__init__()
        self.model = model
        self.config = model.config
        self.start = start

    def forward(self, hidden_states: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """Hidden states [b, t, d] of the lower blocks to ``{"logits": [b, t, vocabulary]}``."""
        upper = _view(self.model.model, slice(self.start, None))
        hidden = upper(inputs_embeds=hidden_states, attention_mask=attention_mask, use_cache=False).last_hidden_state
        return {"logits": self.model.lm_head(hidden)}


def _view(base: Any, keep: slice, **replaced: nn.Module) -> Any:
    view = copy.copy(base)
    view._modules = {**base._modules, "layers": base.layers[keep], **replaced}
    return view
