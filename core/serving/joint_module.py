"""The module behind ``core.serving.joint``: one network's blocks, and where each other branches off from it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from core.tuning.encoder import TextEncoder, can_start_from_hidden_states, layers_of

_TOLERANCE = 1e-4


class JointModule(nn.Module):
    """Token ids to the outputs of all members side by side, [b, sum of widths].

    ``depths``: how many blocks each member has in common with the member ``trunk``, which has that of its last branch.
    """

    def __init__(
        self, members: Sequence[TextEncoder], outputs: Sequence[str], depths: Sequence[int], trunk: int
    ) -> None:
        super().__init__()
        self.members, self.outputs, self.depths = nn.ModuleList(members), tuple(outputs), tuple(depths)
        self.trunk = members[trunk]
        self.backbone = self.trunk.backbone
        self.branches = sorted({depth for depth in depths if depth})
        self.lowest = self.trunk.lower_layers(self.branches[0])
        self.embeds_once = all(depths)  # asked by the export
        self.segments = getattr(self.backbone.config, "type_vocab_size", 0) > 1

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        """``{"logits": ...}``; vectors among the outputs are of unit length."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None and self.segments:
            inputs["token_type_ids"] = token_type_ids
        hidden = {self.branches[0]: self.lowest(**inputs).last_hidden_state}
        for below, depth in zip(self.branches, self.branches[1:], strict=False):
            hidden[depth] = self.trunk.run_blocks(hidden[below], attention_mask, slice(below, depth))
        parts = []
        for member, output, depth in zip(self.members, self.outputs, self.depths, strict=True):
            given = {"attention_mask": attention_mask, "hidden_states": hidden[depth]} if depth else inputs
            parts.append(_scaled(member(**given)["logits"], output))
        return {"logits": torch.cat(parts, dim=-1)}


def _scaled(made: Tensor, output: str) -> Tensor:
    return nn.functional.normalize(made, dim=-1) if output == "vectors" else made


def common_blocks(models: Sequence[Any]) -> tuple[list[int], int]:
    """How many blocks from the bottom each model shares with one of them, and which one that is: the one with most.

    Embeddings count to the lowest block. All zeros: they have nothing in common, or it is not known how to branch.
    """
    alike = [isinstance(one, TextEncoder) and can_start_from_hidden_states(one.backbone) for one in models]
    if not all(alike):
        return [0] * len(models), 0
    found = [[_common(one.backbone, two.backbone) if one is not two else 0 for two in models] for one in models]
    trunk = max(range(len(models)), key=lambda number: sum(found[number]))
    depths = found[trunk]
    depths[trunk] = max(depths)
    return depths, trunk


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


def joint_module(
    models: Sequence[TextEncoder], outputs: Sequence[str], depths: Sequence[int], trunk: int
) -> JointModule:
    """The models joined as ``common_blocks`` found, compared with each of them before it is used.

    Raises ValueError when a model computes something else alone, as one does that adds to its blocks from outside.
    """
    for model, depth in zip(models, depths, strict=True):
        model.start_layer = depth
    joint = JointModule(models, outputs, depths, trunk).eval()
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
    expected = torch.cat([_scaled(*pair) for pair in zip(alone, joint.outputs, strict=True)], dim=-1)
    difference = float((found - expected).abs().max())
    if not difference <= _TOLERANCE * max(1.0, float(expected.abs().max())):
        raise ValueError(f"the joined networks differ from the single ones by {difference:.2g}")
