"""Predict for a whole file: every input row comes out once, with ``prediction`` and ``probability`` added."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.data.formats import find_format
from core.data.plain import column_names
from core.data.sources import Source
from core.errors import InputError
from core.serving.predictor import Predictor

TEXT_OF = {
    "classification": ("text", "text_pair"),
    "ranking": ("query", "document"),
    "generation": ("prompt",),
}
WRITERS = (".csv", ".tsv", ".jsonl", ".parquet")


def predict_file(
    predictor: Predictor,
    path: Path,
    out: Path,
    text: str | None = None,
    pair: str | None = None,
    format: str = "auto",
) -> int:
    """Read ``path``, predict, write ``out`` whole or not at all; returns the number of rows.

    A row with a blank text keeps its place with an empty prediction. Raises InputError.
    """
    import pandas as pd

    if out.suffix not in WRITERS:
        raise InputError(
            f"{out}: cannot write {out.suffix or 'a file without an extension'}; use {', '.join(WRITERS)}."
        )
    if not out.absolute().parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist; make it first.")
    source = Source(path=path, format=format)
    chosen = _text_columns(predictor, text, pair)
    reader = find_format(source)
    names = list(dict.fromkeys([*column_names(source), *chosen]))
    frame = pd.DataFrame(reader.read(source, names).columns, columns=names)
    taken = {"prediction", "probability"} & set(names)
    if taken:
        raise InputError(f"{path} already has a column {sorted(taken)[0]!r}; rename or remove it first.")
    texts = [frame[name].map(lambda cell: "" if pd.isna(cell) else str(cell)) for name in chosen]
    filled = [i for i in range(len(frame)) if all(column[i].strip() for column in texts)]
    answers = predict_rows(predictor, *([column[i] for i in filled] for column in texts))
    frame["prediction"] = pd.Series([a for a, _ in answers], index=filled, dtype=object)
    frame["probability"] = pd.Series([p for _, p in answers], index=filled, dtype=float)
    _write(frame, out)
    return len(frame)


def predict_rows(
    predictor: Predictor, texts: Sequence[str], pairs: Sequence[str] | None = None
) -> list[tuple[Any, float | None]]:
    """(prediction, probability) of each text or pair, by the model's task."""
    task = predictor.recipe.task
    if task == "classification":
        found = predictor.predict(texts, pairs)
        return [("|".join(p.label) if isinstance(p.label, list) else p.label, p.probability) for p in found]
    if task == "ranking":
        if pairs is None:
            raise InputError("a ranking model scores pairs; give a file with query and document columns.")
        return [("relevant" if s >= 0.5 else "not relevant", float(s)) for s in predictor.score(texts, pairs)]
    if task == "generation":
        return [(reply, None) for reply in predictor.reply(texts)]
    raise InputError("a matching model gives vectors, not labels; name the answers to choose from with --candidates.")


def best_candidates(
    predictor: Predictor, texts: Sequence[str], candidates: Sequence[str], k: int = 1
) -> list[list[tuple[str, float]]]:
    """For each text the ``k`` nearest candidates with their cosine, best first. Matching only."""
    import numpy as np

    if not candidates:
        raise InputError("there are no candidates to choose from.")
    scores = predictor.encode(texts) @ predictor.encode(candidates, passages=True).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return [[(candidates[j], float(line[j])) for j in best] for line, best in zip(scores, order, strict=True)]


def _text_columns(predictor: Predictor, text: str | None, pair: str | None) -> list[str]:
    columns = predictor.recipe.data.columns
    fields = TEXT_OF.get(predictor.recipe.task)
    if fields is None:
        raise InputError("a matching model gives vectors, not labels; use --candidates with texts instead of --file.")
    given = [text or getattr(columns, fields[0])]
    if len(fields) > 1:
        second = pair or getattr(columns, fields[1])
        if second:
            given.append(second)
    return given


def _write(frame: Any, out: Path) -> None:
    import os

    partial = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        if out.suffix == ".parquet":
            frame.to_parquet(partial, index=False)
        elif out.suffix == ".jsonl":
            frame.to_json(partial, orient="records", lines=True, force_ascii=False)
        else:
            frame.to_csv(partial, index=False, sep="\t" if out.suffix == ".tsv" else ",")
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
