"""The models that read one language: sentiment, topic and vector of a text, in one pass where they share blocks."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InputError
from verticals.finance import sentiment
from verticals.finance.topics import DescribedTopic, TopicCall, Topics

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Models:
    """References of the models for one language; None: there is none for this task."""

    sentiment: str | Path
    topics: str | Path | None = None
    entities: str | Path | None = None
    encoder: str | None = None


# English has models of its own, whatever else is written goes through the multilingual encoder.
MODELS: dict[str, Models] = {
    "en": Models("finance-sentiment", "finance-topics", "finance-entities", "minilm"),
    "*": Models("finance-multilingual", "finance-topics-multilingual", None, None),
}


class Desk:
    """The models of one language. Safe for several threads."""

    def __init__(
        self,
        sentiment: Any,
        topics: Topics,
        encoder: Any = None,
        entities: Any = None,
        join: Callable[[Sequence[Any]], Any] | None = None,
    ) -> None:
        """``join`` makes one of several networks, or None (``core.serving.joint.join``)."""
        self.sentiment, self.topics, self.encoder, self.entities = sentiment, topics, encoder, entities
        self._join = join
        self._joint: tuple[list[str], Any] | None = None
        self._lock = threading.Lock()

    @classmethod
    def open(cls, models: Models, described: Sequence[DescribedTopic] = (), engine: str = "auto") -> "Desk":
        """Raises InputError or MissingExtra when the sentiment model cannot be opened."""
        from core.serving.encoder import load_encoder
        from core.serving.joint import join

        opinion, entities = open_model(models.sentiment, engine), _optional(models.entities, engine)
        encoder = load_encoder(models.encoder, engine=engine) if models.encoder else None
        encode = encoder.encode if encoder is not None else None
        topics = Topics(_optional(models.topics, engine), described if encode else (), encode)
        return cls(opinion, topics, encoder, entities, partial(join, engine=engine))

    @property
    def fingerprints(self) -> list[str]:
        """What its answers depend on."""
        opened = (self.sentiment, self.entities, self.topics.predictor)
        return [one.network.fingerprint for one in opened if one is not None]

    def read(
        self, texts: Sequence[str]
    ) -> "tuple[list[dict[str, float]], list[TopicCall | None], np.ndarray[Any, Any] | None]":
        """Sentiment, topic and vector of each text."""
        opinion, topic = (getattr(one, "current", one) for one in (self.sentiment, self.topics.predictor))
        joint = self._joined(opinion, topic) if texts else None
        if joint is not None:
            opinions, topics, vectors = joint.run(texts)
            calls = self.topics.of_texts(texts, vectors, topic.predictions(topics))
            return sentiment.of_predictions(opinion.predictions(opinions)), calls, vectors
        vectors = self.encoder.encode(texts) if self.encoder is not None else None
        calls = [None] * len(texts)
        if vectors is not None or topic is not None:
            calls = self.topics.of_texts(texts, vectors)  # type: ignore[arg-type]
        return sentiment.of_texts(opinion, texts), calls, vectors

    def _joined(self, opinion: Any, topic: Any) -> Any:
        """All three as one network, made again when another version of one is in use; None where they differ."""
        if self._join is None or topic is None or self.encoder is None:
            return None
        networks = [one.network for one in (opinion, topic, self.encoder)]
        names = [one.fingerprint for one in networks]
        with self._lock:
            if self._joint is None or self._joint[0] != names:
                self._joint = names, self._join(networks)
            return self._joint[1]


def open_model(reference: str | Path, engine: str) -> Any:
    """A tuned model on the given engine: of one's own under that name, else the shipped one; a promoted one takes over.

    Raises InputError when there is no such model.
    """
    from core.operations.following import follow

    return follow(reference, engine)


def _optional(reference: str | Path | None, engine: str) -> Any | None:
    if reference is None:
        return None
    try:
        return open_model(reference, engine)
    except InputError:
        return None
