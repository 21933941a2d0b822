from pathlib import Path

import pytest

from core.errors import InputError
from tests.verticals.support.conftest import FOREIGN, HashEncoder, MakeBot, labelled, questions
from verticals.support import opening
from verticals.support.evaluation import evaluate_faq, evaluate_intents, evaluate_shipped, read_queries
from verticals.support.retrieval import QueryEncoder
from verticals.support.scope import Scope
from verticals.support.settings import SupportSettings

FAQ = """id,question,answer
lost,What if my card is lost?,Freeze it in the app and order another one.
pin,How do I change my PIN?,Open Cards and tap Change PIN.
fees,What does cash abroad cost?,It costs 2% above £250 a month.
"""
QUERIES = """question,id
I lost my card what now,lost
change the PIN please,pin
what does cash cost abroad,fees
guitar music and football weather,
"""


@pytest.fixture
def own(tmp_path: Path, small_scope: Scope, monkeypatch: pytest.MonkeyPatch) -> SupportSettings:
    small_scope.save(tmp_path / "scope")
    monkeypatch.setattr(opening, "open_encoder", lambda settings: QueryEncoder(HashEncoder()))
    return SupportSettings(scope=tmp_path / "scope", index=tmp_path / "unused")


def write(folder: Path, faq: str = FAQ, queries: str = QUERIES) -> tuple[Path, Path]:
    (folder / "faq.csv").write_text(faq, encoding="utf-8")
    (folder / "queries.csv").write_text(queries, encoding="utf-8")
    return folder / "faq.csv", folder / "queries.csv"


def test_a_companys_own_faq_is_measured(own: SupportSettings, tmp_path: Path) -> None:
    result = evaluate_faq(*write(tmp_path), own)
    assert {"answered", "precision", "coverage", "retrieval", "intents", "latency_ms"} <= set(result)
    assert result["questions"] == 4 and result["unanswerable"]["questions"] == 1
    assert result["retrieval"]["mrr@10"]["value"] == 1.0 == result["retrieval"]["recall@5"]["value"]
    assert result["precision"] in (None, 1.0)
    assert result["latency_ms"]["p50"] <= result["latency_ms"]["p95"]
    assert not own.index.exists()


def test_unanswered_questions_do_not_count_as_wrong(own: SupportSettings, tmp_path: Path) -> None:
    result = evaluate_faq(*write(tmp_path), own)
    assert result["unanswerable"]["answered"] == 0
    assert result["coverage"] == result["answered"] / 3


@pytest.mark.parametrize(
    ("queries", "reason"),
    [
        ("question,id\nhow,unknown\n", "unknown"),
        ("question,id\n,lost\n", "line 2"),
        ("text,id\nhow,lost\n", "columns"),
        ("question,id\n", "columns"),
        ("question,id\nhow,\n", "no question has an id"),
    ],
)
def test_wrong_queries_are_refused(own: SupportSettings, tmp_path: Path, queries: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        evaluate_faq(*write(tmp_path, queries=queries), own)


def test_a_wrong_faq_is_refused(own: SupportSettings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row 1 has no answer"):
        evaluate_faq(*write(tmp_path, faq="question,answer\nHow?,\n"), own)
    with pytest.raises(InputError, match="cannot be read"):
        read_queries(tmp_path / "nothing.csv")


def test_questions_with_intents_are_measured(make_bot: MakeBot) -> None:
    rows = labelled(6, 900)
    result = evaluate_intents(make_bot(), rows.texts, rows.intents, questions(FOREIGN, 12, 901))
    intents = result["intents"]
    assert intents["questions"] == 24 and intents["out_of_scope"]["questions"] == 12
    assert intents["accuracy"]["value"] > 0.8
    assert intents["out_of_scope"]["handoff"]["value"] > 0.8
    assert intents["in_scope_acceptance"]["value"] >= intents["right_answer"]["value"]
    assert sum(intents["kinds"].values()) == 24
    assert set(result["retrieval"]) == {"mrr@10", "recall@5"}


def test_without_the_data_sets_it_says_what_to_do(make_bot: MakeBot, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="HEADWATER_DATASETS"):
        evaluate_shipped(make_bot(), tmp_path)
