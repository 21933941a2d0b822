"""Everything that models say about an article: sentiment, topic, companies, sentiment toward each, and a vector."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from core.errors import InputError, MissingExtra
from verticals.finance import sentiment
from verticals.finance.desk import MODELS, Desk
from verticals.finance.entities import AliasTable, Mention, common_words, read_companies
from verticals.finance.languages import language_of
from verticals.finance.settings import FinanceSettings, finance_settings
from verticals.finance.topics import DescribedTopic, read_topics

if TYPE_CHECKING:
    import numpy as np

UNLABELLED = "unlabelled"
NO_OPINION = {"negative": 0.0, "neutral": 1.0, "positive": 0.0}
SUMMARY_SHOWN = 300  # characters of the summary that the models read after the title
_SENTENCE = re.compile(r"[^.!?\n\u3002\uff01\uff1f]+[.!?\u3002\uff01\uff1f]*")

_CLAUSE = re.compile(
    r"[;:]\s|,?\s(?:but|while|whereas|although|though|as|after|despite|unlike)\s|[\uff0c\uff1b]", re.IGNORECASE
)


class Text(Protocol):
    """What is read of an article."""

    @property
    def title(self) -> str:
        """The headline."""
        ...

    @property
    def summary(self) -> str:
        """The first sentences; may be empty."""
        ...

    @property
    def text(self) -> str:
        """The body; may be empty."""
        ...

    @property
    def language(self) -> str | None:
        """As the source says."""
        ...


@dataclass(frozen=True)
class Plain:
    """A headline alone, or with more."""

    title: str
    summary: str = ""
    text: str = ""
    language: str | None = None


@dataclass(frozen=True)
class CompanyTag:
    """A company that is named, and the sentiment toward it; [start, end) is its first mention in ``document``."""

    code: str
    name: str
    sentiment: str
    probabilities: dict[str, float]
    start: int
    end: int

    @property
    def score(self) -> float:
        """P(positive) - P(negative) toward it."""
        return sentiment.score_of(self.probabilities)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "code": self.code,
            "name": self.name,
            "sentiment": self.sentiment,
            "probabilities": dict(self.probabilities),
            "score": self.score,
            "start": self.start,
            "end": self.end,
        }


@dataclass(frozen=True)
class Label:
    """What is said about one article.

    ``state`` is ``language`` when no model for its language is installed: then ``sentiment`` is ``unlabelled``, no
    probability means anything and there is no topic; companies are found all the same.
    """

    sentiment: str
    probabilities: dict[str, float]
    topic: str | None = None
    topic_probability: float | None = None
    companies: tuple[CompanyTag, ...] = ()
    vector: "np.ndarray[Any, Any] | None" = field(default=None, repr=False, compare=False)  # float32 [d], unit length
    language: str = "en"
    state: Literal["labelled", "language"] = "labelled"

    @property
    def score(self) -> float:
        """P(positive) - P(negative)."""
        return sentiment.score_of(self.probabilities)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the vector."""
        return {
            "sentiment": self.sentiment,
            "probabilities": dict(self.probabilities),
            "score": self.score,
            "topic": self.topic,
            "topic_probability": self.topic_probability,
            "companies": [tag.to_dict() for tag in self.companies],
            "language": self.language,
            "state": self.state,
        }


def headline_of(article: Text) -> str:
    """What the models read: the title, and the beginning of the summary unless it repeats the title."""
    summary = article.summary[:SUMMARY_SHOWN].strip()
    if not summary or summary.casefold().startswith(article.title.casefold()):
        return summary or article.title
    return f"{article.title.rstrip('. ')}. {summary}"


def document_of(article: Text) -> str:
    """Title, summary and text in three paragraphs, in which companies are looked for."""
    return "\n".join((article.title, article.summary, article.text)).rstrip("\n")


class Labeller:
    """Labels batches of articles; made by ``open``. Safe for several threads."""

    def __init__(
        self, desks: dict[str, Desk | None], companies: AliasTable, further: "Sequence[DescribedTopic]" = ()
    ) -> None:
        """``desks``: by language, ``*`` for all that are not named; None where nothing is installed."""
        self.desks, self.companies, self._further = desks, companies, tuple(further)

    @classmethod
    def open(cls, settings: FinanceSettings | None = None, engine: str = "auto") -> "Labeller":
        """With the shipped models, or those registered under their names, and the settings' companies and topics.

        ``engine``: auto takes an ONNX export that is there and else PyTorch; onnx makes the export first, which takes
        a while and pays for archives.

        Raises InputError when there is no English sentiment model or the company table is bad.
        """
        settings = settings or finance_settings()
        file = settings.companies_file.with_name("topics.toml")
        further = read_topics(file) if file.is_file() else []
        companies = AliasTable(read_companies(settings.companies_file), common_words())
        desks: dict[str, Desk | None] = {"en": Desk.open(MODELS["en"], further, engine)}
        try:
            desks["*"] = Desk.open(MODELS["*"], (), engine)
        except (InputError, MissingExtra):
            desks["*"] = None
        return cls(desks, companies, further)

    @property
    def version(self) -> str:
        """Changes whenever another answer could be given."""
        parts = [f"{name}:{one}" for name, desk in sorted(self.desks.items()) if desk for one in desk.fingerprints]
        parts += [repr(self.companies.companies), repr(self._further)]
        return "labels-" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def label(self, articles: Sequence[Text]) -> list[Label]:
        """One label for each article, in input order."""
        spoken = [language_of(article.title, article.language) for article in articles]
        found: list[Label | None] = [None] * len(articles)
        by_desk: dict[str, list[int]] = {}
        for row, language in enumerate(spoken):
            by_desk.setdefault(language if language in self.desks else "*", []).append(row)
        for name, rows in by_desk.items():
            made = self._of_desk(self.desks.get(name), [articles[i] for i in rows], [spoken[i] for i in rows])
            for row, label in zip(rows, made, strict=True):
                found[row] = label
        return [label for label in found if label is not None]

    def _of_desk(self, desk: Desk | None, articles: Sequence[Text], spoken: Sequence[str]) -> list[Label]:
        documents = [document_of(article) for article in articles]
        mentions = [self.companies.find(document) for document in documents]
        if desk is None:
            return [
                Label(
                    UNLABELLED, dict(NO_OPINION), None, None, _plain_tags(found, NO_OPINION), None, language, "language"
                )
                for found, language in zip(mentions, spoken, strict=True)
            ]
        texts = [headline_of(article) for article in articles]
        opinions, calls, vectors = desk.read(texts)
        tags = _tags(desk, documents, mentions, opinions)
        return [
            Label(
                sentiment.best(opinion),
                opinion,
                call.topic if call else None,
                call.probability if call else None,
                tags[row],
                vectors[row] if vectors is not None else None,
                language,
            )
            for row, (opinion, call, language) in enumerate(zip(opinions, calls, spoken, strict=True))
        ]


def _tags(
    desk: Desk,
    documents: Sequence[str],
    mentions: Sequence[Sequence[Mention]],
    opinions: Sequence[dict[str, float]],
) -> list[tuple[CompanyTag, ...]]:
    """Sentiment toward each company.

    With a model for pairs: of the sentence that names it first, toward the name. Without one: of the clause around
    the first mention, where several companies are named; where there is only one, the article's own sentiment.
    """
    flat = [(row, mention) for row, found in enumerate(mentions) for mention in found]
    if desk.entities is not None:
        sentences = [sentence_at(documents[row], mention.start) for row, mention in flat]
        judged = sentiment.toward(desk.entities, sentences, [mention.alias for _, mention in flat])
    else:
        shared = [place for place, (row, _) in enumerate(flat) if len(mentions[row]) > 1]
        clauses = [clause_at(documents[flat[place][0]], flat[place][1].start) for place in shared]
        judged = [opinions[row] for row, _ in flat]
        for place, opinion in zip(shared, sentiment.of_texts(desk.sentiment, clauses) if clauses else (), strict=True):
            judged[place] = opinion
    tags: list[list[CompanyTag]] = [[] for _ in documents]
    for (row, mention), opinion in zip(flat, judged, strict=True):
        tags[row].append(_tag(mention, opinion))
    return [tuple(found) for found in tags]


def _plain_tags(found: Sequence[Mention], opinion: dict[str, float]) -> tuple[CompanyTag, ...]:
    return tuple(_tag(mention, opinion) for mention in found)


def _tag(mention: Mention, opinion: dict[str, float]) -> CompanyTag:
    best = UNLABELLED if opinion is NO_OPINION else sentiment.best(opinion)
    return CompanyTag(mention.code, mention.name, best, dict(opinion), mention.start, mention.end)


def sentence_at(document: str, position: int) -> str:
    """The sentence that holds a position."""
    for match in _SENTENCE.finditer(document):
        if match.start() <= position < match.end():
            return match.group().strip()
    return document[:SUMMARY_SHOWN]


def clause_at(document: str, position: int) -> str:
    """The clause that holds a position: a sentence ends at '; ', ', while ', ', but ' and the like."""
    for sentence in _SENTENCE.finditer(document):
        if sentence.start() <= position < sentence.end():
            begin = sentence.start()
            for cut in (*_CLAUSE.finditer(document, sentence.start(), sentence.end()), None):
                end = cut.start() if cut else sentence.end()
                if position < end:
                    return document[begin:end].strip()
                begin = cut.end() if cut else end
    return document[:SUMMARY_SHOWN]
