"""Files of any size through a model. Imported when the command is called."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from core.cli import as_json, emit


@click.group()
def bulk() -> None:
    """Label, embed or score files of any size: in shards, resumable, on this machine or a Ray cluster.

    IN is a parquet, csv, tsv or jsonl file. OUT with such an ending is one file; without, a folder of shards. Each row
    comes out once and in order; a row without a result says why in its column 'error'. A run that was stopped or
    killed goes on when the same command is given again.
    """


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.argument("path", metavar="IN", type=click.Path(path_type=Path)),
        click.argument("out", metavar="OUT", type=click.Path(path_type=Path)),
        click.option("--model", required=True, help="A folder, name, name@alias or backbone."),
        click.option("--engine", "spread", type=click.Choice(["local", "ray"]), default="local", show_default=True,
                     help="This machine, or Ray: the cluster at RAY_ADDRESS, otherwise one of its own."),
        click.option("--workers", default=1, show_default=True, type=click.IntRange(1),
                     help="Processes that each hold the model."),
        click.option("--shard-rows", default=10_000, show_default=True, type=click.IntRange(1, 10_000_000),
                     help="Rows a shard: what is computed again after a kill, and what a worker holds."),
        click.option("--format", "format", type=click.Choice(["parquet", "csv", "tsv", "jsonl"]), default="parquet",
                     show_default=True, help="Of the shards, when OUT is a folder."),
        click.option("--runtime", default="auto", show_default=True,
                     help="What runs the network: auto, torch, onnx, onnx-int8 or openvino."),
        click.option("--long-texts", type=click.Choice(["head", "windows"]), default="head", show_default=True,
                     help="Of a text longer than the model reads: its beginning, or all of it in windows."),
        as_json,
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@bulk.command("predict")
@_shared
@click.option("--text", help="Column with the text; the model's own unless given.")
@click.option("--pair", help="Column with the second text, for a model of pairs.")
def predict(**given: Any) -> None:
    """Add prediction and probability."""
    _run("predict", **given)


@bulk.command("embed")
@_shared
@click.option("--text", help="Column with the text; 'text' unless given.")
@click.option("--passages", is_flag=True, help="The texts are what is searched, not what is asked.")
def embed(**given: Any) -> None:
    """Add embedding: a unit-length vector."""
    _run("embed", **given)


@bulk.command("score")
@_shared
@click.option("--query", "text", help="Column with the query; the model's own unless given.")
@click.option("--document", "pair", help="Column with the document; the model's own unless given.")
def score(**given: Any) -> None:
    """Add score: relevance by a ranking model, or the cosine by a matching model or backbone."""
    _run("score", **given)


def _run(
    operation: Any, path: Path, out: Path, spread: Any, workers: int, format: Any, runtime: str, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    from core.bulk.options import Options
    from core.bulk.run import run

    options = Options(operation=operation, engine=runtime, **given)
    with _bar() as progress:
        suffix: Any = f".{format}"
        done = run(path, out, options, spread, workers, suffix, progress)
    emit(done.to_dict(), as_json, _told)


@contextmanager
def _bar() -> Iterator[Callable[[int, int, int], None]]:
    """A bar on stderr with rows a second and the time left; where nobody watches, a line twice a minute."""
    import sys

    from tqdm import tqdm

    bar: Any = None

    def show(now: int, before: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            pause = 0.5 if sys.stderr.isatty() else 30.0
            bar = tqdm(total=total, initial=before, unit="row", unit_scale=True, file=sys.stderr, mininterval=pause)
        bar.update(now - bar.n)

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


def _told(done: dict[str, Any]) -> str:
    before = f", {done['resumed']} of them earlier" if done["resumed"] else ""
    wrong = f"; {done['errors']} rows have no result, see their column 'error'" if done["errors"] else ""
    return f"{done['rows']} rows{before} in {done['shards']} shards: {done['out']}{wrong}"
