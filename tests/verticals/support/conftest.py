"""A small bank: hashed words for vectors, key words for intents, and a scope model fitted to made-up ones."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.search.tokenizer import tokenize
from verticals.support.bot import Bot
from verticals.support.intents import Intents
from verticals.support.knowledge.ingest import ingest
from verticals.support.precision import Thresholds
from verticals.support.retrieval import QueryEncoder, Retrieval
from verticals.support.scope import Scope
from verticals.support.scope_fitting import Labelled, fit_scope
from verticals.support.settings import SupportSettings
from verticals.support.templates import Template, load_templates

ARTICLES = {
    "card-late": (
        "My card is late",
        "A card arrives within 5 working days. After 8 working days it counts as missing.",
    ),
    "pin": ("Change a PIN", "Open Cards and tap Change PIN. The new PIN works after the next cash withdrawal."),
    "fees": ("Fees abroad", "Cash abroad costs 2% above £250 a month. Paying by card abroad is free."),
    "rates": ("Exchange rates", "We use the market rate. On weekends exchange costs 1% more."),
    "close": ("Close an account", "Empty the account, then tap Close account under Profile. It closes within 2 days."),
}
WORDS = {
    "card_arrival": ["card", "arrived", "late", "delivery", "post"],
    "change_pin": ["pin", "change", "forgot", "code"],
    "cash_fees": ["cash", "fee", "withdrawal", "abroad"],
    "exchange_rate": ["exchange", "rate", "currency", "weekend"],
}
FOREIGN = ["weather", "football", "recipe", "movie", "music", "planet", "dinner", "joke", "guitar", "holiday"]
NEAR = [["close", "account", "profile", "empty"], ["inside", "loan", "mortgage", "account"]]
TEMPLATES = """
[card_arrival]
text = "A card arrives within 5 working days{% if country %} in {{ country }}{% endif %}."
articles = ["card-late"]
question = "Is my card late?"
[card_arrival.slots.country]
ask = "Where to?"
values = { Spain = ["spain", "madrid"] }

[change_pin]
text = "Open Cards and tap Change PIN."
articles = ["pin"]

[cash_fees]
text = "You took out £{{ amount }}: above £250 a month it costs 2%."
articles = ["fees"]
[cash_fees.slots.amount]
ask = "How much did you take out?"
required = true
pattern = "£?([0-9]+)"

[exchange_rate]
text = "We use the market rate."
articles = ["rates"]
"""


class HashEncoder:
    """Unit vectors of stemmed words, each word an axis of its own nearly always."""

    fingerprint = "hashed-words"

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str], passages: bool = False) -> np.ndarray:
        self.encoded += texts
        found = np.zeros((len(texts), 256), np.float32)
        for row, text in zip(found, texts, strict=True):
            for word in tokenize(text):
                row[int(hashlib.sha256(word.encode()).hexdigest(), 16) % 256] += 1.0
        found[:, 0] += 1e-3
        return found / np.linalg.norm(found, axis=1, keepdims=True)


class WordClassifier:
    """Logits: how many of an intent's words a text has."""

    labels = list(WORDS)
    temperature = 0.5

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        stems = [set(tokenize(" ".join(words))) for words in WORDS.values()]
        return np.array([[len(own & set(tokenize(text))) for own in stems] for text in texts], dtype=float)


def questions(words: Sequence[str], count: int, seed: int) -> list[str]:
    """Made-up questions of two or three of the words among common ones."""
    random = np.random.default_rng(seed)
    return [" ".join(["please", "tell", *random.choice(words, random.integers(2, 4))]) for _ in range(count)]


def labelled(count: int, seed: int) -> Labelled:
    pairs = [(q, intent) for n, (intent, words) in enumerate(WORDS.items()) for q in questions(words, count, seed + n)]
    return Labelled([q for q, _ in pairs], [intent for _, intent in pairs])


def write_articles(folder: Path, articles: dict[str, tuple[str, str]], groups: str = "public") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (title, text) in articles.items():
        front = f'+++\nid = "{name}"\ntitle = "{title}"\nlanguage = "en"\ngroups = ["{groups}"]\n+++\n\n'
        (folder / f"{name}.md").write_text(front + text, encoding="utf-8")
    return folder


@pytest.fixture
def encoder() -> HashEncoder:
    return HashEncoder()


@pytest.fixture(scope="session")
def small_scope(tmp_path_factory: pytest.TempPathFactory) -> Scope:
    folder = tmp_path_factory.mktemp("scope")
    encoder = QueryEncoder(HashEncoder())
    ingest([write_articles(folder / "articles", ARTICLES)], folder / "index", encoder)
    templates = small_templates(folder)
    articles = {name: one.articles for name, one in templates.items()}
    retrieval = Retrieval(folder / "index", encoder)
    near = [text for seed, words in enumerate(NEAR) for text in questions(words, 40, 300 + seed)]
    outside = [questions(FOREIGN, 120, seed) for seed in (100, 200)]
    return fit_scope(Intents(WordClassifier()), retrieval, labelled(40, 0), labelled(30, 50), *outside, near, articles)


def small_templates(folder: Path) -> dict[str, Template]:
    (folder / "templates.toml").write_text(TEMPLATES, encoding="utf-8")
    return load_templates(folder / "templates.toml")


MakeBot = Callable[..., Bot]


@pytest.fixture
def make_bot(tmp_path: Path, small_scope: Scope) -> MakeBot:
    """``make_bot(articles, **parts)``: a bot on these articles (the small bank's unless given)."""

    def make(articles: dict[str, tuple[str, str]] | None = None, **parts: Any) -> Bot:
        settings = SupportSettings(index=tmp_path / "index", encoder="hashed")
        encoder = QueryEncoder(HashEncoder())
        ingest([write_articles(tmp_path / "articles", articles or ARTICLES)], settings.index, encoder)
        made: dict[str, Any] = {
            "intents": Intents(WordClassifier()),
            "scope": small_scope,
            "templates": small_templates(tmp_path),
            "thresholds": Thresholds(scope=0.5, template=0.5, passage=0.4),
        }
        return Bot(settings, Retrieval(settings.index, encoder), **{**made, **parts})

    return make


@pytest.fixture
def bot(make_bot: MakeBot) -> Bot:
    return make_bot()
