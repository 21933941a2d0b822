"""Networks on one backbone asked at once give what each gives alone; those with nothing in common are left apart."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.serving.encoder import load_encoder
from core.serving.joint import join
from core.serving.predictor import load_predictor

TEXTS = ["the bank loan", "a goal today, and a score!", "", "rain and storm and wind and snow in the market", "x"]
Made = Callable[..., Path]


def upper(made_model: Made, method: str = "lora", layers: int = 1, **changes: object) -> Path:
    return made_model(method, "classification", options={"layers": layers}, **changes)


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_each_output_is_what_the_network_alone_gives(made_model: Made, tiny_bert: Path, engine: str) -> None:
    first, second = load_predictor(upper(made_model)), load_predictor(upper(made_model, "top-layers", 2))
    encoder = load_encoder(str(tiny_bert))
    joint = join([first.network, second.network, encoder.network], engine)
    assert joint is not None and joint.engine == engine
    one, two, vectors = joint.run(TEXTS)
    np.testing.assert_allclose(one, first.logits(TEXTS), atol=1e-4)
    np.testing.assert_allclose(two, second.logits(TEXTS), atol=1e-4)
    np.testing.assert_allclose(vectors, encoder.encode(TEXTS), atol=1e-4)
    assert [p.label for p in first.predictions(one)] == [p.label for p in first.predict(TEXTS)]
    assert one.std() > 0.01 and not np.allclose(one, two, atol=1e-2)


def test_the_networks_alone_are_as_they_were(made_model: Made, tiny_bert: Path) -> None:
    predictor = load_predictor(upper(made_model), engine="torch")
    before = predictor.logits(TEXTS)
    joint = join([predictor.network, load_encoder(str(tiny_bert)).network], "torch")
    assert joint is not None
    joint.run(TEXTS)
    np.testing.assert_array_equal(predictor.logits(TEXTS), before)


@pytest.mark.parametrize("method", ["full", "lora", "prefix", "adapter"])
def test_a_model_that_changed_the_lowest_block_is_left_apart(
    made_model: Made, tiny_bert: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = [load_predictor(made_model(method)).network, load_encoder(str(tiny_bert)).network]
    assert join(pair, "torch") is None
    # Whatever the recipe promises, the weights decide.
    monkeypatch.setattr("core.serving.joint._may_share", lambda network: True)
    assert join(pair, "torch") is None


def test_one_that_shares_nothing_goes_along(made_model: Made, tiny_bert: Path) -> None:
    full, low = load_predictor(made_model("full")), load_predictor(upper(made_model, "lora", 2))
    high, encoder = load_predictor(upper(made_model)), load_encoder(str(tiny_bert))
    joint = join([full.network, low.network, encoder.network, high.network], "onnx")
    assert joint is not None
    found = joint.run(TEXTS)
    for values, alone in zip(found, (full, low, encoder, high), strict=True):
        expected = alone.encode(TEXTS) if alone is encoder else alone.logits(TEXTS)
        np.testing.assert_allclose(values, expected, atol=1e-4)


def test_one_network_or_another_prefix_is_left_apart(made_model: Made, tiny_bert: Path) -> None:
    from dataclasses import replace

    network = load_encoder(str(tiny_bert)).network
    assert join([network], "torch") is None
    assert join([network, replace(load_predictor(upper(made_model)).network, query_prefix="query: ")], "torch") is None


def test_an_export_is_found_again_without_reading_weights(
    made_model: Made, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = [load_predictor(upper(made_model)).network, load_encoder(str(tiny_bert)).network]
    made = join(networks, "onnx")
    monkeypatch.setattr("core.serving.joint_module.common_blocks", lambda models: pytest.fail("weights were read"))
    again = join(networks)
    assert made is not None and again is not None and again.engine == "onnx"
    np.testing.assert_array_equal(made.run(TEXTS)[1], again.run(TEXTS)[1])
