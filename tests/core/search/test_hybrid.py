"""Words and meaning together."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.search.hybrid import Document, Fusion, HybridIndex
from core.search.rerank import Reranker
from core.search.versions import Versions

DOCUMENTS = [
    Document("refunds", ("refund policy", "we send the sum back in five days"), {"groups": ["public"], "year": 2024}),
    Document("login", ("reset a forgotten password",), {"groups": ["agents"], "year": 2025}),
    Document("code", ("error AB-1234 of the printer",), {"groups": ["public", "agents"], "year": 2023}),
]


def ids(hits: Sequence[Any]) -> list[str]:
    return [hit.id for hit in hits]


def test_found_by_meaning_and_by_words(encoder: Any) -> None:
    index = HybridIndex.build(DOCUMENTS, encoder)
    reimbursement = index.search("reimbursement", k=1)[0]
    assert reimbursement.id == "refunds" and reimbursement.lexical == 0.0 and reimbursement.semantic > 0.9
    code = index.search("AB-1234", k=1)[0]
    assert code.id == "code" and code.lexical > 0.3


def test_the_score_is_made_of_its_parts(encoder: Any) -> None:
    index = HybridIndex.build(DOCUMENTS, encoder, Fusion("weighted", 0.25))
    hits = index.search("refund policy password")
    assert len(hits) == 3
    for hit in hits:
        assert hit.score == pytest.approx(0.25 * hit.semantic + 0.75 * hit.lexical)
        assert 0 <= hit.score <= 1
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    assert set(hits[0].to_dict()) == {"id", "score", "lexical", "semantic", "text", "rerank"}


def test_a_document_counts_once_by_its_best_text(encoder: Any) -> None:
    index = HybridIndex.build(DOCUMENTS, encoder)
    hits = index.search("sum back in days")
    assert ids(hits).count("refunds") == 1
    assert hits[0].id == "refunds" and hits[0].text == 1


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"groups": ["public"]}, {"refunds", "code"}),
        ({"year": {"min": 2024}}, {"refunds", "login"}),
        ({"groups": ["nobody"]}, set()),
    ],
)
def test_conditions_hold_for_words_and_meaning(encoder: Any, where: dict[str, Any], expected: set[str]) -> None:
    index = HybridIndex.build(DOCUMENTS, encoder)
    assert set(ids(index.search("refund password AB-1234", where=where))) == expected


def test_weights_are_fitted_to_the_part_that_earns_them(encoder: Any) -> None:
    decoys = [Document(f"d{i}", (f"reimbursement note {i}",)) for i in range(5)]
    index = HybridIndex.build([*DOCUMENTS, *decoys], encoder)
    words = index.fit_weight([("refund policy", ["refunds"]), ("AB-1234 reimbursement", ["code"])])
    meaning = index.fit_weight([("login reset", ["login"]), ("money", ["refunds"])])
    assert words.fusion.weight < meaning.fusion.weight
    assert words.search("AB-1234 reimbursement", k=1)[0].id == "code"
    with pytest.raises(InputError, match="no queries"):
        index.fit_weight([])


def test_reranked_first_and_the_rest_behind(encoder: Any) -> None:
    index = HybridIndex.build(DOCUMENTS, encoder)

    def by_length(query: str, texts: Sequence[str]) -> np.ndarray:
        return np.array([len(text) for text in texts], dtype=float)

    plain = index.search("refund password AB-1234")
    hits = index.search("refund password AB-1234", reranker=Reranker(by_length, budget_ms=0, batch=2))
    assert set(ids(hits[:2])) == set(ids(plain[:2])) and ids(hits[2:]) == ids(plain[2:])
    assert hits[0].rerank is not None and hits[1].rerank is not None and hits[0].rerank >= hits[1].rerank
    assert hits[2].rerank is None


def test_saved_opened_updated(encoder: Any, tmp_path: Path) -> None:
    root = tmp_path / "index"
    index = HybridIndex.build(DOCUMENTS, encoder)
    assert index.save(root, {"why": "first"}) == 1
    opened = HybridIndex.open(root, encoder)
    for query in ("refund", "AB-1234", "password reset"):
        assert opened.search(query) == index.search(query)
    encoder.encoded.clear()
    new = Document("parcel", ("where is my parcel",))
    changed = opened.updated([new], removed=["login"])
    assert encoder.encoded == ["where is my parcel"]  # the others' vectors are taken over
    assert changed.save(root) == 2
    assert set(ids(HybridIndex.open(root, encoder).search("parcel password"))) == {"parcel", "refunds", "code"}
    assert set(ids(HybridIndex.open(root, encoder, 1).search("password", k=3))) == {"login", "refunds", "code"}
    assert Versions(root).manifest(1)["notes"] == {"documents": 3, "why": "first"}
    Versions(root).rollback()
    assert HybridIndex.open(root, encoder).search("password", k=1)[0].id == "login"


def test_a_damaged_version_is_not_served(encoder: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    HybridIndex.build(DOCUMENTS, encoder).save(tmp_path)
    HybridIndex.build(DOCUMENTS[:1], encoder).save(tmp_path)
    file = Versions(tmp_path).folder(2) / "vectors.npy"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(bytes(content))
    with caplog.at_level(logging.WARNING):
        assert len(HybridIndex.open(tmp_path, encoder)) == 3
    assert "vectors.npy has changed" in caplog.text


def test_another_encoder_is_refused(encoder: Any, tmp_path: Path) -> None:
    HybridIndex.build(DOCUMENTS, encoder).save(tmp_path)
    encoder.fingerprint = "words-2"
    with pytest.raises(InputError, match="another encoder"):
        HybridIndex.open(tmp_path, encoder)


def test_nothing_in_it_and_nothing_asked(encoder: Any, tmp_path: Path) -> None:
    empty = HybridIndex.build([], encoder)
    empty.save(tmp_path)
    assert HybridIndex.open(tmp_path, encoder).search("refund") == []
    assert HybridIndex.build(DOCUMENTS, encoder).search("  ") == []


def test_mistakes_are_one_sentence(encoder: Any) -> None:
    with pytest.raises(InputError, match="'code' is there twice"):
        HybridIndex.build([*DOCUMENTS, DOCUMENTS[2]], encoder)
    with pytest.raises(InputError, match="'blank' has no text"):
        HybridIndex.build([Document("blank", (" ",))], encoder)
    with pytest.raises(InputError, match="k is 0"):
        HybridIndex.build(DOCUMENTS, encoder).search("refund", k=0)


WORDS = st.sampled_from(["refund", "money", "password", "AB-12", "订单", "printer", "the"])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(WORDS, min_size=1, max_size=4), min_size=1, max_size=6), st.lists(WORDS, max_size=4))
def test_any_collection_and_query(encoder: Any, texts: list[list[str]], query: list[str]) -> None:
    index = HybridIndex.build([Document(str(i), (" ".join(text),)) for i, text in enumerate(texts)], encoder)
    for how in (Fusion("weighted", 0.5), Fusion("ranks", 0.5)):
        hits = index.search(" ".join(query), k=4, how=how)
        assert len(hits) == (min(4, len(texts)) if query else 0)
        assert len(set(ids(hits))) == len(hits)
        assert all(0 <= hit.score <= 1 + 1e-9 and 0 <= hit.semantic <= 1 for hit in hits)
