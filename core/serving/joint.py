"""Several networks on one backbone asked at once: blocks that they have in common are run once for all.

A tuned model that moved only its upper blocks has the backbone's own lower ones. Whoever asks several such models
about the same texts pays for these once: of two models and their backbone, with 2 of 6 blocks of their own each, 10
blocks are run instead of 18. A model that shares nothing may be among them; it is run from the bottom.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.serving.network import Network
from core.serving.opening import open_runner
from core.serving.runner import Runner
from core.tuning.recipe import Recipe


@dataclass(frozen=True)
class Joint:
    """Networks that are run together; made by ``join``. Safe for several threads."""

    networks: tuple[Network, ...]
    engine: str
    runner: Runner

    def run(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Each network's own output, float32 [n, width], in the order of the networks; texts in input order."""
        values = self.runner.run(texts, None, self.networks[0].query_prefix).values
        ends = np.cumsum([network.width for network in self.networks])
        return [np.ascontiguousarray(part) for part in np.split(values, ends[:-1], axis=1)]


def join(networks: Sequence[Network], engine: str = "auto") -> Joint | None:
    """The networks together; None where they have no block in common or read their texts differently.

    Texts are cut at the smallest of their length limits. An engine that runs an export makes it first.
    """
    first = networks[0]
    if len(networks) < 2 or any(one.query_prefix != first.query_prefix for one in networks):
        return None
    if sum(map(_may_share, networks)) < 2:
        return None
    joint = _network(networks)
    try:
        name, runner = open_runner(joint, engine)
    except _Apart:
        return None
    return Joint(tuple(networks), name, runner)


def _may_share(network: Network) -> bool:
    """Whether its recipe leaves lower blocks alone: reading the weights of one that does not would be for nothing."""
    if not (network.folder / "recipe.toml").is_file():
        return True
    recipe = Recipe.load(network.folder / "recipe.toml")
    return recipe.method in ("head", "top-layers") or (recipe.method == "lora" and recipe.options.layers is not None)


class _Apart(Exception):
    """The networks have nothing in common."""


def _network(networks: Sequence[Network]) -> Network:
    """All as one network, whose output is theirs side by side."""
    first = networks[0]
    names = "+".join(one.name for one in networks)
    identity = hashlib.sha256("\n".join(one.fingerprint for one in networks).encode()).hexdigest()[:32]
    width, length = sum(one.width for one in networks), min(one.max_length for one in networks)

    def load() -> tuple[Any, Any]:
        from core.serving.joint_module import common_blocks, joint_module

        loaded = [one.load() for one in networks]
        models, tokenizers = [model for model, _ in loaded], [tokenizer for _, tokenizer in loaded]
        depths, trunk = common_blocks(models)
        if not any(depths) or any(one.get_vocab() != tokenizers[0].get_vocab() for one in tokenizers[1:]):
            raise _Apart(names)
        try:
            return joint_module(models, [one.output for one in networks], depths, trunk), tokenizers[0]
        except ValueError as error:
            raise _Apart(names) from error

    prefixes = (first.query_prefix, first.passage_prefix)
    return Network(names, identity, "logits", width, length, *prefixes, first.pooling, first.folder, load)
