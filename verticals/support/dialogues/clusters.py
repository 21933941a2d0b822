"""Groups of questions that mean the same, each named by its most central question."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from core.search.encoding import Encoder
from verticals.support.dialogues.small_talk import is_chinese

_SLUG_WORDS = 3


class ClusterConfig(BaseModel):
    """How near questions of a group are. ``lexical`` is the share that common words have beside the vectors.

    ``house_names`` say nothing about what is asked: every customer writes them.
    """

    model_config = ConfigDict(extra="forbid")

    distance: float = Field(default=0.79, gt=0.0, lt=2.0)
    lexical: float = Field(default=0.25, ge=0.0, le=1.0)
    smallest: int = Field(default=3, ge=2)
    largest: int = Field(default=5_000, ge=10)
    house_names: tuple[str, ...] = ("Tarnwell",)


@dataclass(frozen=True)
class Cluster:
    """Rows of the questions, most central first; ``cohesion`` is their mean likeness to the centre, in [-1, 1]."""

    rows: tuple[int, ...]
    name: str
    slug: str
    cohesion: float


def cluster(
    questions: Sequence[str], encoder: Encoder, config: ClusterConfig | None = None, background: Sequence[str] = ()
) -> list[Cluster]:
    """Largest group first. Languages are kept apart: one encoder seldom reads all of them equally well.

    Agglomerative clustering with average linkage on cosine distances. The mean of ``background`` (questions of all
    kinds) is taken off the vectors first: it holds what all messages to the house have in common (Mu and Viswanath,
    2018, "All-but-the-Top"). Only the last ``largest`` questions are looked at: distances grow with the square.
    """
    config = config or ClusterConfig()
    first = max(0, len(questions) - config.largest)
    found: list[Cluster] = []
    for chinese in (False, True):
        rows = [row for row in range(first, len(questions)) if is_chinese(questions[row]) == chinese]
        if len(rows) >= config.smallest:
            beside = [text for text in background[-config.largest :] if is_chinese(text) == chinese]
            found += _of_one_language([questions[row] for row in rows], rows, encoder, config, beside, chinese)
    return sorted(found, key=lambda one: (-len(one.rows), -one.cohesion))


def _of_one_language(
    texts: list[str], rows: list[int], encoder: Encoder, config: ClusterConfig, background: list[str], chinese: bool
) -> list[Cluster]:
    from sklearn.cluster import AgglomerativeClustering

    plain = [_without(text, config.house_names) for text in texts]
    vectors = np.asarray(encoder.encode(plain), dtype=np.float64)
    if len(background) >= 20:
        vectors = vectors - np.asarray(encoder.encode([_without(t, config.house_names) for t in background])).mean(0)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    words = _word_likeness(plain, chinese)
    # A word-piece encoder for English sees Chinese as a string of rare signs; the signs themselves tell more.
    share = max(config.lexical, 0.7) if chinese else config.lexical
    likeness = (1 - share) * (vectors @ vectors.T) + share * words
    distances = np.clip(1 - likeness, 0.0, 2.0)
    np.fill_diagonal(distances, 0.0)
    labels = AgglomerativeClustering(
        n_clusters=None, distance_threshold=config.distance, metric="precomputed", linkage="average"
    ).fit_predict(distances)
    found = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len({plain[member].casefold() for member in members}) < config.smallest:
            continue
        centrality = likeness[np.ix_(members, members)].mean(axis=1)
        order = members[np.argsort(-centrality, kind="stable")]
        name = texts[order[0]]
        slug = _slug([plain[member] for member in order], plain)
        found.append(Cluster(tuple(rows[member] for member in order), name, slug, float(centrality.mean())))
    return found


def _word_likeness(texts: list[str], chinese: bool) -> np.ndarray:
    from sklearn.feature_extraction.text import TfidfVectorizer

    options = (
        {"analyzer": "char", "ngram_range": (1, 2)}
        if chinese
        else {"stop_words": "english", "max_df": 0.2 if len(texts) > 20 else 1.0}
    )
    try:
        weights = TfidfVectorizer(sublinear_tf=True, **options).fit_transform(texts)
    except ValueError:  # nothing but stop words
        return np.zeros((len(texts), len(texts)))
    return np.asarray((weights @ weights.T).toarray())


def _slug(members: list[str], everything: list[str]) -> str:
    """The words that set a group apart, joined as the name of an intent; class-based TF-IDF (Grootendorst, 2022)."""
    from sklearn.feature_extraction.text import CountVectorizer

    try:
        counter = CountVectorizer(stop_words="english", binary=True, token_pattern=r"(?u)\b[^\W\d_]{3,}\b")
        inside = np.asarray(counter.fit_transform(members).sum(axis=0)).ravel()
    except ValueError:
        return ""
    words = counter.get_feature_names_out()
    overall = np.asarray(counter.transform(everything).sum(axis=0)).ravel()
    weight = inside / len(members) * np.log(1 + len(everything) / np.maximum(overall, 1))
    best = [words[place] for place in np.argsort(-weight, kind="stable")[:_SLUG_WORDS] if inside[place] > 1]
    return "_".join(best or [words[int(np.argmax(weight))]])


def _without(text: str, names: tuple[str, ...]) -> str:
    for name in names:
        text = re.sub(rf"\b{re.escape(name)}(?:'s)?\b", "your", text, flags=re.IGNORECASE)
    return text
