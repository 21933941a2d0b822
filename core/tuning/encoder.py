"""The text encoder that classification, matching and ranking share: backbone, pooling, optional head."""

import copy
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers.masking_utils import create_bidirectional_mask

Pooling = Literal["mean", "cls", "last"]


def layers_of(backbone: Any) -> nn.ModuleList:
    """The stack of transformer blocks, bottom first, of any backbone with exactly one main stack."""
    stacks = [
        module
        for module in backbone.modules()
        if isinstance(module, nn.ModuleList) and len(module) == backbone.config.num_hidden_layers
    ]
    if not stacks:
        raise ValueError(f"no stack of transformer blocks found in {type(backbone).__name__}")
    return stacks[0]


def untrained_from_below(blocks: nn.ModuleList) -> int:
    """How many blocks, counted from the bottom, lie below the first with a trained weight."""
    trained = (number for number, block in enumerate(blocks) if any(p.requires_grad for p in block.parameters()))
    return next(trained, len(blocks))


def pool(hidden: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """Token vectors [b, t, d] and mask [b, t] to one vector per text [b, d]."""
    if how == "cls":
        return hidden[:, 0]
    if how == "last":
        last = mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)
        return hidden[torch.arange(hidden.shape[0], device=hidden.device), last]
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


class TextEncoder(nn.Module):
    """Tokens to one vector per text, and to logits when a head is there.

    ``hidden_states`` may be given instead of ``input_ids``: the output of the lowest ``start_layer``
    blocks, computed once by ``lower_layers`` because the method never changes them.
    """

    def __init__(self, backbone: Any, pooling: Pooling, outputs: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = backbone.config  # what Trainer and accelerate look for
        self.pooling = pooling
        self.start_layer = 0
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.config.hidden_size, outputs) if outputs else None
        if self.head is not None:
            nn.init.normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)

    def embed(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Any = None,
        token_type_ids: Tensor | None = None,
        hidden_states: Tensor | None = None,
    ) -> Tensor:
        """Pooled vectors [b, d], not normalised."""
        if hidden_states is not None:
            hidden = self.run_blocks(hidden_states, attention_mask, slice(self.start_layer, None))
        else:
            inputs: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
            if token_type_ids is not None and getattr(self.config, "type_vocab_size", 0) > 1:
                inputs["token_type_ids"] = token_type_ids
            hidden = self.backbone(**inputs).last_hidden_state
            # Prompt methods put virtual tokens in front; only the text's own tokens are pooled.
            hidden = hidden[:, hidden.shape[1] - attention_mask.shape[1] :]
        return pool(hidden, attention_mask, self.pooling)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        hidden_states: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """``{"logits": [b, outputs]}`` when there is a head, else ``{"logits": pooled vectors [b, d]}``."""
        pooled = self.embed(input_ids, attention_mask, token_type_ids, hidden_states)
        return {"logits": pooled if self.head is None else self.head(self.dropout(pooled))}

    def lower_layers(self, count: int) -> nn.Module:
        """A view on the backbone that stops after ``count`` blocks; it shares all weights."""
        return _truncated(self.backbone, keep=slice(None, count))

    def run_blocks(self, hidden: Tensor, mask: Tensor, which: slice) -> Tensor:
        """Some of the blocks on token vectors [b, t, d], which are the output of the block below them."""
        stack = _stack_owner(self.backbone)
        part = copy.copy(stack)
        part._modules = {**stack._modules, "layer": stack.layer[which]}
        attention = create_bidirectional_mask(config=self.config, inputs_embeds=hidden, attention_mask=mask)
        return part(hidden, attention_mask=attention).last_hidden_state


def can_start_from_hidden_states(backbone: Any) -> bool:
    """Whether the blocks can be run from the middle: BERT, RoBERTa and XLM-R style encoders."""
    return backbone.config.model_type in {"bert", "roberta", "xlm-roberta", "camembert", "electra"}


def _stack_owner(backbone: Any) -> Any:
    stack = layers_of(backbone)
    return next(m for m in backbone.modules() if m._modules.get("layer") is stack)


def _truncated(backbone: Any, keep: slice) -> nn.Module:
    owner = _stack_owner(backbone)
    shorter = copy.copy(owner)
    shorter._modules = {**owner._modules, "layer": owner.layer[keep]}
    view = copy.copy(backbone)
    view._modules = {name: shorter if m is owner else m for name, m in backbone._modules.items()}
    return view
