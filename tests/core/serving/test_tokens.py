"""Token ids as transformers gives them; long texts cut or split, and batches that waste little."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from core.errors import InputError
from core.serving.tokens import Tokeniser, batches, pad

LONG = " ".join(["rain storm wind cloud"] * 10)


@pytest.fixture(scope="module")
def tokenizer(tiny_bert: Path) -> object:
    return AutoTokenizer.from_pretrained(tiny_bert)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(max_size=80), min_size=1, max_size=8), max_length=st.integers(4, 20))
def test_the_ids_are_those_of_transformers(tokenizer: object, texts: list[str], max_length: int) -> None:
    found = Tokeniser.of(tokenizer, max_length).pieces(texts)
    expected = tokenizer(texts, truncation=True, max_length=max_length)  # type: ignore[operator]
    assert found.ids == expected["input_ids"]
    whole = tokenizer(texts)["input_ids"]  # type: ignore[operator]
    assert found.truncated.tolist() == [len(ids) > max_length for ids in whole]
    assert found.row.tolist() == list(range(len(texts)))


def test_pairs_carry_their_segments_where_the_model_was_trained_with_them(tiny_bert: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    pair = (["rain", LONG], ["loan of the bank", LONG])
    expected = tokenizer(*pair, truncation=True, max_length=16, return_token_type_ids=True)
    without = Tokeniser.of(tokenizer, 16).pieces(*pair)  # this tokenizer gives none of its own accord
    assert without.ids == expected["input_ids"]
    assert {segment for one in without.types for segment in one} == {0}
    assert without.truncated.tolist() == [False, True]
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    found = Tokeniser.of(tokenizer, 16).pieces(*pair)
    assert found.types == expected["token_type_ids"]
    assert {segment for one in found.types for segment in one} == {0, 1}


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 120), max_length=st.integers(8, 40))
def test_windows_cover_every_token_once(tokenizer: object, count: int, max_length: int) -> None:
    text = " ".join(["rain", "loan", "goal", "wind", "price"][i % 5] for i in range(count))
    tokeniser = Tokeniser.of(tokenizer, max_length)
    found = tokeniser.pieces([text, "sun"], None, "windows")
    assert not found.truncated.any()
    assert all(len(ids) <= max_length for ids in found.ids)
    own = [ids[1:-1] for ids, row in zip(found.ids, found.row, strict=True) if row == 0]
    weights = found.weight[found.row == 0]
    joined = list(own[0])
    for part, weight in zip(own[1:], weights[1:], strict=True):
        fresh = max(1, int(weight) - 2)
        assert joined[-(len(part) - fresh) :] == part[:-fresh] or len(part) == fresh  # the overlap
        joined += part[-fresh:]
    assert joined == tokenizer(text)["input_ids"][1:-1]  # type: ignore[operator]


def test_a_pair_is_windowed_over_its_second_text(tokenizer: object) -> None:
    tokeniser = Tokeniser.of(tokenizer, 20)
    found = tokeniser.pieces(["rain goal"], [LONG], "windows")
    assert len(found.ids) > 2
    start = found.ids[0][:4]  # [CLS] rain goal [SEP]
    assert all(ids[:4] == start and len(ids) <= 20 for ids in found.ids)
    assert not found.truncated[0]
    no_room = tokeniser.pieces([LONG], [LONG], "windows")
    assert no_room.truncated.tolist() == [True]
    assert len(no_room.ids) == 1


def test_what_comes_back_from_disk_is_the_same(tokenizer: object, tmp_path: Path) -> None:
    tokeniser = Tokeniser.of(tokenizer, 12)
    again = Tokeniser.load(tmp_path, tokeniser.save(tmp_path))
    for mode in ("head", "windows"):
        assert again.pieces([LONG, "sun"], None, mode).ids == tokeniser.pieces([LONG, "sun"], None, mode).ids  # type: ignore[arg-type]


def test_text_that_is_no_text(tokenizer: object) -> None:
    tokeniser = Tokeniser.of(tokenizer, 12)
    assert len(tokeniser.pieces(["\ud800 rain", "a\0b"]).ids) == 2
    with pytest.raises(InputError, match="is not text"):
        tokeniser.pieces(["rain", None])  # type: ignore[list-item]


@given(lengths=st.lists(st.integers(1, 300), max_size=80), batch_tokens=st.integers(1, 4000))
def test_batches_hold_each_piece_once_within_the_budget(lengths: list[int], batch_tokens: int) -> None:
    found = [list(rows) for rows in batches(lengths, batch_tokens)]
    assert sorted(i for rows in found for i in rows) == list(range(len(lengths)))
    for rows in found:
        assert len(rows) == 1 or len(rows) * max(lengths[i] for i in rows) <= batch_tokens


def test_sorted_batches_waste_little() -> None:
    lengths = np.random.default_rng(0).integers(5, 120, size=2000).tolist()
    padded = sum(len(rows) * max(lengths[i] for i in rows) for rows in batches(lengths, 2048))
    assert padded < 1.05 * sum(lengths)


def test_padding() -> None:
    tokens, mask, segments = pad([[5, 6, 7], [8]], [[0, 1, 1], [0]], 9)
    assert tokens.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert segments.tolist() == [[0, 1, 1], [0, 0, 0]]
