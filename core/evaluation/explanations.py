"""Which words made a classifier say what it said: integrated gradients, checked by leaving words out."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_WORD = re.compile(r"[㐀-鿿]|\w+(?:['’\-.,]\w+)*|[^\w\s]", re.UNICODE)


@dataclass(frozen=True)
class Word:
    """A word with its place in the text. ``weight`` > 0 speaks for the label, < 0 against it; the largest is ±1."""

    text: str
    start: int
    end: int
    weight: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class Explanation:
    """``agreement``: rank correlation (Spearman) of the gradients' weights with those by leaving words out, or None
    for a single word or where only one of the two ways was possible."""

    label: str
    probability: float
    words: tuple[Word, ...]
    agreement: float | None
    by: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "words": [word.to_dict() for word in self.words]}


def split_words(text: str) -> list[tuple[int, int]]:
    """Start and end of each word; a Chinese character is a word of its own."""
    return [match.span() for match in _WORD.finditer(text)]


def occlusion(score: Callable[[Sequence[str]], Floats], text: str, spans: Sequence[tuple[int, int]]) -> Floats:
    """How much the score falls without each word (Zeiler & Fergus 2014; Li et al. 2016), [words].

    ``score`` gives the log-odds or log-probability of the label for texts, [n].
    """
    without = [text[:start] + text[end:] for start, end in spans]
    scores = score([text, *without])
    return np.asarray(scores[0] - scores[1:], dtype=np.float64)


def integrated_gradients(
    model: Any,
    tokenizer: Any,
    text: str,
    spans: Sequence[tuple[int, int]],
    target: int,
    max_length: int,
    steps: int = 24,
) -> Floats:
    """Attribution of the label's logit to words, against padding in their place (Sundararajan et al. 2017), [words].

    ``model`` is a TextEncoder with a head; words that were cut off get 0.
    """
    import torch
    from captum.attr import LayerIntegratedGradients

    encoded = tokenizer(text, truncation=True, max_length=max_length, return_offsets_mapping=True, return_tensors="pt")
    offsets = encoded.pop("offset_mapping")[0].tolist()
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    special = torch.tensor(tokenizer.get_special_tokens_mask(ids[0].tolist(), already_has_special_tokens=True)).bool()
    baseline = torch.where(special, ids, torch.full_like(ids, tokenizer.pad_token_id))

    def logit(tokens: Any) -> Any:
        return model(input_ids=tokens, attention_mask=mask.expand(len(tokens), -1))["logits"][:, target]

    way = LayerIntegratedGradients(logit, model.backbone.get_input_embeddings())
    found = way.attribute(ids, baseline, n_steps=steps, internal_batch_size=8).sum(-1)[0].detach().numpy()
    weights = np.zeros(len(spans))
    for value, (start, end) in zip(found, offsets, strict=True):
        for number, (first, last) in enumerate(spans):
            if start < last and end > first:
                weights[number] += float(value)
                break
    return weights


def explain(
    text: str,
    label: str,
    probability: float,
    by_occlusion: Floats,
    by_gradient: Floats | None,
    spans: Sequence[tuple[int, int]],
) -> Explanation:
    """Put the two together; the gradients' weights are shown where they could be had."""
    from scipy.stats import spearmanr

    shown = by_occlusion if by_gradient is None else by_gradient
    largest = float(np.abs(shown).max()) if len(shown) else 0.0
    scaled = shown / largest if largest > 0 else shown
    words = tuple(Word(text[s:e], s, e, float(w)) for (s, e), w in zip(spans, scaled, strict=True))
    agreement = None
    if by_gradient is not None and len(spans) > 1 and np.ptp(by_occlusion) > 0 and np.ptp(by_gradient) > 0:
        agreement = float(spearmanr(by_gradient, by_occlusion).statistic)
    return Explanation(label, probability, words, agreement, "occlusion" if by_gradient is None else "gradients")
