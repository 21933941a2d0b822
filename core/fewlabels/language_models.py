"""Ask a language model which label's words come next: a masked one by a cloze, a causal one by a prompt."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

Floats = NDArray[np.float64]
_EMPTY = ("N/A", "", "[MASK]")  # the content-free inputs of Zhao et al. 2021


@dataclass
class Cloze:
    """P(label words | text with a blank) of a masked language model (PET, Schick & Schütze 2021).

    A label of several tokens gets as many blanks; its score is the mean log-probability of its tokens.
    """

    model: Any
    tokenizer: Any
    words: Sequence[str]
    templates: Sequence[str]
    max_length: int

    @classmethod
    def load(cls, backbone: str, words: Sequence[str], templates: Sequence[str], max_length: int) -> "Cloze":
        """Raises InputError for a checkpoint without a masked-language-model head."""
        from core.models.sources import load_masked_lm, load_tokenizer, resolve

        local = resolve(backbone)
        tokenizer = load_tokenizer(local)
        if tokenizer.mask_token is None:
            raise InputError(f"backbone {backbone!r} has no mask token; choose a masked language model.")
        return cls(load_masked_lm(local).eval(), tokenizer, words, templates, max_length)

    def scores(self, texts: Sequence[str]) -> Floats:
        """Mean log-probability of each label's tokens over templates, [n, c]."""
        import torch

        found = np.zeros((len(texts), len(self.words)))
        by_length: dict[int, list[int]] = {}
        answers = [self.tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in self.words]
        for number, answer in enumerate(answers):
            by_length.setdefault(max(1, len(answer)), []).append(number)
        with torch.inference_mode():
            for template in self.templates:
                for blanks, labels in by_length.items():
                    for row, text in enumerate(texts):
                        logs = self._blanks(template, text, blanks)
                        for label in labels:
                            value = logs[np.arange(blanks), answers[label]].mean() if answers[label] else -1e3
                            found[row, label] += value / len(self.templates)
        return found

    def _blanks(self, template: str, text: str, blanks: int) -> Floats:
        """Log-probabilities [blanks, vocabulary] at the blanks; the text is shortened until the cloze fits."""
        import torch

        mask = " ".join([self.tokenizer.mask_token] * blanks)
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        frame = len(self.tokenizer(template.replace("{text}", "").replace("{mask}", mask))["input_ids"])
        shortened = self.tokenizer.decode(ids[: max(1, self.max_length - frame)])
        batch = self.tokenizer(template.replace("{text}", shortened).replace("{mask}", mask), return_tensors="pt")
        places = (batch["input_ids"][0] == self.tokenizer.mask_token_id).nonzero()[-blanks:, 0]
        logits = self.model(**batch).logits[0, places].float()
        return np.asarray(torch.log_softmax(logits, dim=-1).numpy(), dtype=np.float64)


@dataclass
class Causal:
    """Mean log-probability of each label's words after the prompt, contextually calibrated (Zhao et al. 2021).

    ``shots`` are labelled examples (text, label words) that a prompt may show; the likest ones to the text are chosen
    by ``choose`` when it is given (Liu et al. 2022, https://arxiv.org/abs/2101.06804).
    """

    model: Any
    tokenizer: Any
    words: Sequence[str]
    templates: Sequence[str]
    max_length: int
    shots: Sequence[tuple[str, str]] = ()
    choose: Any = None
    in_context: int = 4
    _bias: Floats | None = field(default=None, repr=False)

    @classmethod
    def load(cls, backbone: str, words: Sequence[str], templates: Sequence[str], max_length: int) -> "Causal":
        """Raises InputError for a checkpoint that cannot generate, MissingExtra when its package is missing."""
        from core.models.sources import load_decoder, load_tokenizer, resolve

        local = resolve(backbone)
        return cls(load_decoder(local).eval(), load_tokenizer(local), words, templates, max_length)

    def scores(self, texts: Sequence[str]) -> Floats:
        """Log-probabilities less those for an input without content, [n, c]."""
        if self._bias is None:
            self._bias = np.mean([self._score(text) for text in _EMPTY], axis=0)
        return np.array([self._score(text) for text in texts]) - self._bias

    def _score(self, text: str) -> Floats:
        return np.mean([self._continuations(template, text) for template in self.templates], axis=0)

    def _continuations(self, template: str, text: str) -> Floats:
        """Every label's words as the continuation of one prompt; the prompt is read once and its cache reused."""
        import torch
        import torch.nn.functional as F

        prompt = self._prompt(template, text)
        answers = [self.tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in self.words]
        longest = max(len(answer) for answer in answers)
        filler = self.tokenizer.pad_token_id or 0
        rows = torch.tensor([prompt + answer + [filler] * (longest - len(answer)) for answer in answers])
        mask = torch.tensor([[1] * (len(prompt) + len(a)) + [0] * (longest - len(a)) for a in answers])
        with torch.inference_mode():
            logits = self.model(input_ids=rows, attention_mask=mask).logits[:, len(prompt) - 1 : -1].float()
        logs = F.log_softmax(logits, dim=-1).gather(2, rows[:, len(prompt) :, None])[..., 0].numpy()
        return np.array([logs[i, : len(answer)].mean() for i, answer in enumerate(answers)], dtype=np.float64)

    def _prompt(self, template: str, text: str) -> list[int]:
        shown = self.choose(text, self.in_context) if self.choose else range(min(self.in_context, len(self.shots)))
        examples = "".join(
            f"{template.replace('{text}', self.shots[i][0])} {self.shots[i][1]}\n\n" for i in reversed(list(shown))
        )
        ids = self.tokenizer(examples + template.replace("{text}", text))["input_ids"]
        return list(ids)[-self.max_length * (1 + self.in_context) :]


def likest(encoder: Any, shots: Sequence[tuple[str, str]]) -> Any:
    """``choose(text, k)``: the numbers of the k shots whose texts are likest, likest first."""
    vectors = encoder.encode([text for text, _ in shots])

    def choose(text: str, k: int) -> list[int]:
        return [int(i) for i in np.argsort(-(vectors @ encoder.encode([text])[0]), kind="stable")[:k]]

    return choose
