"""Loading: the right class for the task, never a random head, nothing on the terminal."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from core.models import sources


def test_an_encoder_and_its_tokenizer_load_without_a_word(bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import torch
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    local = sources.resolve(str(bert))
    tokenizer = sources.load_tokenizer(local)
    model: Any = sources.load_encoder(local)
    batch = tokenizer(["the bill is late", "paid " * 99], padding=True, truncation=True, return_tensors="pt")
    assert batch["input_ids"].shape == (2, 40)
    with torch.no_grad():
        assert model(**batch).last_hidden_state.shape == (2, 40, 16)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    out, err = capfd.readouterr()
    assert out == "" and err == ""


def test_a_masked_lm_head_is_loaded_when_it_is_there(masked_bert: Path) -> None:
    local = sources.resolve(str(masked_bert))
    key = "cls.predictions.transform.dense.weight"
    first, second = (sources.load_masked_lm(local).state_dict()[key] for _ in range(2))
    assert first.equal(second)
    assert sources.load_encoder(local).config.hidden_size == 16  # the body of the same folder


def test_a_masked_lm_head_is_never_made_up(bert: Path) -> None:
    with pytest.raises(InputError, match="lack the masked-language-model head .*random"):
        sources.load_masked_lm(sources.resolve(str(bert)))


def test_missing_layers_are_never_made_up(bert: Path) -> None:
    from safetensors.numpy import load_file, save_file

    state = {k: v for k, v in load_file(bert / "model.safetensors").items() if "layer.1." not in k}
    save_file(state, bert / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lack part of the encoder \(16 tensors"):
        sources.load_encoder(sources.resolve(str(bert)))


def test_shapes_that_contradict_the_config_are_refused(bert: Path) -> None:
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    with pytest.raises(InputError, match=str(bert)):
        sources.load_encoder(sources.resolve(str(bert)))


def test_a_decoder_generates_and_an_encoder_does_not(llama: Path, bert: Path) -> None:
    local = sources.resolve(str(llama))
    assert (local.backbone.kind, local.backbone.pooling) == ("decoder", "last")
    assert sources.load_tokenizer(local).pad_token == "[SEP]"
    model: Any = sources.load_decoder(local)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    with pytest.raises(InputError, match="is a decoder: only the generation task"):
        sources.load_encoder(local)
    with pytest.raises(InputError, match="is a decoder: it has no masked-language-model head"):
        sources.load_masked_lm(local)
    with pytest.raises(InputError, match="is an encoder: it cannot generate text"):
        sources.load_decoder(sources.resolve(str(bert)))


def test_a_half_precision_checkpoint_loads_in_float32_unless_asked(bert: Path) -> None:
    import torch

    local = sources.resolve(str(bert))
    sources.load_encoder(local).half().save_pretrained(bert)
    local = sources.resolve(str(bert))
    assert sources.load_encoder(local).dtype == torch.float32
    assert sources.load_encoder(local, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_a_folder_without_a_tokenizer_says_so(bert: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bert / name).unlink()
    with pytest.raises(InputError, match="has no tokenizer"):
        sources.load_tokenizer(sources.resolve(str(bert)))
