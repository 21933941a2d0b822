"""The support benchmarks' splits: nothing that a model is judged on is in what it was tuned or fitted on."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import support_peers
from benchmarks.search_quality import clinc_intents, judge
from benchmarks.support_data import banking, clinc
from benchmarks.support_latency import Given
from benchmarks.support_tuned import FOLDS, _split, folds
from core.settings import get_settings

DATASETS = get_settings().datasets


def needs(path: str) -> Path:
    file = DATASETS / path
    if not file.is_file():
        pytest.skip(f"{path} is not in the data sets folder")
    return file


def test_bankfaqs_folds_share_neither_questions_nor_answers_with_their_training() -> None:
    file = needs("bankfaqs/BankFAQs.csv")
    asked = 0
    for number in range(FOLDS):
        pairs, queries, documents = _split("bankfaqs", file, number)
        asked += len(queries)
        trained = {question.lower() for question, _ in pairs}
        assert not trained & {question.lower() for question, _ in queries}
        first = {documents[min(right, key=lambda name: int(name))] for _, right in queries}
        assert len(first & {answer for _, answer in pairs}) <= 0.02 * len(first)
    assert folds("bankfaqs") == FOLDS and asked > 1_000


def test_no_user_query_of_stackfaq_is_trained_on() -> None:
    pairs, queries, documents = _split("stackfaq", needs("stackfaq/stackExchange-FAQ.json"), 0)
    assert not {question.lower() for question, _ in pairs} & {question.lower() for question, _ in queries}
    assert len(queries) > 1_000 and len(documents) > 700


def test_the_scope_model_is_fitted_on_no_test_row() -> None:
    test = needs("banking77/test.csv").read_text(encoding="utf-8")
    needs("clinc150/data_full.json")
    trained, held_out = banking()
    assert not [text for text in (*trained.texts[::50], *held_out.texts[::10]) if f"\n{text}," in test]
    outside = clinc(DATASETS)
    assert not set(outside.test) & {*outside.train, *outside.validation, *outside.near}


def test_given_vectors_are_handed_out_in_order_and_again() -> None:
    class Encoder:
        fingerprint = "x"

    given = Given(Encoder(), np.arange(6, dtype=np.float32).reshape(3, 2))
    assert given.fingerprint == "x"
    assert given.encode(["a"] * 4).tolist() == [[0, 1], [2, 3], [4, 5], [0, 1]]


def test_a_ranking_is_judged_by_every_right_document() -> None:
    assert judge(["a", "b", "c"], {"a"}) == [1.0, 1.0, 1.0, 1.0]
    assert judge(["x", "a", "y", "b"], ("a", "b")) == [0.0, 1.0, 0.5, (1 / 2 + 2 / 4) / 2]
    assert judge([*"uvwxyz", "a"], ("a", "missing")) == [0.0, 0.0, 1 / 7, (1 / 7) / 2]
    assert judge(["x"], {"a"}) == [0.0, 0.0, 0.0, 0.0]


def test_the_intents_of_clinc_are_looked_for_with_test_questions_only() -> None:
    found = clinc_intents(needs("clinc150/data_full.json"))
    assert len(found.documents) == 150 and len(found.queries) == 1_500
    assert {right for _, (right,) in found.queries} <= {document.id for document in found.documents}
    assert len({text for text, _ in found.queries} & set(found.texts())) <= 0.01 * len(found.queries)


def test_peers_that_are_not_installed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support_peers, "PYTHON", tmp_path / "python")
    with support_peers.answering(support_peers.PEERS, tmp_path) as (asks, missing):
        assert not asks
    assert set(missing) == {"haystack", "llamaindex"} and "make peers" in missing["haystack"]
