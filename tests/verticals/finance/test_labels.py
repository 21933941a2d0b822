"""Labels put together from models that are stand-ins here: languages, companies, clauses, topics, versions."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.errors import InputError
from verticals.finance.desk import Desk
from verticals.finance.entities import AliasTable, Company
from verticals.finance.highlights import explain
from verticals.finance.labels import Labeller, Plain, clause_at, headline_of, sentence_at
from verticals.finance.languages import language_of
from verticals.finance.served import score
from verticals.finance.topics import DescribedTopic, Topics, read_topics

BAD, GOOD = {"falls", "loss", "fire"}, {"rises", "profit"}


class Reader:
    """Says negative or positive by single words; of a pair, only when the name comes first in the text."""

    network = SimpleNamespace(fingerprint="reader")
    labels = ("negative", "neutral", "positive")

    def __init__(self) -> None:
        self.read: list[str] = []

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Any]:
        self.read += texts
        found = []
        for number, text in enumerate(texts):
            words = set(text.lower().replace(",", " ").split())
            low, high = 0.1 + 0.8 * bool(words & BAD), 0.1 + 0.8 * bool(words & GOOD)
            if pairs is not None and not text.startswith(pairs[number]):
                low = high = 0.1
            total = low + high + 0.2
            chances = {"negative": low / total, "neutral": 0.2 / total, "positive": high / total}
            found.append(
                SimpleNamespace(label=max(chances, key=chances.__getitem__), probability=1.0, probabilities=chances)
            )
        return found


class Sorter(Reader):
    """One topic for everything."""

    network = SimpleNamespace(fingerprint="sorter")
    labels = ("Macro",)

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Any]:
        return [SimpleNamespace(label="Macro", probability=0.7) for _ in texts]


def encode(texts: Sequence[str]) -> np.ndarray:
    """Two axes: whether a text speaks of the sea or not."""
    return np.array([[1.0, 0.0] if "ship" in text.lower() else [0.0, 1.0] for text in texts], np.float32)


def desk(entities: bool = False, described: Sequence[DescribedTopic] = ()) -> Desk:
    topics = Topics(Sorter(), described, encode)
    return Desk(Reader(), topics, SimpleNamespace(encode=encode), Reader() if entities else None)


TABLE = AliasTable([Company("A", "Abelard", ()), Company("B", "Bellweather", ())], frozenset())


def labeller(**more: Any) -> Labeller:
    return Labeller({"en": desk(**more), "*": None}, TABLE)


def test_one_label_for_each_article_in_order() -> None:
    labels = labeller().label([Plain("Abelard falls"), Plain("利润上涨"), Plain("Abelard profit rises")])
    assert [label.sentiment for label in labels] == ["negative", "unlabelled", "positive"]
    assert [label.state for label in labels] == ["labelled", "language", "labelled"]
    assert [label.topic for label in labels] == ["Macro", None, "Macro"]
    assert labels[0].vector is not None
    assert labels[1].vector is None
    assert labels[1].score == 0.0
    assert labels[0].score < 0 < labels[2].score
    assert labels[0].to_dict()["companies"][0]["code"] == "A"


def test_without_a_model_for_pairs_the_clause_decides_between_companies() -> None:
    (label,) = labeller().label([Plain("Abelard falls while Bellweather profit rises")])
    assert {tag.code: tag.sentiment for tag in label.companies} == {"A": "negative", "B": "positive"}
    (alone,) = labeller().label([Plain("Nothing new", "A fire at Abelard.")])
    assert alone.companies[0].sentiment == alone.sentiment == "negative"


def test_with_a_model_for_pairs_the_sentence_is_read_toward_the_name() -> None:
    (label,) = labeller(entities=True).label([Plain("Abelard falls", text="Bellweather profit rises. More later.")])
    assert {tag.code: tag.sentiment for tag in label.companies} == {"A": "negative", "B": "positive"}


def test_described_topics_come_before_the_models() -> None:
    ship = DescribedTopic(name="Shipping", description="Ships and ports", threshold=0.6)
    labels = labeller(described=[ship]).label([Plain("Container ship runs aground"), Plain("Rates rise")])
    assert [label.topic for label in labels] == ["Shipping", "Macro"]


def test_the_version_follows_models_and_companies() -> None:
    other = Labeller({"en": desk(), "*": None}, AliasTable([Company("A", "Abelard", ())], frozenset()))
    assert labeller().version == labeller().version != other.version
    assert labeller(entities=True).version != labeller().version


def test_sentences_and_clauses() -> None:
    text = "Abelard falls. Bellweather rises, but Cantor waits; all is well"
    assert sentence_at(text, 20) == "Bellweather rises, but Cantor waits; all is well"
    assert [clause_at(text, at) for at in (3, 18, 40, 55)] == [
        "Abelard falls.",
        "Bellweather rises",
        "Cantor waits",
        "all is well",
    ]


def test_the_summary_is_read_unless_it_repeats_the_title() -> None:
    assert headline_of(Plain("Abelard falls.", "It lost 3%.")) == "Abelard falls. It lost 3%."
    assert headline_of(Plain("Abelard falls", "Abelard falls by 3%")) == "Abelard falls by 3%"


@pytest.mark.parametrize(
    ("text", "told", "expected"),
    [
        ("Abelard falls", None, "en"),
        ("梅罗代尔银行暴跌", "en", "zh"),
        ("日本銀行は金利を据え置いた", None, "ja"),
        ("한국은행 금리 동결", None, "ko"),
        ("Gewinn steigt", "de-AT", "de"),
        ("Die Zentralbank senkt überraschend den Leitzins und die Börse jubelt laut", None, "de"),
        ("", None, "en"),
    ],
)
def test_languages(text: str, told: str | None, expected: str) -> None:
    assert language_of(text, told) == expected


def test_score_gives_plain_values() -> None:
    (row,) = score(["Abelard falls"], labeller())
    assert row["text"] == "Abelard falls"
    assert row["sentiment"] == "negative"


def test_highlights_are_the_words_that_decide() -> None:
    text = "Abelard falls after fire"
    parts = {part.word: part for part in explain("Abelard falls today", Reader())}
    assert parts["falls"].weight > 0.3
    assert parts["Abelard"].weight == parts["today"].weight == 0
    assert all(text[p.start : p.end] == p.word for p in explain(text, Reader()))
    assert explain("…", Reader()) == []


def test_topics_files(tmp_path: Path) -> None:
    file = tmp_path / "topics.toml"
    file.write_text('[[topics]]\nname = "Ships"\ndescription = "Ships and ports"\nexamples = ["Ship sinks"]\n')
    assert read_topics(file)[0].examples == ("Ship sinks",)
    file.write_text('[[topics]]\nname = "Ships"\n')
    with pytest.raises(InputError, match=r"topics\.1\.description"):
        read_topics(file)
    file.write_text('[[topics]]\nname = "S"\ndescription = "abc"\n' * 2)
    with pytest.raises(InputError, match="twice"):
        read_topics(file)
