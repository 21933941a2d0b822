"""The real catalogue packages, each where it is installed: vectors and text as they should be."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import InputError
from core.models import sources
from core.models.catalog import CATALOG

Packaged = Callable[..., sources.LocalBackbone]
Encode = Callable[[sources.LocalBackbone, list[str]], NDArray[np.float32]]


@pytest.mark.parametrize("name", ["minilm", "mpnet"])
def test_a_sentence_encoder_puts_paraphrases_together(name: str, packaged: Packaged, encode: Encode) -> None:
    local = packaged(name)
    a, b, c = encode(local, ["My card was declined.", "The bank refused my card.", "It snows in the mountains."])
    assert a @ b > 0.6 and a @ c < 0.3
    assert sources.load_encoder(local).num_parameters() == CATALOG[name].parameters
    with pytest.raises(InputError, match="masked-language-model head"):
        sources.load_masked_lm(local)


def test_smollm2_answers_and_its_tokens_round_trip(packaged: Packaged, capfd: pytest.CaptureFixture[str]) -> None:
    import torch

    local = packaged("smollm2", fresh=False)
    tokenizer = sources.load_tokenizer(local)
    model: Any = sources.load_decoder(local).eval()
    for text in (
        "Hello  world\n\tfoo 123 4567",
        "naïve — 東京 😀",
        "  two leading spaces",
        "if x == {'a': 1}:",
    ):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    prompt: Any = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        output: Any = model.generate(**prompt, max_new_tokens=12, do_sample=False)
    reply = str(tokenizer.decode(output[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))
    assert "Paris" in reply
    assert not hasattr(model.config, "quantization_config") and model.dtype == torch.float32
    assert model.num_parameters() == CATALOG["smollm2"].parameters
    assert capfd.readouterr().err == ""
