"""Readers of public data sets whose files are not plain tables."""

import bisect
import json
import re
from collections.abc import Sequence
from typing import Any

from core.data.encodings import lines, open_text
from core.data.sources import Source
from core.data.table import EXAMPLES_SHOWN, Finding, Raw, counted, place
from core.errors import InputError

_CLINC_SPLITS = ("train", "val", "test", "oos_train", "oos_val", "oos_test")
_DOCUMENT_LIMIT = 512 * 1024 * 1024  # bytes; a JSON document is read whole
_JSON_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_PHRASE = re.compile(r"@(?:negative|neutral|positive)\s*$")


def read_phrasebank(source: Source, wanted: Sequence[str]) -> Raw:
    """Financial PhraseBank (Malo et al., 2014): one ``sentence@label`` per line, blank lines skipped.

    A line without ``@`` is a text whose label is missing.
    """
    text: list[str | None] = []
    label: list[str | None] = []
    rows: list[int] = []
    blank: list[int] = []
    with open_text(source.path, source.encoding) as (stream, findings):
        for number, line in enumerate(lines(stream, source.path), start=1):
            if not line.strip():
                blank.append(number)
                continue
            sentence, at, name = line.strip().rpartition("@")
            text.append(sentence if at else name)
            label.append(name if at else None)
            rows.append(number)
    if blank:
        examples = tuple(place(source.path, row, "line") for row in blank[:EXAMPLES_SHOWN])
        message = f"{source.path}: {counted(len(blank), 'blank line')} skipped."
        findings = [*findings, Finding("blank_line", "dropped", len(blank), examples, message)]
    return Raw({"text": text, "label": label}, rows, findings)


def looks_like_phrasebank(source: Source) -> bool:
    """Whether most of the first lines end in ``@negative``, ``@neutral`` or ``@positive``."""
    with open_text(source.path, source.encoding) as (stream, _):
        head = [line for line, _ in zip(lines(stream, source.path), range(20), strict=False) if line.strip()]
    return sum(bool(_PHRASE.search(line)) for line in head) > len(head) / 2


def read_clinc150(source: Source, wanted: Sequence[str]) -> Raw:
    """CLINC150 (Larson et al., 2019), ``data_full.json``; ``split`` names a part, or some joined by +."""
    names = [name.strip() for name in (source.split or "train").split("+")]
    document, text = _json_document(source)
    for name in names:
        if name not in document:
            known = ", ".join(n for n in document if n in _CLINC_SPLITS) or "none that is known"
            raise InputError(f"{source.path} has no split {name!r}; it has {known} (join several with +).")
    starts = _pair_lines(text)
    columns: dict[str, list[Any]] = {"text": [], "label": []}
    rows: list[int] = []
    for name in dict.fromkeys(names):
        pairs = document[name]
        numbers = starts.get(name, [])
        if not isinstance(pairs, list) or len(numbers) != len(pairs):
            raise InputError(f"{source.path}, split {name!r} is not a list of [text, intent] pairs.")
        for pair, row in zip(pairs, numbers, strict=True):
            if not isinstance(pair, list) or len(pair) != 2:
                raise InputError(f"{source.path}, row {row} (split {name!r}) is not a pair [text, intent].")
            columns["text"].append(pair[0])
            columns["label"].append(pair[1])
            rows.append(row)
    return Raw(columns, rows)


def _json_document(source: Source) -> tuple[dict[str, Any], str]:
    with open_text(source.path, source.encoding or "utf-8") as (stream, _):
        if source.path.stat().st_size > _DOCUMENT_LIMIT:
            raise InputError(f"{source.path} is larger than {_DOCUMENT_LIMIT >> 20} MiB; it is not CLINC150's file.")
        text = stream.read()
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f", row {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{source.path}{where} is not valid JSON; fetch data_full.json again.") from None
    if not isinstance(document, dict):
        raise InputError(f"{source.path} is not an object of splits; name CLINC150's data_full.json.")
    return document, text


def _pair_lines(text: str) -> dict[str, list[int]]:
    """For each top-level key of a JSON document, the line at which each element that is a list begins."""
    newlines = [match.start() for match in re.finditer(r"\n", text)]
    starts: dict[str, list[int]] = {}
    depth, key = 0, ""
    for match in _JSON_TOKENS.finditer(text):
        token = match.group()
        if token in "[{":
            depth += 1
            if depth == 3:
                starts[key].append(bisect.bisect_left(newlines, match.start()) + 1)
        elif token in "]}":
            depth -= 1
        elif depth == 1:
            key = json.loads(token)
            starts[key] = []
    return starts
