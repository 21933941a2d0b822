"""Questions, true answers, and what the support bot finds for them, for the generation study; BankFAQs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import store
from core.errors import InputError

SEED = 7
WAYS = ("closed book", "with passage")


@dataclass(frozen=True)
class Row:
    """A question with its true answer, the passage found first for it, and what the bot quotes of that.

    ``right``: the passage is of the true answer; ``seconds``: finding and quoting took so long.
    """

    question: str
    answer: str
    passage: str
    quote: str
    right: bool
    seconds: float

    def against(self, way: str) -> str:
        """What a reply is held against: the passage that was shown, or the true answer where none was."""
        return self.answer if way == WAYS[0] else self.passage


def questions(file: Path, asked: int, fits: Callable[[str], bool], work: Path, encoder: Any) -> tuple[list[Row], ...]:
    """Questions to tune on, in the order in which they are to be taken, and ``asked`` questions to ask.

    Neither shares a question or an answer with the other, and ``fits`` is true of every answer. The index of all
    answers is kept in ``work``. Raises InputError when the file is missing or too small.
    """
    from benchmarks.search_quality import bankfaqs

    if not file.is_file():
        raise InputError(f"{file.name} is missing; fetch the data set or set HEADWATER_DATASETS.")
    (collection,) = bankfaqs(file)
    answers = {document.id: document.texts[0] for document in collection.documents}
    # With several right answers what is written could be right and look wrong.
    usable = [(query, own[0]) for query, own in collection.queries if len(own) == 1 and fits(answers[own[0]])]
    order = [usable[place] for place in np.random.default_rng(SEED).permutation(len(usable))]
    taken = {part.casefold() for query, name in order[:asked] for part in (query, answers[name])}
    rest = [(q, a) for q, a in order[asked:] if q.casefold() not in taken and answers[a].casefold() not in taken]
    if not rest:
        raise InputError(f"{file.name}: {len(usable)} questions have an answer that fits; ask for fewer test rows.")
    find = _finder(collection, answers, file, work, encoder)
    return [find(*pair) for pair in rest], [find(*pair) for pair in order[:asked]]


def _finder(
    collection: Any, answers: dict[str, str], file: Path, work: Path, encoder: Any
) -> Callable[[str, str], Row]:
    from verticals.support.answers import extract
    from verticals.support.retrieval import QueryEncoder, Retrieval

    encoder = QueryEncoder(encoder)
    root = work / f"index-{store.key_of(store.digest_files([file]), encoder.fingerprint)}"
    if not (root / "current").is_file():
        _knowledge(collection, encoder).save(root, {}, keep=1)
    retrieval = Retrieval(root, encoder)

    def find(question: str, name: str) -> Row:
        started = time.perf_counter()
        (best,) = retrieval.search(question, ("public",), 1)
        quote = extract(encoder.encode([question])[0], best, retrieval.knowledge).citation.quote
        seconds = time.perf_counter() - started
        return Row(question, answers[name], best.text, quote, best.document.id == name, seconds)

    return find


def _knowledge(collection: Any, encoder: Any) -> Any:
    """The bot's knowledge base of all answers, without the questions that a held-out one would be among."""
    from verticals.support.knowledge.documents import PUBLIC, KnowledgeDocument, Writer
    from verticals.support.knowledge.store import Knowledge

    documents = []
    for one in collection.documents:
        writer = Writer()
        for line in one.texts[0].splitlines():
            writer.block(line)
        text = writer.done()
        documents.append(KnowledgeDocument(one.id, "", text.text, text.sections, "en", PUBLIC, collection.name, ""))
    return Knowledge.build(documents, encoder)


def prompt_of(way: str, row: Row) -> str:
    """What a language model is given: the question, or what the bot's rewriter would send it with the passage."""
    from verticals.support.rewrite import Rewriter

    if way == WAYS[0]:
        return row.question
    sent: list[str] = []

    def take(system: str, prompt: str) -> str:
        sent.append(f"{system}\n\n{prompt}")
        return ""

    Rewriter(take).rewrite(row.question, row.passage)
    return sent[0]
