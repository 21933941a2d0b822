"""The support benchmarks' splits: nothing that a model is judged on is in what it was tuned or fitted on."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.support import _Given
from benchmarks.support_data import banking, clinc
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

    given = _Given(Encoder(), np.arange(6, dtype=np.float32).reshape(3, 2))
    assert given.fingerprint == "x"
    assert given.encode(["a"] * 4).tolist() == [[0, 1], [2, 3], [4, 5], [0, 1]]
