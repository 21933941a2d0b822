"""Decompression in pieces gives what the libraries give whole, and stops where it should."""

import gzip
import zlib
from contextlib import suppress

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from core.fetching.bodies import Body, Damaged, TooLarge, gunzip


def raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


COMPRESS = {
    "": lambda data: data,
    "identity": lambda data: data,
    "gzip": gzip.compress,
    "x-gzip": lambda data: gzip.compress(data[:3]) + gzip.compress(data[3:]) + b"\x00\x00",
    "deflate": zlib.compress,
    "Deflate ": raw_deflate,
    "br": brotli.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data[:3]) + zstandard.ZstdCompressor().compress(data[3:]),
}


@given(st.binary(max_size=3000), st.sampled_from(sorted(COMPRESS)), st.integers(1, 200))
def test_any_cut_gives_the_whole(data: bytes, encoding: str, step: int) -> None:
    packed, body = COMPRESS[encoding](data), Body(encoding, 10_000)
    for start in range(0, len(packed), step):
        body.feed(packed[start : start + step])
    assert body.close() == data


@given(st.integers(65_536 - 4, 65_536 + 4), st.integers(1, 2), st.sampled_from(sorted(COMPRESS)))
def test_output_that_fills_a_piece_exactly_is_not_cut(size: int, times: int, encoding: str) -> None:
    body = Body(encoding, 1_000_000)
    body.feed(COMPRESS[encoding](b"ab" * (size // 2) * times))
    assert len(body.close()) == size // 2 * 2 * times


@given(st.binary(max_size=400), st.sampled_from(["gzip", "deflate", "br", "zstd"]))
def test_nonsense_is_damaged_and_nothing_else(data: bytes, encoding: str) -> None:
    body = Body(encoding, 10_000)
    with suppress(Damaged, TooLarge):
        body.feed(data)
        body.close()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_the_cap_is_exact(encoding: str) -> None:
    packed = COMPRESS[encoding](b"a" * 100_000)
    for cap, fits in ((100_000, True), (99_999, False)):
        body = Body(encoding, cap)
        if fits:
            body.feed(packed)
            assert len(body.close()) == 100_000
        else:
            with pytest.raises(TooLarge):
                body.feed(packed)


def test_gunzip_is_capped() -> None:
    assert gunzip(gzip.compress(b"a" * 70_000), 70_000) == b"a" * 70_000
    with pytest.raises(TooLarge):
        gunzip(gzip.compress(b"a" * 70_001), 70_000)
    with pytest.raises(Damaged):
        gunzip(gzip.compress(b"profit" * 99)[:-9], 70_000)
