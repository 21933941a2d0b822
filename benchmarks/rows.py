"""The quality rows as data: which recipe on which data set, how often, and what is aimed at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.recipes import PLACE, shipped
from core.tuning.recipe import Recipe

FIVE = (7, 8, 9, 10, 11)
THREE = (7, 8, 9)
ONE = (7,)


@dataclass(frozen=True)
class Row:
    """One line of the quality table; each seed is one unit of work.

    ``parent`` names the row whose model is the starting point, ``against`` the row it is compared with on the
    same test rows. ``targets`` maps metrics to what is aimed at. ``also`` are further test files, ``extra``
    further measurements (``benchmarks.extras``). ``minutes`` is a rough cost, by which units are ordered.
    """

    name: str
    recipe: str
    data: Mapping[str, Any]
    minutes: float
    changes: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = ONE
    metrics: tuple[str, ...] = ("accuracy", "f1_macro")
    targets: Mapping[str, float] = field(default_factory=dict)
    best_known: str = ""
    parent: str | None = None
    against: str | None = None
    also: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    analyzer: str = "word"

    @property
    def folder(self) -> str:
        """The data set's folder, from the first training file."""
        train = self.data["train"]
        first = train[0] if isinstance(train, list | tuple) else train
        return str(first["path"]).removeprefix(f"{PLACE}/").split("/")[0]

    def build(self, datasets: Path, seed: int, parent: str | None = None) -> Recipe:
        """The recipe of one unit. Raises InputError when a file is missing."""
        changes = {**self.changes, **({"start_from": parent} if parent else {})}
        return shipped(self.recipe, f"bench-{self.name}", self.data, changes, datasets, seed)


def _at(path: str, format: str, **more: Any) -> dict[str, Any]:
    return {"path": f"{PLACE}/{path}", "format": format, **more}


_BANKING = {"train": _at("banking77/train.csv", "banking77"), "test": _at("banking77/test.csv", "banking77")}
_CLINC = {
    "train": _at("clinc150/data_full.json", "clinc150", split="train"),
    "validation": [_at("clinc150/data_full.json", "clinc150", split="val")],
    "test": [_at("clinc150/data_full.json", "clinc150", split="test")],
}
_PHRASES_50 = {"train": _at("phrasebank/Sentences_50Agree.txt", "phrasebank"), "test": 0.2}
_PHRASES_ALL = {"train": _at("phrasebank/Sentences_AllAgree.txt", "phrasebank"), "test": 0.2}
_NEWS_AND_TWEETS = [
    _at("sentfin/SEntFiN.csv", "sentfin"),
    _at("twitter_fin_sentiment/sent_train.csv", "twitter_fin_sentiment"),
]
_SENTIMENT = "finance-sentiment"

ROWS: tuple[Row, ...] = (
    Row(
        "sst2",
        _SENTIMENT,
        {
            "train": _at("sst2/train.tsv", "sst2"),
            "validation": [_at("sst2/dev.tsv", "sst2")],
            "test": [_at("sst2/test.tsv", "sst2")],
        },
        30,
        {"training.epochs": 3, "training.batch_size": 32, "training.learning_rate": 3e-4},
        targets={"accuracy": 0.915},
        best_known="91.5 MiniLM-L6; 93.2 BERT-base",
    ),
    Row(
        "banking77",
        "intents",
        _BANKING,
        10,
        targets={"accuracy": 0.945},
        best_known="94.94 SPACE-3 (BERT-base)",
    ),
    Row(
        "banking77-10-per-class",
        "intents",
        {**_BANKING, "limit_per_class": 10},
        2,
        # The validation rows come out of the ten, so few are spared and the last epoch is kept.
        {"training.epochs": 30, "training.batch_size": 16, "training.keep": "last"},
        seeds=FIVE,
        targets={"accuracy": 0.87},
        best_known="89.79 ICDA (BERT-base)",
    ),
    Row(
        "clinc150",
        "intents",
        _CLINC,
        12,
        {"training.epochs": 8},
        metrics=("accuracy", "ece", "oos_recall", "oos_auroc"),
        targets={"accuracy": 0.965, "oos_recall": 0.80, "ece": 0.02},
        best_known="97.9 SPACE-3; AUROC .969, ECE .010 SNGP (BERT-base)",
        extra=("out-of-scope",),
    ),
    Row(
        "phrasebank-50agree",
        _SENTIMENT,
        _PHRASES_50,
        5,
        seeds=FIVE,
        best_known=".86/.84 FinBERT",
        targets={"accuracy": 0.87, "f1_macro": 0.85},
    ),
    Row(
        "phrasebank-allagree",
        _SENTIMENT,
        _PHRASES_ALL,
        3,
        seeds=FIVE,
        best_known=".97 FinBERT; .982 DistilRoBERTa",
        targets={"accuracy": 0.98, "f1_macro": 0.97},
    ),
    Row(
        "phrasebank-50agree-transfer",
        _SENTIMENT,
        _PHRASES_50,
        5.5,
        seeds=FIVE,
        parent="news-and-tweets",
        targets={"accuracy": 0.87, "f1_macro": 0.85},
        best_known=".86/.84 FinBERT",
    ),
    Row(
        "phrasebank-allagree-transfer",
        _SENTIMENT,
        _PHRASES_ALL,
        3.5,
        seeds=FIVE,
        parent="news-and-tweets",
        targets={"accuracy": 0.98, "f1_macro": 0.97},
        best_known=".97 FinBERT; .982 DistilRoBERTa",
    ),
    Row(
        "sentfin-titles",
        _SENTIMENT,
        {"train": _at("sentfin/SEntFiN.csv", "sentfin"), "test": 0.2},
        8,
        {"training.epochs": 5, "training.batch_size": 32},
    ),
    Row(
        "sentfin-entities",
        _SENTIMENT,
        # The headline is the group: its entities never stand on both sides of the cut.
        {"train": _at("sentfin/SEntFiN.csv", "sentfin-entities"), "test": 0.2, "split": "grouped"},
        14,
        {"training.epochs": 6, "training.batch_size": 32},
        targets={"accuracy": 0.92},
        best_known="94.29/93.27 (BERT-base class)",
    ),
    Row(
        "twitter-fin-sentiment",
        _SENTIMENT,
        {
            "train": _at("twitter_fin_sentiment/sent_train.csv", "twitter_fin_sentiment"),
            "test": [_at("twitter_fin_sentiment/sent_valid.csv", "twitter_fin_sentiment")],
        },
        9,
        {"training.epochs": 6, "training.batch_size": 32},
        targets={"accuracy": 0.88, "f1_macro": 0.85},
        best_known=".902 weighted F1 DistilBERT (split unclear)",
    ),
    Row(
        "news-and-tweets",
        _SENTIMENT,
        {"train": _NEWS_AND_TWEETS, "test": [_at("phrasebank/Sentences_50Agree.txt", "phrasebank")]},
        13,
        {"training.epochs": 4, "training.batch_size": 32},
        metrics=("accuracy", "f1_macro", "allagree_accuracy", "allagree_f1_macro"),
        targets={"accuracy": 0.75, "allagree_accuracy": 0.85},
        also={"allagree": _at("phrasebank/Sentences_AllAgree.txt", "phrasebank")},
    ),
    Row(
        "twitter-fin-topic",
        "finance-topics",
        {
            "train": _at("twitter_fin_topic/train.csv", "twitter_fin_topic"),
            "test": [_at("twitter_fin_topic/validation.csv", "twitter_fin_topic")],
        },
        16,
        {"training.epochs": 6, "training.batch_size": 32, "training.class_weights": False},
        targets={"accuracy": 0.89},
        best_known="about .91 (hub cards)",
    ),
    Row(
        "chnsenticorp",
        _SENTIMENT,
        {
            "train": _at("chnsenticorp/train.tsv", "chnsenticorp"),
            "validation": [_at("chnsenticorp/dev.tsv", "chnsenticorp")],
            "test": [_at("chnsenticorp/test.tsv", "chnsenticorp")],
        },
        35,
        {"backbone": "e5-multilingual", "training.epochs": 3, "training.max_length": 192},
        metrics=("accuracy",),
        targets={"accuracy": 0.93},
        best_known="about .95 BERT-base Chinese",
        analyzer="char",
    ),
    Row(
        "banking77-full-tuning",
        "intents",
        _BANKING,
        11,
        {"method": "full", "training.epochs": 6, "training.learning_rate": 1.5e-4},
        metrics=("accuracy", "lora_minus_full"),
        targets={"lora_minus_full": -0.005},
        against="banking77",
    ),
    Row(
        "phrasebank-50agree-full-tuning",
        _SENTIMENT,
        _PHRASES_50,
        6,
        {"method": "full", "training.epochs": 5, "training.learning_rate": 1e-4},
        seeds=THREE,
        metrics=("accuracy", "lora_minus_full"),
        targets={"lora_minus_full": -0.005},
        against="phrasebank-50agree",
    ),
)
"""Every quality row; the parity rows train all weights and compare LoRA's model with theirs."""

LESS_IS_BETTER = {"ece", "log_loss", "brier"}


def find(name: str) -> Row:
    """The row of that name. Raises KeyError."""
    return {row.name: row for row in ROWS}[name]
