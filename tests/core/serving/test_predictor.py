"""Answers of a tuned model by folder; files of rows; models merged and handed on."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import InputError
from core.serving.export import export
from core.serving.files import best_candidates, predict_file, predict_rows
from core.serving.predictor import Predictor, load_predictor
from core.tuning import artifact, predict

TEXTS = ["rain and storm", "bank loan of the market", "goal", "a very old match is on today"]


def _logits(loaded: artifact.Loaded) -> np.ndarray:
    return predict.class_logits(loaded.model, loaded.tokenizer, loaded.base, loaded.recipe, TEXTS)


def test_single_label(made_model: Callable[..., Path]) -> None:
    predictor = load_predictor(made_model())
    found = predictor.predict(TEXTS)
    logits = predictor.logits(TEXTS) / predictor.temperature
    expected = torch.softmax(torch.from_numpy(logits), 1).numpy()
    for one, row in zip(found, expected, strict=True):
        assert one.label == predictor.labels[int(row.argmax())]
        assert one.probability == pytest.approx(row.max(), abs=1e-6)
        assert list(one.probabilities) == ["money", "sport", "weather"]
        assert sum(one.probabilities.values()) == pytest.approx(1, abs=1e-6)
        assert set(one.to_dict()) == {"label", "probability", "probabilities"}
    assert predictor.predict([]) == []
    assert [p.label for p in predictor.predict(TEXTS[::-1])] == [p.label for p in found][::-1]


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_a_predictor_nobody_needs_leaves_the_memory_at_once(made_model: Callable[..., Path], engine: str) -> None:
    predictor = load_predictor(made_model("lora"), engine=engine)
    predictor.predict(["rain"])
    seen = weakref.ref(predictor)
    gc.disable()
    try:
        del predictor
        assert seen() is None
    finally:
        gc.enable()


def test_multi_label(made_model: Callable[..., Path]) -> None:
    predictor = load_predictor(made_model("full", "multi-label"))
    for one in predictor.predict(TEXTS):
        chosen = {label for label, p in one.probabilities.items() if p >= 0.5}
        assert isinstance(one.label, list)
        assert set(one.label) == chosen
        sure = np.prod([p if p >= 0.5 else 1 - p for p in one.probabilities.values()])
        assert one.probability == pytest.approx(sure)


def test_pairs(made_model: Callable[..., Path]) -> None:
    predictor = load_predictor(made_model("full", "pairs"))
    one, other = predictor.logits([TEXTS[0]] * 2, ["snow cloud", "bank loan"])
    assert np.abs(one - other).max() > 1e-4


def test_the_other_tasks(made_model: Callable[..., Path]) -> None:
    ranking = load_predictor(made_model("lora", "ranking"))
    scores = ranking.score(["rain"] * 2, ["storm", "loan"])
    assert ((scores > 0) & (scores < 1)).all()
    matching = load_predictor(made_model("lora", "matching"))
    np.testing.assert_allclose(np.linalg.norm(matching.encode(TEXTS), axis=1), 1, atol=1e-5)
    ranked = best_candidates(matching, TEXTS, ["storm", "loan", "goal"], k=2)
    for line in ranked:
        assert len(line) == 2
        assert line[0][1] >= line[1][1]
    generation = load_predictor(made_model("lora", "generation"))
    replies = generation.reply(["topic of rain ?"], max_new_tokens=5)
    assert len(replies) == 1
    assert isinstance(replies[0], str)


def test_a_call_for_another_task_is_refused(made_model: Callable[..., Path]) -> None:
    predictor = load_predictor(made_model())
    for call in (predictor.encode, predictor.reply, lambda texts: predictor.score(texts, texts)):
        with pytest.raises(InputError, match="tuned for classification"):
            call(TEXTS)
    matching = load_predictor(made_model("lora", "matching"))
    with pytest.raises(InputError, match="--candidates"):
        predict_rows(matching, TEXTS)


@pytest.mark.parametrize("method", ["lora", "adalora", "ia3"])
def test_merged_predicts_as_unmerged(made_model: Callable[..., Path], method: str) -> None:
    folder = made_model(method)
    loaded = artifact.load(folder)
    before = _logits(loaded)
    artifact.merge(loaded.model, loaded.recipe)
    np.testing.assert_allclose(_logits(loaded), before, rtol=0, atol=1e-5)
    assert not any("lora" in name or "ia3" in name for name, _ in loaded.model.named_parameters())
    np.testing.assert_allclose(Predictor(folder).logits(TEXTS), before, rtol=0, atol=1e-5)


def test_merge_when_saved(made_model: Callable[..., Path]) -> None:
    apart = made_model("lora")
    merged = made_model("lora", options={"merge": True})
    assert (merged / "model" / "config.json").is_file()
    assert not (merged / "adapter").exists()
    np.testing.assert_allclose(
        load_predictor(merged).logits(TEXTS), load_predictor(apart).logits(TEXTS), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("method", ["full", "top-layers", "head", "bitfit", "lora", "adalora", "ia3"])
def test_an_export_loads_with_transformers_and_predicts_the_same(
    made_model: Callable[..., Path], tmp_path: Path, method: str
) -> None:
    from safetensors.torch import load_file
    from transformers import AutoModel, AutoTokenizer

    source = made_model(method)
    out = export(source, tmp_path / "out")
    expected = load_predictor(source).logits(TEXTS)
    np.testing.assert_allclose(load_predictor(out).logits(TEXTS), expected, rtol=0, atol=1e-5)
    assert [p.to_dict() for p in load_predictor(out).predict(TEXTS)] == [
        {**p.to_dict(), "probability": pytest.approx(p.probability, abs=1e-5),
         "probabilities": pytest.approx(p.probabilities, abs=1e-5)}
        for p in load_predictor(source).predict(TEXTS)
    ]  # fmt: skip
    tokenizer, backbone = (kind.from_pretrained(out / "model") for kind in (AutoTokenizer, AutoModel))
    head = load_file(out / "model" / "head.safetensors")
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    batch.pop("token_type_ids", None)
    with torch.inference_mode():
        hidden = backbone.eval()(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        logits = (hidden * mask).sum(1) / mask.sum(1) @ head["weight"].T + head["bias"]
    np.testing.assert_allclose(logits.numpy(), expected, rtol=0, atol=1e-5)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("method", ["adapter", "prompt", "prefix", "p-tuning"])
def test_what_cannot_be_merged_is_not_exported(made_model: Callable[..., Path], tmp_path: Path, method: str) -> None:
    with pytest.raises(InputError, match=f"'{method}' cannot be merged"):
        export(made_model(method), tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir() if p.name != "var"] == []


def test_merging_is_refused_before_the_training(make_recipe: Callable[..., Any], tmp_path: Path) -> None:
    from core.data.load import load
    from core.tuning.run import fit

    recipe = make_recipe("adapter", options={"merge": True})
    with pytest.raises(InputError, match="'adapter' cannot be merged"):
        fit(recipe, load(recipe.data, recipe.task, 7), tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_an_export_has_no_need_of_its_parent(made_model: Callable[..., Path], tmp_path: Path) -> None:
    first = made_model("lora")
    second = made_model("lora", start_from=str(first))
    out = export(second, tmp_path / "out")
    assert not (out / "parent").exists()
    np.testing.assert_allclose(
        load_predictor(out).logits(TEXTS), load_predictor(second).logits(TEXTS), rtol=0, atol=1e-5
    )


def test_a_file_keeps_its_rows_and_is_written_whole(
    made_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    predictor = load_predictor(made_model())
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "rain", "n": 1}\n{"n": 2}\n{"text": "loan", "more": "x"}\n')
    assert predict_file(predictor, source, out) == 3
    frame = pd.read_json(out, lines=True)
    assert list(frame.columns) == ["text", "n", "more", "prediction", "probability"]
    assert frame["prediction"].isna().tolist() == [False, True, False]
    alone = predictor.predict(["loan"])[0]
    assert frame["prediction"][2] == alone.label
    assert frame["probability"][2] == pytest.approx(alone.probability, abs=1e-5)

    def full(*args: Any, **kwargs: Any) -> None:
        Path(args[1]).write_text("half")
        raise OSError(28, "No space left on device")

    earlier = out.read_bytes()
    monkeypatch.setattr(pd.DataFrame, "to_json", full)
    with pytest.raises(OSError, match="No space"):
        predict_file(predictor, source, out)
    assert out.read_bytes() == earlier
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "var") == ["in.jsonl", "out.jsonl"]


def test_the_backbone_must_be_the_one_it_was_tuned_on(
    made_model: Callable[..., Path], tmp_path: Path, tiny_bert: Path
) -> None:
    import shutil

    from transformers import BertModel

    folder = Path(shutil.copytree(made_model("head"), tmp_path / "copy"))
    other = Path(shutil.copytree(tiny_bert, tmp_path / "other"))
    model = BertModel.from_pretrained(other)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.add_(1)
    model.save_pretrained(other)
    recipe = folder / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(str(tiny_bert), str(other)))
    with pytest.raises(InputError, match="another version of backbone"):
        load_predictor(folder)
