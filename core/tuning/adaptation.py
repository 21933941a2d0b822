"""Tune an encoder on text of a domain that nobody has labelled, to start a task with few labels from.

Unsupervised SimCSE (Gao, Yao & Chen 2021, https://arxiv.org/abs/2104.08821) as matching: the positive of a text is the
text itself, seen through another draw of the dropout, and the other texts of the batch are negatives. With
``data.word_deletion`` the second view also lacks some words. Validation asks for something harder than that, which
does not change with the recipe: to find each held-out text's view without half of its words among all of them.
"""

from torch import nn

from core.errors import InputError
from core.tuning import frozen
from core.tuning.artifact import Built
from core.tuning.encoder import layers_of
from core.tuning.recipe import Recipe


def check(built: Built, recipe: Recipe) -> None:
    """Raises InputError when the two views of a text would be one, or negatives are to be mined."""
    if recipe.training.hard_negatives:
        raise InputError(
            "training.hard_negatives needs pairs: the nearest unlabelled text may well mean the same; remove it."
        )
    if recipe.data.word_deletion == 0 and not dropout_in(built):
        raise InputError(
            "data.unlabelled: without dropout in the layers that train both views of a text are the same;"
            " set training.dropout, or data.word_deletion, above 0."
        )


def dropout_in(built: Built) -> bool:
    """Whether any dropout lies in the blocks that run in every step, above those that are run once and cached."""
    blocks = layers_of(built.model.backbone)[frozen.frozen_blocks(built.model) :]
    return any(isinstance(part, nn.Dropout) and part.p > 0 for block in blocks for part in block.modules())
