"""What a headline is about: the tuned model's topics, and further ones that a description and examples define."""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import InputError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class TopicCall:
    """The topic of one text; ``described``: it came from a description and not from the tuned model."""

    topic: str
    probability: float
    described: bool = False


class DescribedTopic(BaseModel):
    """A topic that no model was tuned for: what it is about, and headlines that belong to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=120)
    description: str = Field(min_length=3)
    examples: tuple[str, ...] = ()
    threshold: float = Field(0.5, gt=0, lt=1, description="cosine to the nearest of its texts from which it is chosen")


def read_topics(path: Path) -> list[DescribedTopic]:
    """Topics of a TOML file of ``[[topics]]`` tables. Raises InputError naming file, table and field."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not valid TOML: {error}.") from error
    found: list[DescribedTopic] = []
    for number, row in enumerate(values.get("topics", []), 1):
        try:
            found.append(DescribedTopic.model_validate(row))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise InputError(f"{path}: topics.{number}.{field}: {first['msg']}.") from error
    names = [topic.name for topic in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"{path}: the topic {twice!r} is there twice; keep one.")
    return found


class Topics:
    """Chooses a topic for texts that have been encoded already.

    A described topic is chosen over the model's when the text's cosine to its description or to one of its examples
    reaches the topic's threshold: whoever wrote it down wants it found. Without any tuned model only these are known.
    """

    def __init__(
        self,
        predictor: Any | None,
        described: Sequence[DescribedTopic] = (),
        encode: "Callable[[list[str]], np.ndarray[Any, Any]] | None" = None,
    ) -> None:
        """``encode`` gives unit-length vectors [n, d] in the space of the texts' vectors."""
        self.predictor, self.described = predictor, tuple(described)
        if self.described and encode is None:
            raise ValueError("described topics need an encoder")
        self._vectors = [encode([t.description, *t.examples]) for t in self.described] if encode else []

    @property
    def names(self) -> list[str]:
        """Every topic that can be chosen."""
        tuned = list(self.predictor.labels) if self.predictor is not None else []
        return list(dict.fromkeys([*tuned, *(topic.name for topic in self.described)]))

    def of_texts(
        self, texts: Sequence[str], vectors: "np.ndarray[Any, Any]", predictions: "Sequence[Any] | None" = None
    ) -> list[TopicCall | None]:
        """The topic of each text; ``vectors`` [n, d] are theirs. None where nothing is known.

        ``predictions`` are the tuned model's for these texts, where they have been made already.
        """
        calls: list[TopicCall | None] = [None] * len(texts)
        if self.predictor is not None and texts:
            made = self.predictor.predict(list(texts)) if predictions is None else predictions
            calls = [TopicCall(str(p.label), float(p.probability)) for p in made]
        for topic, known in zip(self.described, self._vectors, strict=True):
            for row, cosine in enumerate((vectors @ known.T).max(axis=1)):
                before = calls[row]
                stronger = before is None or not before.described or cosine > before.probability
                if cosine >= topic.threshold and stronger:
                    calls[row] = TopicCall(topic.name, float(cosine), described=True)
        return calls
