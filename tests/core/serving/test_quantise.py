"""8 bits are taken when the metric allows it, with the sensitive layers left alone, and refused with the numbers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError
from core.serving import engine_store, quantise
from core.serving.encoder import find_network, load_encoder
from core.serving.gate import Gate, Verdict, classification_gate, ranking_gate, retrieval_gate, vectors_gate
from core.serving.gate_rows import read_gate
from core.serving.opening import export_engine
from core.serving.predictor import load_predictor

TEXTS = ["rain and storm", "bank loan of the market", "goal of the team", "a very old match is on today", "bond"]


def strict(needed: float) -> Callable[[np.ndarray, np.ndarray], Verdict]:
    """A judge that wants every result within a relative distance."""

    def judge(exact: np.ndarray, found: np.ndarray) -> Verdict:
        error = float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
        return Verdict(error <= needed, {"error": error})

    return judge


def test_int8_without_rows_says_what_to_pass(tiny_bert: Path, tiny_model: Path) -> None:
    with pytest.raises(InputError, match="--engine onnx-int8 --data"):
        load_encoder(tiny_bert, engine="onnx-int8")
    with pytest.raises(InputError, match="--engine onnx-int8 --data"):
        load_predictor(tiny_model, engine="onnx-int8")


def test_a_classifier_that_keeps_its_metric(tiny_model: Path, tables: Path) -> None:
    network = find_network(tiny_model)
    folder = export_engine(network, "onnx-int8", read_gate(network, tables / "classification.csv"))
    told = engine_store.receipt(folder)
    assert told["gate"]["passed"]
    assert told["gate"]["accuracy_loss"] <= 0.004
    assert told["rows"] == 30
    assert sorted(p.name for p in folder.iterdir()) == ["engine.json", "model.onnx", "tokenizer.json"]
    exact, fast = load_predictor(tiny_model, engine="torch"), load_predictor(tiny_model, engine="onnx-int8")
    assert fast.engine == "onnx-int8"
    a, b = exact.logits(TEXTS), fast.logits(TEXTS)
    assert 0 < np.abs(a - b).max() < 0.3 * np.abs(a).max()


def test_the_most_sensitive_layers_are_left_in_float32(tiny_bert: Path) -> None:
    network = find_network(tiny_bert)
    loose = export_engine(network, "onnx-int8", Gate(TEXTS, strict(1.0)))
    told = engine_store.receipt(loose)
    assert told["float32_layers"] == []
    everything = told["gate"]["error"]
    assert everything > 0
    for path in loose.iterdir():
        path.unlink()
    tight = export_engine(network, "onnx-int8", Gate(TEXTS, strict(0.3 * everything)))
    told = engine_store.receipt(tight)
    assert told["float32_layers"]
    assert told["gate"]["error"] <= 0.3 * everything
    assert [one["passed"] for one in told["tried"]] == [False] * (len(told["tried"]) - 1) + [True]


def test_a_loss_is_refused_with_the_numbers(tiny_bert: Path) -> None:
    network = find_network(tiny_bert)
    with pytest.raises(InputError, match=r"refused: no 8-bit form .* 5 rows .*error 0\.0\d+.*use the engine onnx"):
        export_engine(network, "onnx-int8", Gate(TEXTS, strict(0.0)))
    assert engine_store.find(network, "onnx-int8") is None


def test_kinds_of_layers() -> None:
    names = [
        "/model/backbone/encoder/layer.0/output/dense/MatMul",
        "/model/backbone/encoder/layer.11/output/dense/MatMul",
    ]
    assert len({quantise.kind_of(name) for name in names}) == 1
    assert quantise.kind_of(names[0]) != quantise.kind_of(names[0].replace("output", "intermediate"))
    assert quantise.kind_of("Attention_3") == quantise.kind_of("Attention_0")


def test_the_gates() -> None:
    truth = np.arange(1000) % 4
    exact = np.eye(4)[truth]
    gate = classification_gate([""] * 1000, truth)
    for wrong, passes in ((0, True), (4, True), (5, False)):
        found = exact.copy()
        found[:wrong] = np.roll(found[:wrong], 1, axis=1)
        verdict = gate.judge(exact, found)
        assert verdict.passed is passes
        assert verdict.figures["accuracy_loss"] == pytest.approx(wrong / 1000)
    better = exact.copy()
    better[:100] = np.roll(better[:100], 1, axis=1)
    assert gate.judge(better, exact).passed  # a gain is no loss
    several = classification_gate([""] * 2, np.array([[1, 0], [1, 1]]))
    assert several.judge(np.array([[1.0, -1], [1, 1]]), np.array([[1.0, -1], [1, -1]])).figures["f1_micro_loss"] > 0
    vectors = vectors_gate([""] * 200)
    base = np.tile([1.0, 0.0], (200, 1))
    turned = base.copy()
    turned[:3] = [0.99, np.sqrt(1 - 0.99**2)]  # three of two hundred: the mean hides them, the percentile does not
    assert vectors.judge(base, base).passed
    assert not vectors.judge(base, turned).passed
    ranking = ranking_gate(["q"] * 3, ["a", "b", "c"], np.array([1.0, 0, 0]))
    good, bad = np.array([[3.0], [2], [1]]), np.array([[1.0], [2], [3]])
    assert ranking.judge(good, good).passed
    assert ranking.judge(good, bad).figures["ndcg@10_loss"] == pytest.approx(0.5)
    pairs = retrieval_gate(["q1", "q2"], ["a", "b"], "query: ", "passage: ")
    assert list(pairs.texts) == ["query: q1", "query: q2", "passage: a", "passage: b"]
    found = np.array([[1.0, 0], [0, 1], [1, 0], [0, 1]])
    assert pairs.judge(found, found).figures["mrr@10"] == 1.0
    assert pairs.judge(found, found[[1, 0, 2, 3]]).figures["mrr@10_loss"] == pytest.approx(0.5)
    assert not pairs.judge(found, np.ones((4, 2))).passed  # what cannot tell passages apart finds nothing
    with pytest.raises(InputError, match="no rows"):
        vectors_gate([])


@pytest.mark.parametrize("kind", ["multi-label", "pairs", "matching", "ranking"])
def test_rows_are_read_for_every_task(made_model: Callable[..., Path], tables: Path, kind: str) -> None:
    folder = made_model("lora" if kind == "matching" else "head", kind)
    network = find_network(folder)
    gate = read_gate(network, tables / f"{kind}-test.csv")
    exact = load_predictor(folder, engine="torch")._runner
    assert exact is not None
    reference = gate.results(exact)
    assert len(reference) == len(gate.texts) > 0
    assert gate.judge(reference, reference).passed


def test_rows_of_a_backbone_need_only_texts(tiny_bert: Path, tables: Path, tmp_path: Path) -> None:
    network = find_network(tiny_bert)
    assert len(read_gate(network, tables / "classification.csv").texts) == 30
    with_answers = read_gate(network, tables / "matching.csv", label="positive")
    assert with_answers.limits == {"largest_loss": 0.004}
    assert len(with_answers.texts) == 60
    (tmp_path / "empty.csv").write_text("text\n")
    with pytest.raises(InputError):
        read_gate(network, tmp_path / "empty.csv")
