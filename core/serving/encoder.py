"""Texts to unit-length vectors: any backbone of the catalogue, a local folder, a hub id, or a tuned matching model."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from core.errors import InputError
from core.serving.embedding_cache import EmbeddingCache
from core.serving.engines import Precision
from core.serving.network import Network
from core.serving.opening import open_runner
from core.serving.runner import CHUNK
from core.serving.tokens import LongTexts


class Encoder:
    """A network that gives vectors; made by ``load_encoder``. Safe for several threads."""

    def __init__(
        self,
        network: Network,
        engine: str = "auto",
        long_texts: LongTexts = "head",
        precision: Precision = "auto",
        cache: EmbeddingCache | None = None,
    ) -> None:
        if network.output != "vectors":
            raise InputError(
                f"{network.name} gives labels or scores, not vectors; name a backbone or a matching model."
            )
        self.network, self.cache = network, cache
        self.engine, self._runner = open_runner(network, engine, precision, long_texts)
        self._variant = "" if self._runner.engine.precision == "float32" else f"-{self._runner.engine.precision}"
        if long_texts == "windows":
            self._variant += "-windows"

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.network.name

    @property
    def dimension(self) -> int:
        """Length d of a vector."""
        return self.network.width

    @property
    def max_length(self) -> int:
        """Most tokens of one text, special ones included; longer texts are cut or split into windows."""
        return self.network.max_length

    @property
    def fingerprint(self) -> str:
        """Changes with weights, pooling, prefixes, length limit, and where results are not those of float32."""
        return self.network.fingerprint + self._variant

    def encode(self, texts: Sequence[str], passages: bool = False, batch_tokens: int | None = None) -> np.ndarray:
        """float32 [n, d], unit length, in input order.

        ``passages`` says that the texts are what is searched, not what is asked: some models want another prefix.
        ``batch_tokens`` bounds one batch, padding included.
        """
        texts = list(texts)
        prefix = self.network.passage_prefix if passages else self.network.query_prefix
        if self.cache is None:
            return self._runner.run(texts, None, prefix, batch_tokens).values
        keys = [prefix + text for text in texts]
        known = self.cache.get(self.fingerprint, keys)
        missing = list(
            dict.fromkeys(k for k, v in zip(keys, known, strict=True) if v is None or len(v) != self.dimension)
        )
        vectors = np.empty((len(texts), self.dimension), np.float32)
        fresh: dict[str, np.ndarray] = {}
        if missing:
            made = self._runner.run(missing, None, "", batch_tokens).values
            self.cache.put(self.fingerprint, missing, made)
            fresh = dict(zip(missing, made, strict=True))
        for row, (key, vector) in enumerate(zip(keys, known, strict=True)):
            vectors[row] = fresh.get(key, vector)
        return vectors

    def encode_stream(
        self, texts: Iterable[str], passages: bool = False, batch_tokens: int | None = None, chunk: int = CHUNK
    ) -> Iterator[np.ndarray]:
        """One vector [d] per text, in order, for streams of any size: ``chunk`` texts are in memory at a time."""
        prefix = self.network.passage_prefix if passages else self.network.query_prefix
        if self.cache is None:
            for part in self._runner.stream(texts, prefix, batch_tokens, chunk):
                yield from part.values
            return
        waiting: list[str] = []
        for text in texts:
            waiting.append(text)
            if len(waiting) == chunk:
                yield from self.encode(waiting, passages, batch_tokens)
                waiting = []
        if waiting:
            yield from self.encode(waiting, passages, batch_tokens)


def load_encoder(
    reference: str | Path,
    *,
    engine: str = "auto",
    long_texts: LongTexts = "head",
    precision: Precision = "auto",
    cache: EmbeddingCache | None = None,
) -> Encoder:
    """The encoder of a catalogue backbone, a backbone's folder, a hub id, or a tuned matching model.

    Raises InputError when there is none or it gives no vectors, MissingExtra when a package has to be installed.
    """
    return Encoder(find_network(reference), engine, long_texts, precision, cache)


def find_network(reference: str | Path) -> Network:
    """The network of a backbone or of a tuned model; a catalogue name is always the backbone."""
    from core.models.catalog import CATALOG
    from core.serving.network import backbone_network
    from core.serving.predictor import Predictor, find_model

    name = str(reference)
    if name in CATALOG:
        return backbone_network(name)
    folder = Path(reference)
    tuned = (folder / "recipe.toml").is_file()
    if not tuned and ((folder / "config.json").is_file() or (folder.is_dir() and not _registered(name))):
        return backbone_network(name)
    if tuned or _registered(name):
        return Predictor.network_of(find_model(reference))
    return backbone_network(name)


def _registered(name: str) -> bool:
    from core.serving.predictor import find_model

    try:
        find_model(name)
    except InputError:
        return False
    return True
