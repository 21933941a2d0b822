"""Compressed tar archives as streams: Zstandard or gzip, by the name's ending."""

import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import InputError

ENDINGS = (".tar.zst", ".tar.gz")


def ending_of(file: Path) -> str:
    """Which kind of archive a name asks for. Raises InputError for one that is unknown."""
    for ending in ENDINGS:
        if file.name.endswith(ending):
            return ending
    raise InputError(f"{file}: name an archive that ends in {' or '.join(ENDINGS)}.")


@contextmanager
def writing(file: Path, kind: str) -> Iterator[tarfile.TarFile]:
    """A new archive that only its owner may read."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # it holds people's conversations
    with os.fdopen(handle, "wb") as raw:
        if kind == ".tar.gz":
            with tarfile.open(fileobj=raw, mode="w|gz", format=tarfile.PAX_FORMAT) as archive:
                yield archive
            return
        import zstandard

        compressor = zstandard.ZstdCompressor(level=6, write_checksum=True)
        with (
            compressor.stream_writer(raw, closefd=False) as out,
            tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive,
        ):
            yield archive


@contextmanager
def reading(file: Path, kind: str) -> Iterator[tarfile.TarFile]:
    """An archive to be read once, from its beginning to its end."""
    with file.open("rb") as raw:
        if kind == ".tar.gz":
            with tarfile.open(fileobj=raw, mode="r|gz") as archive:
                yield archive
            return
        import zstandard

        with (
            zstandard.ZstdDecompressor().stream_reader(raw, closefd=False) as source,
            tarfile.open(fileobj=source, mode="r|") as archive,
        ):
            yield archive


@contextmanager
def told_apart(file: Path) -> Iterator[None]:
    """Raise InputError for whatever a damaged archive makes its readers raise; other failures go their way."""
    import zlib

    import zstandard

    try:
        yield
    except (tarfile.TarError, EOFError, ValueError, KeyError, OSError, zlib.error, zstandard.ZstdError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # no room, no right to write: not the archive's fault
        raise InputError(f"{file} is damaged or was not made by headwater backup ({error}).") from None
