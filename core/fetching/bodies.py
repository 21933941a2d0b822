"""Bodies are decompressed as they arrive and counted after decompression, so that a bomb stops at the cap."""

import zlib
from collections.abc import Iterator
from typing import Any

ACCEPT_ENCODING = "gzip, deflate, br, zstd"
_PIECE = 65_536  # decompressed bytes handed on at a time
_MAX_ENCODINGS = 2
# A Zstandard block expands to at most 128 KiB from at least 4 bytes, and its library gives whole answers only:
# feeding it little at a time is what bounds them (to 4 MiB here).
_ZSTD_SLICE = 128
_ZSTD_WINDOW = 8 * 1024 * 1024  # what RFC 9659 allows on the web


class TooLarge(Exception):
    """The body passed the cap."""


class Damaged(Exception):
    """The compressed body is broken, or in an encoding that was not offered."""


class _Zlib:
    """gzip (several members too) and deflate in both its forms, with or without the zlib wrapper."""

    def __init__(self, gzip: bool) -> None:
        self._gzip = gzip
        self._start = b""  # the first two bytes of a deflate body tell its form
        self._engine: Any = zlib.decompressobj(31) if gzip else None
        self._padding = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._engine is None:
            data, self._start = self._start + data, b""
            if len(data) < 2:
                self._start = data
                return
            wrapped = data[0] & 0x0F == 8 and (data[0] * 256 + data[1]) % 31 == 0  # RFC 1950 2.2
            self._engine = zlib.decompressobj(15 if wrapped else -15)
        more = False  # output that waits inside the engine although all input is in
        while (data or more) and not self._padding:
            if self._engine.eof:  # after a gzip member: another one, or padding, which is ignored
                self._padding = not (self._gzip and data.startswith(b"\x1f"))
                self._engine = self._engine if self._padding else zlib.decompressobj(31)
                continue
            try:
                piece = self._engine.decompress(data, _PIECE)
            except zlib.error as error:
                raise Damaged(f"the compressed body is damaged ({error})") from error
            if piece:
                yield piece
            more = len(piece) == _PIECE and not self._engine.eof
            data = self._engine.unused_data if self._engine.eof else self._engine.unconsumed_tail

    def finished(self) -> bool:
        return self._engine is not None and bool(self._engine.eof)


class _Brotli:
    def __init__(self) -> None:
        import brotli

        self._engine = brotli.Decompressor()
        self._error = brotli.error

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while True:
                piece = self._engine.process(data, output_buffer_limit=_PIECE)
                data = b""
                if piece:
                    yield piece
                if self._engine.is_finished() or (not piece and self._engine.can_accept_more_data()):
                    return
        except self._error as error:
            raise Damaged(f"the compressed body is damaged ({error})") from error

    def finished(self) -> bool:
        return bool(self._engine.is_finished())


class _Zstandard:
    def __init__(self) -> None:
        import zstandard

        self._new = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj
        self._engine = self._new()
        self._error = zstandard.ZstdError

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            for start in range(0, len(data), _ZSTD_SLICE):
                rest = data[start : start + _ZSTD_SLICE]
                while rest:
                    if self._engine.eof:
                        self._engine = self._new()
                    if piece := self._engine.decompress(rest):
                        yield piece
                    rest = self._engine.unused_data if self._engine.eof else b""
        except self._error as error:
            raise Damaged(f"the compressed body is damaged ({error})") from error

    def finished(self) -> bool:
        return bool(self._engine.eof)


def _engine(name: str) -> _Zlib | _Brotli | _Zstandard:
    match name:
        case "gzip" | "x-gzip":
            return _Zlib(gzip=True)
        case "deflate":
            return _Zlib(gzip=False)
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstandard()
    raise Damaged(f"the body is encoded as {name!r}, which was not offered")


class Body:
    """Collects a body of at most ``cap`` bytes, before and after decompression."""

    def __init__(self, content_encoding: str, cap: int) -> None:
        names = [name.strip().lower() for name in content_encoding.split(",")]
        names = [name for name in names if name not in ("", "identity")]
        if len(names) > _MAX_ENCODINGS:
            raise Damaged(f"the body is encoded {len(names)} times over")
        self._engines = [_engine(name) for name in reversed(names)]  # listed in the order they were applied
        self._cap = cap
        self._received = 0
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes as received; raises TooLarge or Damaged."""
        self._received += len(data)
        if self._received > self._cap:
            raise TooLarge(f"the body is larger than {self._cap} bytes")
        self._pass(data, 0)

    def _pass(self, data: bytes, stage: int) -> None:
        if stage == len(self._engines):
            self._size += len(data)
            if self._size > self._cap:
                raise TooLarge(f"the body is larger than {self._cap} bytes once decompressed")
            self._parts.append(data)
            return
        for piece in self._engines[stage].feed(data):
            self._pass(piece, stage + 1)

    def close(self) -> bytes:
        """The whole body; raises Damaged when a compressed one ends too early."""
        if self._received and not all(engine.finished() for engine in self._engines):
            raise Damaged("the compressed body breaks off before its end")
        return b"".join(self._parts)


def gunzip(data: bytes, cap: int) -> bytes:
    """Decompress a gzip file (a sitemap.xml.gz) to at most ``cap`` bytes; raises TooLarge or Damaged."""
    body = Body("gzip", cap)
    for start in range(0, len(data), _PIECE):
        body.feed(data[start : start + _PIECE])
    return body.close()
