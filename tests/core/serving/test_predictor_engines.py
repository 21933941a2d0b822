"""A tuned model on every engine: the same answers, streams, long texts, and exports that carry their engine."""

import json
import shutil
from collections.abc import Callable
from itertools import islice, repeat
from pathlib import Path

import numpy as np
import pytest

from core.cli import main
from core.errors import InputError
from core.serving.export import export
from core.serving.predictor import load_predictor

TEXTS = ["rain and storm", "bank loan of the market", "goal", "a very old match is on today"]
LONG = " ".join(["rain storm wind cloud"] * 30)


@pytest.mark.parametrize(
    ("method", "kind"),
    [("lora", "classification"), ("full", "pairs"), ("adapter", "classification"), ("lora", "ranking")],
)
def test_onnx_says_what_torch_says(made_model: Callable[..., Path], method: str, kind: str) -> None:
    folder = made_model(method, kind)
    exact, fast = load_predictor(folder, engine="torch"), load_predictor(folder, engine="onnx")
    pairs = None if kind == "classification" else TEXTS[::-1]
    np.testing.assert_allclose(fast.logits(TEXTS, pairs), exact.logits(TEXTS, pairs), rtol=0, atol=1e-5)
    if kind == "ranking":
        np.testing.assert_allclose(fast.score(TEXTS, TEXTS), exact.score(TEXTS, TEXTS), atol=1e-5)
    else:
        assert [p.label for p in fast.predict(TEXTS, pairs)] == [p.label for p in exact.predict(TEXTS, pairs)]
    assert load_predictor(folder).engine == "onnx"


def test_a_stream_has_no_end(tiny_model: Path) -> None:
    predictor = load_predictor(tiny_model)
    assert predictor.engine == "torch"
    found = list(islice(predictor.predict_stream(repeat("rain and storm"), chunk=8), 50))
    assert {p.label for p in found} == {predictor.predict(["rain and storm"])[0].label}
    assert list(predictor.predict_stream([])) == []
    mixed = [p.label for p in predictor.predict_stream(iter(TEXTS * 5), chunk=3)]
    assert mixed == [p.label for p in predictor.predict(TEXTS)] * 5


def test_a_cut_text_is_said_to_be_cut(tiny_model: Path) -> None:
    head, windows = load_predictor(tiny_model), load_predictor(tiny_model, long_texts="windows")
    short, long = head.predict(["rain", LONG])
    assert (short.truncated, long.truncated) == (False, True)
    assert long.to_dict()["truncated"] is True
    assert "truncated" not in short.to_dict()
    assert [p.truncated for p in windows.predict(["rain", LONG])] == [False, False]
    other = LONG + " bank loan price profit share" * 10
    np.testing.assert_allclose(*head.logits([LONG, other]), atol=1e-6)
    one, two = windows.logits([LONG, other])
    assert np.abs(one - two).max() > 1e-4


def test_weights_that_are_changed_are_not_served_by_the_old_export(
    made_model: Callable[..., Path], tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    folder = Path(shutil.copytree(made_model("lora"), tmp_path / "copy"))
    before = load_predictor(folder, engine="onnx").logits(TEXTS)
    file = folder / "adapter" / "weights.safetensors"
    save_file({name: value + 0.5 for name, value in load_file(file).items()}, file)
    assert load_predictor(folder).engine == "torch"
    after = load_predictor(folder, engine="onnx").logits(TEXTS)
    assert np.abs(after - before).max() > 0.01


def test_a_generation_model_has_only_torch(made_model: Callable[..., Path]) -> None:
    folder = made_model("lora", "generation")
    predictor = load_predictor(folder)
    assert predictor.engine == "torch"
    assert len(predictor.reply(["topic of rain ?"], max_new_tokens=2)) == 1
    with pytest.raises(InputError, match="choose torch"):
        load_predictor(folder, engine="onnx")
    with pytest.raises(InputError, match="generation model"):
        predictor.logits(TEXTS)


def test_an_export_carries_its_engine(
    tiny_model: Path, tables: Path, tmp_path: Path, private_var: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = load_predictor(tiny_model, engine="torch").logits(TEXTS)
    for engine, options, tolerance in (
        ("onnx", [], 1e-5),
        ("onnx-int8", ["--data", str(tables / "classification.csv")], 0.3 * np.abs(expected).max()),
    ):
        out = tmp_path / engine
        assert main(["models", "export", str(tiny_model), str(out), "--engine", engine, *options, "--json"]) == 0
        told = json.loads(capfd.readouterr().out)
        assert told["folder"] == str(out)
        assert told["engine"]["engine"] == engine
        shutil.rmtree(private_var / "cache")
        predictor = load_predictor(out)
        assert predictor.engine == engine
        np.testing.assert_allclose(predictor.logits(TEXTS), expected, rtol=0, atol=tolerance)
        np.testing.assert_allclose(load_predictor(out, engine="torch").logits(TEXTS), expected, rtol=0, atol=1e-5)


def test_int8_needs_rows(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "export", str(tiny_model), str(tmp_path / "out"), "--engine", "onnx-int8"]) == 2
    assert "needs --data" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="--data"):
        export(tiny_model, tmp_path / "out", "onnx-int8")
    assert not (tmp_path / "out").exists()
