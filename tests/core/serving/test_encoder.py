"""Vectors of backbones and tuned matching models, on every engine, with and without a cache."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from core.errors import InputError
from core.serving import engine_store
from core.serving.embedding_cache import EmbeddingCache
from core.serving.encoder import load_encoder
from core.serving.export import export
from core.settings import get_settings

LONG = " ".join(["rain storm wind cloud"] * 30)
TEXTS = ["rain and storm", "bank loan of the market", "goal", "", LONG, "goal"]


@pytest.fixture
def backbone(tiny_bert: Path, tmp_path: Path) -> Path:
    """A sentence encoder's folder with prompts for queries and passages."""
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "backbone"))
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "find : ", "passage": "text : "}})
    )
    return folder


@pytest.mark.parametrize("engine", ["torch", "onnx", "openvino"])
def test_the_vectors_are_those_of_sentence_transformers(backbone: Path, engine: str) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino", reason="pip install openvino")
    encoder = load_encoder(backbone, engine=engine)
    assert (encoder.engine, encoder.dimension, encoder.max_length) == (engine, 32, 64)
    peer = SentenceTransformer(str(backbone), device="cpu")
    peer.max_seq_length = 64
    for passages, prompt in ((False, "find : "), (True, "text : ")):
        found = encoder.encode(TEXTS, passages=passages)
        assert found.dtype == np.float32
        expected = peer.encode([prompt + text for text in TEXTS], normalize_embeddings=True, prompt="")
        np.testing.assert_allclose(found, expected, atol=2e-6)
    assert encoder.encode([]).shape == (0, 32)


def test_batches_change_nothing_and_streams_are_the_same(backbone: Path) -> None:
    encoder = load_encoder(backbone, engine="torch")
    expected = encoder.encode(TEXTS)
    np.testing.assert_allclose(encoder.encode(TEXTS, batch_tokens=1), expected, atol=1e-6)
    np.testing.assert_allclose(np.stack(list(encoder.encode_stream(iter(TEXTS), chunk=2))), expected, atol=1e-6)


def test_auto_takes_an_export_once_there_is_one(backbone: Path) -> None:
    assert load_encoder(backbone).engine == "torch"
    exact = load_encoder(backbone, engine="onnx")
    assert load_encoder(backbone).engine == "onnx"
    assert load_encoder(backbone, precision="bfloat16").engine == "torch"
    assert load_encoder(backbone, engine="torch").fingerprint == exact.fingerprint


def test_the_fingerprint_tells_what_changes_vectors(backbone: Path) -> None:
    first = load_encoder(backbone, engine="torch")
    prints = {first.fingerprint}
    prints.add(load_encoder(backbone, engine="torch", long_texts="windows").fingerprint)
    prints.add(load_encoder(backbone, engine="torch", precision="bfloat16").fingerprint)
    prompts = backbone / "config_sentence_transformers.json"
    prompts.write_text(prompts.read_text().replace("find", "seek"))
    prints.add(load_encoder(backbone, engine="torch").fingerprint)
    (backbone / "1_Pooling").mkdir()
    (backbone / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    prints.add(load_encoder(backbone, engine="torch").fingerprint)
    config = json.loads((backbone / "tokenizer_config.json").read_text())
    (backbone / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 16}))
    assert load_encoder(backbone, engine="torch").max_length == 16
    prints.add(load_encoder(backbone, engine="torch").fingerprint)
    assert len(prints) == 6
    assert load_encoder(backbone, engine="torch").fingerprint in prints


def test_bfloat16_is_close(backbone: Path) -> None:
    exact, half = (load_encoder(backbone, engine="torch", precision=p) for p in ("float32", "bfloat16"))  # type: ignore[arg-type]
    assert (exact.encode(TEXTS) * half.encode(TEXTS)).sum(1).min() > 0.99
    with pytest.raises(InputError, match="choose torch"):
        load_encoder(backbone, engine="onnx", precision="bfloat16")


def test_windows_see_the_end_of_a_long_text(backbone: Path) -> None:
    long, other = LONG, LONG + " bank loan price profit" * 10
    head, windows = (load_encoder(backbone, engine="torch", long_texts=m) for m in ("head", "windows"))  # type: ignore[arg-type]
    np.testing.assert_allclose(*head.encode([long, other]), atol=1e-6)
    one, two = windows.encode([long, other])
    assert one @ two < 0.999
    assert np.linalg.norm(two) == pytest.approx(1, abs=1e-5)


def test_a_cache_is_asked_first(backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = EmbeddingCache(tmp_path / "c.sqlite")
    plain, cached = load_encoder(backbone, engine="torch"), load_encoder(backbone, engine="torch", cache=cache)
    np.testing.assert_allclose(cached.encode(TEXTS), plain.encode(TEXTS), atol=1e-6)
    assert len(cache) == len(set(TEXTS))
    expected = plain.encode([*TEXTS, "new"])
    asked: list[str] = []
    run = cached._runner.run
    monkeypatch.setattr(cached._runner, "run", lambda texts, *rest: asked.extend(texts) or run(texts, *rest))  # type: ignore[func-returns-value]
    np.testing.assert_allclose(cached.encode([*TEXTS, "new"]), expected, atol=1e-6)
    assert asked == ["find : new"]
    np.testing.assert_allclose(cached.encode(["new"], passages=True), plain.encode(["new"], passages=True), atol=1e-6)
    assert asked == ["find : new", "text : new"]
    np.testing.assert_allclose(np.stack(list(cached.encode_stream(iter(TEXTS), chunk=4))), expected[:-1], atol=1e-6)
    assert len(asked) == 2


def test_a_tuned_matching_model(made_model: Callable[..., Path]) -> None:
    from core.serving.predictor import load_predictor

    folder = made_model("lora", "matching")
    encoder = load_encoder(folder)
    assert encoder.dimension == 32
    np.testing.assert_allclose(encoder.encode(TEXTS), load_predictor(folder).encode(TEXTS), atol=1e-6)
    fast = load_encoder(folder, engine="onnx")
    np.testing.assert_allclose(fast.encode(TEXTS), encoder.encode(TEXTS), atol=2e-6)


def test_an_exported_backbone_carries_its_engine(backbone: Path, tmp_path: Path, private_var: Path) -> None:
    expected = load_encoder(backbone, engine="torch").encode(TEXTS, passages=True)
    out = export(backbone, tmp_path / "out", "onnx")
    shutil.rmtree(private_var / "cache")
    encoder = load_encoder(out)
    assert encoder.engine == "onnx"
    assert not (get_settings().cache / "engines").exists()  # it was not made again
    np.testing.assert_allclose(encoder.encode(TEXTS, passages=True), expected, atol=2e-6)
    assert engine_store.receipt(out / "engines" / "onnx")["max_abs_difference"] < 1e-4


def test_what_gives_no_vectors_is_refused(tiny_llama: Path, tiny_model: Path) -> None:
    with pytest.raises(InputError, match="decoder"):
        load_encoder(tiny_llama)
    with pytest.raises(InputError, match="labels or scores"):
        load_encoder(tiny_model)
    with pytest.raises(InputError, match="no such folder"):
        load_encoder("./nowhere")
    for option in ({"engine": "tensorflow"}, {"long_texts": "tail"}, {"precision": "float8"}):
        with pytest.raises(InputError, match="is not known; choose"):
            load_encoder("minilm", **option)  # type: ignore[arg-type]


def test_the_default_backbone_with_the_real_weights() -> None:
    encoder = load_encoder("minilm", engine="torch")
    near, far, query = encoder.encode(["The cat sits on the mat.", "Shares fell after the report.", "A cat on a rug"])
    assert encoder.dimension == 384
    assert near @ query > far @ query + 0.3
