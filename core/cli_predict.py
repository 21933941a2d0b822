"""The command ``headwater predict``."""

from pathlib import Path
from typing import Any

import click

from core import cli_text
from core.cli import as_json, emit
from core.errors import InputError


@click.command()
@click.argument("model")
@click.argument("texts", nargs=-1, metavar="[TEXT]…")
@click.option("--file", "path", type=click.Path(path_type=Path), help="Predict for every row of a file.")
@click.option("--format", default="auto", show_default=True, help="Format of --file.")
@click.option("--text", help="Column with the text (ranking: the query).")
@click.option("--pair", help="Column with the second text (ranking: the document).")
@click.option("--out", type=click.Path(path_type=Path), help="Where the rows of --file go, predictions added.")
@click.option("--candidates", type=click.Path(path_type=Path), help="Matching: a text file, one answer a line.")
@click.option("--engine", default="auto", show_default=True, help="auto, torch, onnx, onnx-int8 or openvino.")
@click.option(
    "--long-texts",
    type=click.Choice(["head", "windows"]),
    default="head",
    show_default=True,
    help="Of a text longer than the model reads: its beginning, or all of it in windows.",
)
@as_json
def predict(
    model: str,
    texts: tuple[str, ...],
    path: Path | None,
    format: str,
    text: str | None,
    pair: str | None,
    out: Path | None,
    candidates: Path | None,
    engine: str,
    long_texts: Any,
    as_json: bool,
) -> None:
    """Predict with MODEL (a folder, name or name@alias) for TEXTs or a file."""
    from core.serving.files import best_candidates, predict_file, predict_rows
    from core.serving.predictor import load_predictor

    if (path is None) == (not texts):
        raise InputError("give texts to predict for, or --file with --out.")
    if path is not None and out is None:
        raise InputError("--file needs --out: the file that gets the rows with their predictions.")
    if any(not t.strip() for t in texts):
        raise InputError("a text is blank; there is nothing to predict from.")
    predictor = load_predictor(model, engine=engine, long_texts=long_texts)
    if path is not None and out is not None:
        rows = predict_file(predictor, path, out, text, pair, format)
        emit({"rows": rows, "out": str(out)}, as_json, lambda r: f"{r['rows']} rows written to {r['out']}")
        return
    if predictor.recipe.task == "classification":
        found = [{"text": t, **p.to_dict()} for t, p in zip(texts, predictor.predict(texts), strict=True)]
    elif predictor.recipe.task == "matching" and candidates is not None:
        ranked = best_candidates(predictor, texts, _lines(candidates), k=3)
        found = [
            {"text": t, "label": r[0][0], "probability": r[0][1], "ranked": r}
            for t, r in zip(texts, ranked, strict=True)
        ]
    else:
        rows_of = predict_rows(predictor, texts)
        found = [{"text": t, "label": a, "probability": p} for t, (a, p) in zip(texts, rows_of, strict=True)]
    emit(found, as_json, cli_text.predictions)


def _lines(path: Path) -> list[str]:
    try:
        found = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error}).") from None
    return [line for line in found if line]
