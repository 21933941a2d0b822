"""From bytes to text: which encoding a file has, and lines that cannot exhaust the memory."""

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from core.data.table import Finding
from core.errors import InputError

LINE_LIMIT = 10_000_000  # characters; nothing labelled by a person is longer, and one line must fit in memory
_CHUNK = 1 << 20
_SAMPLE = 32_768

_BINARY_STARTS = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file",
    b"\x1f\x8b": "gzip-compressed",
    b"BZh": "bzip2-compressed",
    b"\xfd7zXZ": "xz-compressed",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
    b"%PDF": "a PDF document",
    b"PAR1": "a parquet file",
    b"SQLite format 3": "an SQLite database",
}
# Longest first: the UTF-32 mark begins with the UTF-16 one.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What labelled text is found in besides UTF-8. The whole list of single-byte code pages would make
# the guess on a few accented letters a lottery.
_CANDIDATES = ["cp1252", "cp1251", "koi8_r", "gb18030", "big5", "cp932", "cp949"]


def require_file(path: Path) -> None:
    """Refuse a missing file, a folder, something that is not a file, and 0 bytes."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; name the file inside it.")
        if not path.exists():
            raise InputError(f"{path}: there is no such file; check the path.")
        if not path.is_file():
            raise InputError(f"{path} is not a regular file; name a file of labelled text.")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes); give a file with labelled text.")
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); check the path and its rights.") from None


@contextmanager
def open_text(path: Path, encoding: str | None = None) -> Iterator[tuple[IO[str], list[Finding]]]:
    """Open a text file with its line ends untouched; yields the stream and what was assumed about its bytes.

    Raises InputError for binary files, overlong lines and bytes that do not fit the encoding, also while
    the stream is read.
    """
    require_file(path)
    name, findings = find_encoding(path, encoding)
    with path.open("rb") as file, io.TextIOWrapper(file, encoding=name, newline="") as stream:
        try:
            yield stream, findings
        except UnicodeError:
            raise InputError(
                f'{path} cannot be read as {name}; set encoding = "…" to the one it was saved in.'
            ) from None


def lines(stream: IO[str], path: Path) -> Iterator[str]:
    """Lines with their ends; one longer than LINE_LIMIT is refused before it is read to its end."""
    number = 0
    while line := stream.readline(LINE_LIMIT + 1):
        number += 1
        if len(line) > LINE_LIMIT:
            raise _overlong(path, number)
        yield line


def find_encoding(path: Path, given: str | None = None) -> tuple[str, list[Finding]]:
    """The Python codec for a file: the given one, a byte-order mark's, UTF-8, or a reported guess."""
    with path.open("rb") as file:
        head = file.read(4096)
    for start, what in _BINARY_STARTS.items():
        if head.startswith(start):
            raise InputError(f"{path} is not text: it is {what}; export it as a UTF-8 csv or jsonl file.")
    name = _codec(path, given) if given else None
    for mark, marked in _MARKS:
        if head.startswith(mark) and (name is None or name == "utf-8"):
            name = marked
            break
    if name is None and b"\0" in head:
        name = _unmarked_utf16(head)
    wide = name is not None and name.startswith(("utf-16", "utf-32"))
    broken_at = _scan(path, allow_nul=wide)
    if name is not None:
        return name, ([] if given or name == "utf-8-sig" else [_assumed(path, name)])
    if broken_at is None:
        return "utf-8", []
    name = _guess(path, broken_at)
    return name, [_assumed(path, name)]


def _codec(path: Path, name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise InputError(
            f"{path}: encoding {name!r} is not known; name one such as utf-8, utf-16, cp1252 or gb18030."
        ) from None


def _unmarked_utf16(head: bytes) -> str | None:
    # Western text in UTF-16 has a zero in every second byte and none between.
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > len(head) * 0.3 and even < len(head) * 0.01:
        return "utf-16-le"
    if even > len(head) * 0.3 and odd < len(head) * 0.01:
        return "utf-16-be"
    return None


def _scan(path: Path, allow_nul: bool) -> int | None:
    """Refuse overlong lines and NUL in one pass; return the offset at which UTF-8 breaks, if it does."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    broken: int | None = None
    line, carried, offset = 1, 0, 0
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            if not allow_nul and b"\0" in chunk:
                line += chunk[: chunk.index(b"\0")].count(b"\n")
                raise InputError(
                    f"{path}, row {line} holds a NUL byte: it is not text (or UTF-16 without its mark); "
                    'save it as UTF-8 or set encoding = "utf-16-le".'
                )
            if broken is None:
                pending = len(decoder.getstate()[0])
                try:
                    decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    broken = offset - pending + error.start
            if not chunk:
                return broken
            ends = [end for end in (chunk.find(b"\n"), chunk.find(b"\r")) if end >= 0]
            # Bytes, and up to four make a character: the exact limit is applied when lines are read.
            if carried + (min(ends) if ends else len(chunk)) > LINE_LIMIT * 4:
                raise _overlong(path, line)
            carried = len(chunk) - 1 - max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) if ends else carried + len(chunk)
            line += chunk.count(b"\n")
            offset += len(chunk)


def _guess(path: Path, broken_at: int) -> str:
    sample = bytearray()
    high: set[int] = set()
    broken_line, offset = 0, 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if offset <= broken_at:
                broken_line = number
            offset += len(raw)
            if raw.isascii():
                continue
            high.update(raw)
            if len(sample) < _SAMPLE or number == broken_line:
                sample += raw[:_SAMPLE]
    _refuse_binary(path, bytes(sample))
    as_utf8 = bytes(sample).decode("utf-8", errors="replace")
    bad = as_utf8.count("\ufffd")
    good = sum(not character.isascii() for character in as_utf8) - bad
    if good > 4 * bad:
        raise InputError(
            f"{path}, row {broken_line} holds bytes that are not UTF-8 although the rest is; "
            'mend that row or set encoding = "…" to the one the file was saved in.'
        )
    return _most_likely(bytes(sample), high)


def _most_likely(sample: bytes, high: set[int]) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=_CANDIDATES).best()
    if best is not None and best.encoding != "cp1252":
        letters = [character for character in str(best) if character.isalpha()]
        # A few high bytes among plain letters are a Western text's quotes and accents, whatever the guess.
        if sum(not letter.isascii() for letter in letters) > 0.3 * len(letters):
            return str(best.encoding)
    try:
        bytes(sorted(byte for byte in high if byte > 127)).decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"  # cp1252 leaves five bytes undefined
    return "cp1252"


def _refuse_binary(path: Path, sample: bytes) -> None:
    controls = sum(byte < 32 and byte not in b"\t\n\r\f\v\x1b" for byte in sample)
    if controls > len(sample) * 0.05:
        raise InputError(f"{path} is not text; give a csv, tsv, jsonl or parquet file.")


def _assumed(path: Path, name: str) -> Finding:
    return Finding(
        kind="encoding",
        action="repaired",
        count=1,
        examples=(str(path),),
        message=f'{path} is not UTF-8 and was read as {name}; set encoding = "…" if that is wrong.',
    )


def _overlong(path: Path, line: int) -> InputError:
    return InputError(
        f"{path}, row {line} is longer than {LINE_LIMIT:,} characters; "
        "check that the file is labelled text with one example per row."
    )
