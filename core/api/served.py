"""One model in memory, with the queue that groups what many callers send."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.api.catalogue import Source
from core.api.config import ApiSettings
from core.api.problems import Unavailable
from core.errors import InputError
from core.operations.memory import give_back
from core.serving.batching import Batcher
from core.serving.predictor import Prediction

Item = str | tuple[str, str]


@dataclass(frozen=True)
class Embedding:
    """What is asked of an encoder: ``passage`` for text that is searched, not asked."""

    text: str
    passage: bool


class Served:
    """A loaded model. ``task``: classification, ranking, generation, matching, or embedding for a backbone."""

    def __init__(self, source: Source, config: ApiSettings) -> None:
        """Load it, which takes seconds. Raises InputError when its files are damaged."""
        self.source = source
        self.model: Any
        if isinstance(source.place, Path):
            from core.serving.predictor import load_predictor

            self.model = load_predictor(source.place)
            self.task: str = self.model.recipe.task
        else:
            from core.serving.encoder import load_encoder

            self.model, self.task = load_encoder(source.place), "embedding"
        self.pairs = self.task == "ranking" or bool(
            self.task == "classification" and self.model.recipe.data.columns.text_pair
        )
        self.batcher: Batcher[Any, Any] = Batcher(
            self._embed if self.embeds else self._predict,
            max_batch=config.max_batch,
            max_wait_ms=config.max_wait_ms if config.max_batch > 1 else 0,
            bound=config.queue,
            deadline_s=config.deadline_s,
        )

    @property
    def embeds(self) -> bool:
        """Whether the model gives vectors instead of labels, scores or replies."""
        return self.task in ("matching", "embedding")

    def check(self, items: Sequence[Item]) -> None:
        """Raise InputError when the items are not what this model reads."""
        name = self.source.name
        if self.embeds:
            raise InputError(f"{name} gives vectors, not predictions; use /v1/embed.")
        for position, item in enumerate(items):
            if self.pairs and isinstance(item, str):
                raise InputError(f"{name} reads pairs of texts; texts[{position}] must be [text, text].")
            if not self.pairs and not isinstance(item, str):
                raise InputError(f"{name} reads single texts; texts[{position}] is a pair.")

    async def ask(self, items: Sequence[Any]) -> list[Any]:
        """One result for each item, in order. Raises Overloaded, DeadlineExceeded, Unavailable, or InputError."""
        futures = []
        try:
            for item in items:
                futures.append(self.batcher.submit(item))
            return list(await asyncio.gather(*map(asyncio.wrap_future, futures)))
        except RuntimeError as error:
            if "closed" in str(error):
                raise Unavailable("The model is being replaced; try again.") from None
            raise
        finally:
            for future in futures:
                future.cancel()  # nobody waits for the rest; those that are done do not mind

    def close(self) -> None:
        """Answer what waits, then stop and free the memory."""
        self.batcher.close(timeout_s=30)
        self.model = None
        give_back()  # or every promotion would leave a whole model behind

    def _predict(self, items: Sequence[Item]) -> list[Prediction]:
        if self.task == "classification":
            return list(self.model.predict_stream(items))
        if self.task == "ranking":
            scores = self.model.score([item[0] for item in items], [item[1] for item in items])
            return [
                Prediction(
                    "relevant" if s >= 0.5 else "not relevant",
                    float(max(s, 1 - s)),
                    {"relevant": float(s), "not relevant": float(1 - s)},
                )
                for s in scores
            ]
        return [Prediction(reply, 1.0, {}) for reply in self.model.reply([str(item) for item in items])]

    def _embed(self, items: Sequence[Embedding]) -> list[np.ndarray]:
        found: list[np.ndarray | None] = [None] * len(items)
        for passage in (False, True):
            places = [i for i, item in enumerate(items) if item.passage == passage]
            if places:
                vectors = self.model.encode([items[i].text for i in places], passages=passage)
                for i, vector in zip(places, vectors, strict=True):
                    found[i] = vector
        return found  # type: ignore[return-value]
