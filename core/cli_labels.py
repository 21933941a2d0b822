"""Commands about labels: which method they are worth, which to get next, which to doubt, what made a prediction."""

from pathlib import Path
from typing import Any

import click

from core.cli import as_json, emit
from core.errors import InputError


@click.command()
@click.argument("recipe")
@click.option("--methods", help="Comma-separated: zero-shot, tf-idf, nearest, head, few-shot, top-layers, lora, …")
@click.option("--labels-per-class", default="", help="Comma-separated numbers of labels to try besides all, e.g. 8,64.")
@click.option("--minutes", default=5.0, show_default=True, type=click.FloatRange(0.1), help="Time for all of it.")
@click.option("--max-test", default=1000, show_default=True, type=click.IntRange(20), help="Test rows at most.")
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe.")
@as_json
def compare(
    recipe: str,
    methods: str | None,
    labels_per_class: str,
    minutes: float,
    max_test: int,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Which method for the data of RECIPE: all on the same test rows, with price, advice and learning curve."""
    from core.fewlabels.compare import DEFAULT, show
    from core.fewlabels.compare import compare as run
    from core.tuning.recipe import Recipe

    chosen = [name.strip() for name in methods.split(",") if name.strip()] if methods else DEFAULT
    found = run(Recipe.load(recipe, list(overrides)), chosen, _numbers(labels_per_class), minutes, max_test)
    emit(found, as_json, show)


@click.group()
def labels() -> None:
    """Labels: which to get next, which to doubt."""


@labels.command("next")
@click.argument("model")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-k", "count", default=20, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--text", default="text", show_default=True, help="Column with the text.")
@as_json
def labels_next(model: str, file: Path, count: int, text: str, as_json: bool) -> None:
    """The unlabelled texts of FILE that MODEL would learn most from."""
    from core.fewlabels.review import questions

    found = [q.to_dict() for q in questions(model, file, text, count)]
    emit(found, as_json, lambda rows: _lines(rows, "probability", "guess"))


@labels.command("doubtful")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", default="auto", show_default=True, help="csv, tsv, jsonl, parquet, banking77, …")
@click.option("--text", default="text", show_default=True, help="Column with the text.")
@click.option("--label", default="label", show_default=True, help="Column with the label.")
@click.option("--backbone", default="minilm", show_default=True, help="What turns texts into vectors.")
@as_json
def labels_doubtful(file: Path, format: str, text: str, label: str, backbone: str, as_json: bool) -> None:
    """Rows of FILE whose label is probably wrong, worst first: a list to review."""
    from core.fewlabels.review import doubtful

    found = doubtful(file, format, text, label, backbone)
    emit(found, as_json, lambda rows: _lines(rows, "quality", "given", "suggested"))


@click.command()
@click.argument("model")
@click.argument("text")
@click.option("--label", help="Explain this label instead of the predicted one.")
@as_json
def explain(model: str, text: str, label: str | None, as_json: bool) -> None:
    """Which words of TEXT made MODEL say what it said."""
    from core.serving.predictor import load_predictor

    if not text.strip():
        raise InputError("the text is blank; there is nothing to explain.")
    emit(load_predictor(model).explain(text, label).to_dict(), as_json, _words)


def _numbers(given: str) -> list[int]:
    try:
        found = [int(part) for part in given.split(",") if part.strip()]
    except ValueError:
        raise InputError(f"--labels-per-class {given!r}: write whole numbers with commas, for example 8,64.") from None
    if any(n < 1 for n in found):
        raise InputError(f"--labels-per-class {given!r}: numbers of labels are 1 or more.")
    return found


def _lines(rows: list[dict[str, Any]], number: str, *names: str) -> str:
    return "\n".join(
        f"{row['row']:>6}  {row[number]:.2f}  {' -> '.join(str(row[n]) for n in names)}  {row['text'][:90]}"
        for row in rows
    )


def _words(found: dict[str, Any]) -> str:
    bars = (f"{word['weight']:+.2f}  {word['text']}" for word in found["words"])
    return "\n".join([f"{found['label']}  {found['probability']:.3f}", *bars])
