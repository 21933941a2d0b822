"""Learning rates by place in the network, and which blocks are open when."""

import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.tuning.encoder import layers_of
from core.tuning.recipe import TrainingConfig


def parameter_groups(model: nn.Module, backbone: Any, training: TrainingConfig) -> list[dict[str, Any]]:
    """Optimiser groups for the trained weights: one per (learning rate, weight decay) pair.

    ``layer_decay`` multiplies the rate once per block downwards from the top (the discriminative fine-tuning
    of ULMFiT, Howard & Ruder 2018, as in FinBERT, Araci 2019); embeddings sit below the lowest block.
    Biases and norms are not decayed.
    """
    depth_of = _depths(backbone)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    backbone_ids = {id(p) for p in backbone.parameters()}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in backbone_ids:
            rate = training.learning_rate * training.layer_decay ** depth_of.get(id(parameter), 0)
        else:
            rate = training.head_learning_rate or training.learning_rate
        decay = 0.0 if parameter.ndim < 2 or re.search(r"norm|bias", name, re.I) else training.weight_decay
        groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": ps, "lr": rate, "weight_decay": decay} for (rate, decay), ps in groups.items()]


def _depths(backbone: Any) -> dict[int, int]:
    """Distance from the top: 0 for the top block, n for what lies below the lowest of n blocks."""
    blocks = list(layers_of(backbone))
    depths = {id(p): len(blocks) for p in _embeddings(backbone, blocks).parameters()}
    for distance, block in enumerate(reversed(blocks)):
        depths.update({id(p): distance for p in block.parameters()})
    return depths


def _embeddings(backbone: Any, blocks: list[nn.Module]) -> Any:
    """The word embeddings, with the position embeddings and norm beside them where they have a module of their own."""
    words = backbone.get_input_embeddings()
    inside = {id(m) for block in blocks for m in block.modules()}
    parent = next((m for m in backbone.modules() if any(child is words for child in m.children())), words)
    return words if any(id(m) in inside for m in parent.modules()) else parent


class GradualUnfreezing(TrainerCallback):
    """Open one more block every ``every`` epochs, from the top (Howard & Ruder 2018; Araci 2019)."""

    def __init__(self, backbone: Any, every: float) -> None:
        self.every = every
        trained = [[p for p in block.parameters() if p.requires_grad] for block in layers_of(backbone)]
        in_blocks = {id(p) for block in trained for p in block}
        below = [p for p in backbone.parameters() if p.requires_grad and id(p) not in in_blocks]
        self.steps = [ps for ps in [*reversed(trained), below] if ps]

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set ``requires_grad`` for the present epoch; the optimiser skips weights without a gradient."""
        opened = 1 + int((state.epoch or 0.0) / self.every)
        for index, parameters in enumerate(self.steps):
            for parameter in parameters:
                parameter.requires_grad = index < opened


class RankBudget(TrainerCallback):
    """Step AdaLoRA's budget schedule after every optimiser step (Zhang et al. 2023, algorithm 1).

    The allocator's running importance is written beside each checkpoint, because a resumed run must give
    the same ranks as one that was never stopped.
    """

    FILE = "rank_budget.pt"
    STATE = ("ipt", "exp_avg_ipt", "exp_avg_unc")

    def __init__(self, backbone: Any) -> None:
        self.tuner = backbone.adalora
        self.config = self.tuner.peft_config["default"]

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Gradients are still there: sensitivity is measured and low-importance ranks are masked."""
        self.tuner.update_and_allocate(state.global_step + 1)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Keep importance scores and the rank pattern with the checkpoint."""
        if not state.is_world_process_zero:
            return
        allocator = self.tuner.rankallocator
        kept = {name: getattr(allocator, name) for name in self.STATE}
        file = self._file(args, state)
        partial = file.with_suffix(".part")
        torch.save({**kept, "rank_pattern": self.config.rank_pattern}, partial)
        os.replace(partial, file)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """After a resume, take the scores up again."""
        if state.global_step:
            kept = torch.load(self._file(args, state), weights_only=True)
            self.config.rank_pattern = kept.pop("rank_pattern")
            for name, value in kept.items():
                setattr(self.tuner.rankallocator, name, value)

    def _file(self, args: TrainingArguments, state: TrainerState) -> Path:
        return Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / self.FILE


def orthogonality(backbone: Any, weight: float = 0.5) -> torch.Tensor:
    """AdaLoRA's regulariser, the mean Frobenius distance of P'P and QQ' from the identity."""
    terms = [
        torch.linalg.matrix_norm((p @ p.T if "lora_A" in name else p.T @ p) - torch.eye(min(p.shape), device=p.device))
        for name, p in backbone.named_parameters()
        if "lora_A" in name or "lora_B" in name
    ]
    return weight * torch.stack(terms).mean()
