"""Label texts without a labelled example: compare them with descriptions of the labels, or ask a language model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import log_softmax, softmax

from core.data.label_words import describe
from core.errors import InputError

Floats = NDArray[np.float64]
TEMPLATES = {
    "embedding": ("{}", "This text is about {}.", "{}: a typical example"),
    "cloze": ("{text} It was {mask}.", "{text} In summary: {mask}."),
    "causal": ("Text: {text}\nCategory:",),
}


class ZeroShotConfig(BaseModel):
    """How labels are put into words. ``descriptions`` maps labels to words; others are read from their names.

    ``templates``: embedding: ``{}`` is the description; cloze: ``{text}`` and ``{mask}``; causal: ``{text}``.
    """

    model_config = ConfigDict(extra="forbid")

    how: Literal["embedding", "cloze", "causal"] = "embedding"
    backbone: str = "minilm"
    descriptions: dict[str, str] = {}
    templates: tuple[str, ...] = ()
    temperature: float = Field(default=0.05, gt=0, description="embedding: softmax temperature of cosines")
    correct_prior: bool = Field(default=True, description="take away what every text of the batch is said to be")
    max_length: int = Field(default=128, ge=8)


class Scorer(Protocol):
    """Gives each text a score for each label, higher is likelier."""

    def scores(self, texts: Sequence[str]) -> Floats:
        """Log-probabilities up to a constant per text, [n, c]."""
        ...


@dataclass
class ZeroShot:
    """A classifier nobody labelled anything for; made by ``zero_shot``."""

    labels: tuple[str, ...]
    config: ZeroShotConfig
    scorer: Scorer

    def probabilities(self, texts: Sequence[str], examples: Sequence[str] = ()) -> Floats:
        """Probabilities [n, c]. ``examples`` are further unlabelled texts for the prior correction.

        Batch calibration (Zhou et al. 2024, https://arxiv.org/abs/2309.17249): the mean score of each label over
        the texts is taken away, so that a label whose words fit everything loses its advantage. It needs no label
        but assumes that no label is much more frequent than the others.
        """
        if not texts:
            return np.empty((0, len(self.labels)))
        logits = log_softmax(self.scorer.scores([*texts, *examples]), axis=1)
        if self.config.correct_prior and len(logits) >= 2 * len(self.labels):
            logits = logits - logits.mean(axis=0, keepdims=True)
        return np.asarray(softmax(logits[: len(texts)], axis=1))

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The likeliest label of each text."""
        return [self.labels[i] for i in self.probabilities(texts).argmax(1)] if texts else []


def zero_shot(labels: Sequence[str], config: ZeroShotConfig | None = None) -> ZeroShot:
    """A classifier from label names alone. Raises InputError for fewer than two labels or unusable templates."""
    config = config or ZeroShotConfig()
    names = tuple(dict.fromkeys(labels))
    if len(names) < 2:
        raise InputError("zero-shot needs at least two labels to choose from.")
    if unknown := sorted(set(config.descriptions) - set(names)):
        raise InputError(f"descriptions: {unknown[0]!r} is none of the labels; remove it or mend its name.")
    words = [describe(name, config.descriptions) for name in names]
    templates = _templates(config)
    if config.how == "embedding":
        from core.serving.encoder import load_encoder

        encoder = load_encoder(config.backbone)
        return ZeroShot(names, config, Likeness(encoder, words, templates, config.temperature))
    if config.how == "cloze":
        from core.fewlabels.language_models import Cloze

        return ZeroShot(names, config, Cloze.load(config.backbone, words, templates, config.max_length))
    from core.fewlabels.language_models import Causal

    backbone = "smollm2" if config.backbone == "minilm" else config.backbone
    return ZeroShot(names, config, Causal.load(backbone, words, templates, config.max_length))


@dataclass
class Likeness:
    """Cosine between a text and each label's words, averaged over templates."""

    encoder: Any
    words: Sequence[str]
    templates: Sequence[str]
    temperature: float

    def __post_init__(self) -> None:
        filled = [template.format(word) for template in self.templates for word in self.words]
        vectors = self.encoder.encode(filled, passages=True)
        mean = vectors.reshape(len(self.templates), len(self.words), -1).mean(0)
        self._labels = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)

    def scores(self, texts: Sequence[str]) -> Floats:
        """Cosines over the temperature, [n, c]."""
        return np.asarray(self.encoder.encode(list(texts)) @ self._labels.T / self.temperature, dtype=np.float64)


def _templates(config: ZeroShotConfig) -> tuple[str, ...]:
    templates = config.templates or TEMPLATES[config.how]
    wanted = {"embedding": ("{}",), "cloze": ("{text}", "{mask}"), "causal": ("{text}",)}[config.how]
    for template in templates:
        if absent := [mark for mark in wanted if mark not in template]:
            raise InputError(f"templates: {template!r} has no {absent[0]}; {config.how} needs {' and '.join(wanted)}.")
    return tuple(templates)
