"""Language models that may rephrase: SmolLM2 on this machine, or an OpenAI-compatible endpoint."""

from typing import Any

from core.errors import InputError
from verticals.support.rewrite import Generator
from verticals.support.settings import SupportSettings

TOKENS = 160


def open_generator(settings: SupportSettings) -> Generator | None:
    """What ``settings.rewriter`` names; None when it is empty. Raises InputError for anything else than is known."""
    name = settings.rewriter.strip()
    if not name:
        return None
    if name.startswith(("http://", "https://")):
        return Endpoint(name, settings.rewriter_model, settings.rewriter_key, settings.rewriter_seconds)
    if name == "smollm2":
        return Local(name)
    raise InputError(f"rewriter {name!r} is not known; leave it empty, write smollm2, or an endpoint's address.")


class Endpoint:
    """Any server that speaks the OpenAI chat protocol: vLLM, Ollama, llama.cpp."""

    def __init__(self, address: str, model: str, key: str, seconds: float, transport: Any = None) -> None:
        """``address`` ends before ``/chat/completions``; ``transport`` takes the network's place in a test."""
        import httpx

        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.model = model or "default"
        self._client = httpx.Client(
            base_url=address.rstrip("/") + "/", headers=headers, timeout=seconds, transport=transport, trust_env=False
        )

    def __call__(self, system: str, prompt: str) -> str:
        """The first choice's text. Raises OSError for none in time, ValueError for another shape."""
        import httpx

        messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
        body = {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": TOKENS}
        try:
            answer = self._client.post("chat/completions", json=body)
            answer.raise_for_status()
            return str(answer.json()["choices"][0]["message"]["content"] or "")
        except httpx.HTTPError as error:
            raise OSError(str(error)) from error
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"the answer has another shape: {error}") from error


class Local:
    """A small model of the catalogue, greedy, on this machine's processor."""

    def __init__(self, name: str) -> None:
        from core.models.sources import load_decoder, load_tokenizer, resolve

        self._model: Any = load_decoder(resolve(name))
        self._tokenizer: Any = load_tokenizer(resolve(name))
        self._model.eval()

    def __call__(self, system: str, prompt: str) -> str:
        """Its reply, special tokens left out."""
        import torch

        messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        given = self._tokenizer(text, return_tensors="pt", truncation=True, max_length=1500)
        with torch.inference_mode():
            made = self._model.generate(**given, max_new_tokens=TOKENS, do_sample=False)
        return str(self._tokenizer.decode(made[0, given["input_ids"].shape[1] :], skip_special_tokens=True))
