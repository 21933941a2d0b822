"""The module behind ``core.serving.joint``: common blocks below, each network's own blocks and head above."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from core.tuning.encoder import TextEncoder, can_start_from_hidden_states, layers_of

_TOLERANCE = 1e-4


class JointModule(nn.Module):
    """Token ids to the outputs of all members side by side, [b, sum of widths]."""

    def __init__(self, members: Sequence[TextEncoder], outputs: Sequence[str], blocks: int) -> None:
        super().__init__()
        self.members, self.outputs = nn.ModuleList(members), tuple(outputs)
        self.backbone = members[0].backbone
        self.lower = members[0].lower_layers(blocks)
        self.segments = getattr(self.backbone.config, "type_vocab_size", 0) > 1

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        """``{"logits": ...}``; vectors among the outputs are of unit length."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None and self.segments:
            inputs["token_type_ids"] = token_type_ids
        hidden = self.lower(**inputs).last_hidden_state
        parts = []
        for member, output in zip(self.members, self.outputs, strict=True):
            made = member(attention_mask=attention_mask, hidden_states=hidden)["logits"]
            parts.append(_scaled(made, output))
        return {"logits": torch.cat(parts, dim=-1)}


def _scaled(made: Tensor, output: str) -> Tensor:
    return nn.functional.normalize(made, dim=-1) if output == "vectors" else made


def common_blocks(models: Sequence[Any]) -> int:
    """How many blocks from the bottom all models have in common, embeddings included; 0: none, or unknown."""
    first = models[0]
    if not all(isinstance(one, TextEncoder) and can_start_from_hidden_states(one.backbone) for one in models):
        return 0
    return min(_common(first.backbone, one.backbone) for one in models[1:])


def _common(first: Any, other: Any) -> int:
    if type(first) is not type(other) or not _equal(_outside(first), _outside(other)):
        return 0
    count = 0
    for one, two in zip(layers_of(first), layers_of(other), strict=False):
        if not _equal(one.state_dict(), two.state_dict()):
            break
        count += 1
    return count


def _outside(backbone: Any) -> dict[str, Tensor]:
    """Every weight that lies in no block."""
    inside = {id(weight) for weight in layers_of(backbone).state_dict(keep_vars=True).values()}
    return {name: weight for name, weight in backbone.state_dict(keep_vars=True).items() if id(weight) not in inside}


def _equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def joint_module(models: Sequence[TextEncoder], outputs: Sequence[str], blocks: int) -> JointModule:
    """The models joined above their ``blocks`` common ones, compared with each of them before it is used.

    Raises ValueError when a model computes something else alone, as one does that adds to its blocks from outside.
    """
    for model in models:
        model.start_layer = blocks
    joint = JointModule(models, outputs, blocks).eval()
    _verify(joint, models)
    return joint


def _verify(joint: JointModule, models: Sequence[TextEncoder]) -> None:
    draw = torch.Generator().manual_seed(0)
    config = joint.backbone.config
    ids = torch.randint(1, config.vocab_size, (3, min(12, config.max_position_embeddings - 4)), generator=draw)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    with torch.inference_mode():
        found = joint(ids, mask)["logits"]
        alone = [model(ids, mask)["logits"] for model in models]
        pairs = zip(alone, joint.outputs, strict=True)
        expected = torch.cat(
            [nn.functional.normalize(v, dim=-1) if how == "vectors" else v for v, how in pairs], dim=-1
        )
    difference = float((found - expected).abs().max())
    if not difference <= _TOLERANCE * max(1.0, float(expected.abs().max())):
        raise ValueError(f"the joined networks differ from the single ones by {difference:.2g}")
