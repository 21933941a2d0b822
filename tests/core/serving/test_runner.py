"""Any number of texts through an engine: order, windows, bounded memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from core.serving.runner import Runner
from core.serving.tokens import Tokeniser


class Counting:
    """An engine whose result is the sum and the number of a piece's token ids."""

    precision = "float32"
    batch_tokens = 64

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def run(self, tokens: np.ndarray, mask: np.ndarray, segments: np.ndarray) -> np.ndarray:
        self.shapes.append(tokens.shape)
        return np.stack([(tokens * mask).sum(1), mask.sum(1)], 1).astype(np.float32)


@pytest.fixture
def tokeniser(tiny_bert: Path) -> Tokeniser:
    return Tokeniser.of(AutoTokenizer.from_pretrained(tiny_bert), 16)


def texts(count: int) -> list[str]:
    words = ["rain", "loan", "goal", "wind", "price", "the", "very"]
    return [" ".join(words[(i + k) % 7] for k in range(1 + i % 11)) for i in range(count)]


def test_results_come_in_input_order_within_the_budget(tokeniser: Tokeniser) -> None:
    engine = Counting()
    given = texts(100)
    found = Runner(engine, tokeniser, 2, False).run(given)
    alone = [Runner(Counting(), tokeniser, 2, False).run([text]).values[0] for text in given]
    np.testing.assert_array_equal(found.values, alone)
    assert all(rows * width <= 64 or rows == 1 for rows, width in engine.shapes)
    assert Runner(engine, tokeniser, 2, False).run([]).values.shape == (0, 2)


def test_a_stream_is_read_only_a_little_ahead(tokeniser: Tokeniser) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield texts(50)[taken % 50]

    stream = Runner(Counting(), tokeniser, 2, False).stream(endless(), chunk=10)
    for number in range(1, 30):
        assert len(next(stream).values) == 10
        assert taken <= 10 * (number + 1)
    stream.close()  # type: ignore[attr-defined]


def test_an_error_in_the_source_reaches_the_caller(tokeniser: Tokeniser) -> None:
    def broken() -> Iterator[str]:
        yield from texts(25)
        raise ValueError("the file ended early")

    stream = Runner(Counting(), tokeniser, 2, False).stream(broken(), chunk=10)
    assert len(next(stream).values) == 10
    with pytest.raises(ValueError, match="ended early"):
        list(stream)


def test_windows_are_pooled_by_their_tokens(tokeniser: Tokeniser) -> None:
    long = " ".join(["rain", "loan", "goal", "wind"] * 8)
    runner = Runner(Counting(), tokeniser, 2, False, "windows")
    found = runner.run(["sun", long, "fog of old"])
    pieces = tokeniser.pieces([long], None, "windows")
    each = np.array([[sum(ids), len(ids)] for ids in pieces.ids], np.float32)
    np.testing.assert_allclose(found.values[1], np.average(each, axis=0, weights=pieces.weight), rtol=1e-6)
    plain = Runner(Counting(), tokeniser, 2, False).run(["sun", long, "fog of old"])
    np.testing.assert_array_equal(found.values[[0, 2]], plain.values[[0, 2]])
    assert not found.truncated.any()
    assert plain.truncated.tolist() == [False, True, False]
    unit = Runner(Counting(), tokeniser, 2, True, "windows").run([long]).values
    assert np.linalg.norm(unit[0]) == pytest.approx(1, abs=1e-5)
