"""Texts to token ids for serving: whole batches by the fast tokenizer, long texts cut or split, never in silence."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.errors import InputError

LongTexts = Literal["head", "windows"]

FILE = "tokenizer.json"
_OVERLAP = 4  # windows share a quarter of their tokens with the window before


@dataclass(frozen=True)
class Pieces:
    """What the network is run on: each text once, or each window of a long text.

    ``row`` [p] says which text a piece belongs to, rising; ``weight`` [p] how many tokens of it no earlier piece
    had; ``truncated`` [n] which texts were cut.
    """

    ids: list[list[int]]
    types: list[list[int]]
    row: np.ndarray
    weight: np.ndarray
    truncated: np.ndarray


class Tokeniser:
    """A Hugging Face tokenizer's own Rust core, without the work that serving has no use for."""

    def __init__(self, core: Any, max_length: int, pad_id: int, segments: bool = True) -> None:
        """``core`` is a ``tokenizers.Tokenizer``; it is copied. ``max_length`` counts special tokens.

        ``segments``: the model was trained to see which of two texts a token belongs to.
        """
        self.max_length, self.pad_id, self.segments = max_length, pad_id, segments
        direction = (core.truncation or {}).get("direction", "right")
        self._whole = copy.deepcopy(core)
        self._whole.no_padding()
        self._whole.no_truncation()
        self._head, self._windows = copy.deepcopy(self._whole), copy.deepcopy(self._whole)
        self._windows_of_second = copy.deepcopy(self._whole)
        self._head.enable_truncation(max_length, strategy="longest_first", direction=direction)
        # Special tokens come on top of the text's own; a window must have room for more than them and the overlap.
        stride = max(0, (max_length - self._whole.num_special_tokens_to_add(True)) // _OVERLAP)
        self._stride = stride
        self._windows.enable_truncation(max_length, stride=stride, strategy="only_first")
        self._windows_of_second.enable_truncation(max_length, stride=stride, strategy="only_second")

    @classmethod
    def of(cls, tokenizer: Any, max_length: int) -> "Tokeniser":
        """From a transformers tokenizer. Raises InputError for one that is written in Python."""
        core = getattr(tokenizer, "backend_tokenizer", None)
        if core is None:
            raise InputError(f"{type(tokenizer).__name__} is a slow tokenizer; save the model with a tokenizer.json.")
        core = copy.deepcopy(core)
        core.enable_truncation(max_length, direction=tokenizer.truncation_side)
        segments = "token_type_ids" in tokenizer.model_input_names
        return cls(core, max_length, int(tokenizer.pad_token_id or 0), segments)

    @classmethod
    def load(cls, folder: Path, told: dict[str, Any]) -> "Tokeniser":
        """Read what ``save`` wrote; ``told`` is what it returned."""
        from tokenizers import Tokenizer

        core = Tokenizer.from_file(str(folder / FILE))
        return cls(core, int(told["max_length"]), int(told["pad_id"]), bool(told["segments"]))

    def save(self, folder: Path) -> dict[str, Any]:
        """Write ``tokenizer.json``; returns what else is needed to load it."""
        self._head.save(str(folder / FILE))
        return {"max_length": self.max_length, "pad_id": self.pad_id, "segments": self.segments}

    def pieces(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, long_texts: LongTexts = "head"
    ) -> Pieces:
        """Token ids of all texts (or pairs); those over ``max_length`` are cut, or split into windows."""
        items: list[Any] = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
        ids: list[list[int]] = []
        types: list[list[int]] = []
        row: list[int] = []
        weight: list[int] = []
        truncated = np.zeros(len(items), dtype=bool)
        for number, encoding in enumerate(_encode(self._whole, items)):
            parts, new = [encoding], [len(encoding)]
            if len(encoding) > self.max_length:
                parts, truncated[number] = self._shorten(items[number], long_texts)
                new = [len(part) - (self._stride if later else 0) for later, part in enumerate(parts)]
            for part, fresh in zip(parts, new, strict=True):
                ids.append(part.ids)
                types.append(part.type_ids if self.segments else [0] * len(part))
                row.append(number)
                weight.append(max(1, fresh))
        return Pieces(ids, types, np.array(row, dtype=np.intp), np.array(weight, dtype=np.float32), truncated)

    def _shorten(self, item: Any, long_texts: LongTexts) -> tuple[list[Any], bool]:
        if long_texts == "windows":
            pair = isinstance(item, tuple)
            fits = not pair or len(_encode(self._whole, [item[0]])[0]) + self._stride < self.max_length
            if fits:  # else the first text of a pair leaves no room for windows over the second
                first = _encode(self._windows_of_second if pair else self._windows, [item])[0]
                return [first, *first.overflowing], False
        return _encode(self._head, [item]), True


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[np.ndarray]:
    """Piece numbers grouped by length, longest first; a batch holds at most ``batch_tokens``, padding included.

    A batch also ends where the next piece would be padded by more than a fifth, once the batch is large enough
    to keep the processor busy.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        width = lengths[order[start]]
        end = start + 1
        while end < len(order) and width * (end - start + 1) <= batch_tokens:
            if lengths[order[end]] < 0.8 * width and width * (end - start) >= min(512, batch_tokens // 2):
                break
            end += 1
        yield order[start:end]
        start = end


def pad(ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]], pad_id: int) -> tuple[np.ndarray, ...]:
    """Token ids, mask and segment numbers, each int64 [b, t], padded on the right to the longest."""
    shape = (len(ids), max(len(one) for one in ids))
    tokens, mask, segments = (
        np.full(shape, pad_id, dtype=np.int64),
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
    )
    for line, one in enumerate(ids):
        tokens[line, : len(one)] = one
        mask[line, : len(one)] = 1
        segments[line, : len(one)] = types[line]
    return tokens, mask, segments


def _encode(core: Any, items: list[Any]) -> list[Any]:
    try:
        return list(core.encode_batch_fast(items))
    except (UnicodeEncodeError, TypeError):  # a lone surrogate, as broken JSON brings it, has no UTF-8 form
        return list(core.encode_batch_fast([_mended(item) for item in items]))


def _mended(item: Any) -> Any:
    if isinstance(item, tuple):
        return tuple(_mended(text) for text in item)
    if not isinstance(item, str):
        raise InputError(f"{item!r} is not text; give strings.")
    return item.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
