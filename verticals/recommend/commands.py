"""The ``headwater recommend`` commands."""

from pathlib import Path
from typing import Any

import click

from core.cli import as_json, emit
from core.errors import InputError

_FILE = click.Path(path_type=Path)


def _weights(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float] | None:
    found = {}
    for value in values:
        name, separator, number = value.rpartition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            separator = ""
        if not separator:
            raise InputError(f"--weight {value!r}: write it as NAME=NUMBER, for example text=2.")
    return found or None


def _asking(command: Any) -> Any:
    """What ``score`` and ``recommend`` share."""
    for option in reversed(
        [
            click.option("--user", help="Whom the list is for; a user nobody knows is served as a newcomer."),
            click.option("--history", help="Ids of past items, oldest first, separated by commas."),
            click.option("--interest", help="What somebody is interested in, in their words."),
            click.option("--weight", "weights", multiple=True, metavar="NAME=NUMBER", callback=_weights),
            click.option("--variety", type=float, default=0.0, show_default=True, help="0: as ranked … 1: variety."),
            click.option("--method", type=click.Choice(["mmr", "dpp", "calibrated"]), default="mmr", show_default=True),
            click.option("--rules", "rules_file", type=_FILE, help="Business rules: JSON, or TOML with [[rules]]."),
            click.option("--out", type=_FILE, help="Also write the rows to a .csv or .parquet file."),
        ]
    ):
        command = option(command)
    return command


@click.group()
def recommend() -> None:
    """Score candidates for a user by text and behaviour, with reasons."""


@recommend.command()
@click.option("--items", "items_file", type=_FILE, help="Items: csv, tsv, jsonl, parquet, or a folder of the format.")
@click.option("--events", "events_file", type=_FILE, help="Events: csv, tsv, jsonl, parquet.")
@click.option("--format", default="auto", show_default=True, help="auto, movielens, mind.")
@click.option("--sample", is_flag=True, help="The shipped sample: synthetic behaviour over texts of a fictional bank.")
@as_json
def load(items_file: Path | None, events_file: Path | None, format: str, sample: bool, as_json: bool) -> None:
    """Read items and events, check them, and add them to what is there."""
    from verticals.recommend import command_text, loading

    emit(loading.load(items_file, events_file, format, sample), as_json, command_text.loaded)


@recommend.command()
@click.option("--encoder", help="A backbone, folder or name@alias instead of the configured one.")
@click.option("--tune", "recipe", type=_FILE, is_flag=False, flag_value="", help="First tune the interest model.")
@click.option("--note", default="", help="Said of this version wherever it is listed.")
@as_json
def train(encoder: str | None, recipe: Path | None, note: str, as_json: bool) -> None:
    """Fit sources, ranker and probabilities to the loaded data; with an empty store, to the shipped sample."""
    from verticals.recommend import command_text
    from verticals.recommend.loading import train_here

    emit(train_here(encoder, recipe, note), as_json, command_text.trained)


@recommend.command()
@click.option("--candidates", "file", type=_FILE, required=True, help="Ids: one a line, or a table with a column id.")
@click.option("--explain", default=20, show_default=True, type=click.IntRange(0), help="Rows with reasons.")
@_asking
@as_json
def score(file: Path, as_json: bool, **asked: Any) -> None:
    """Score the candidates of a file for a user, a history or an interest: ranks, probabilities, reasons."""
    from verticals.recommend import command_text, loading

    found = loading.ask(lambda r, given: r.score(loading.read_candidates(file), **given), asked)
    emit(found.to_dict(), as_json, command_text.scored)


@recommend.command("recommend")
@click.option("-k", default=10, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--explain", default=20, show_default=True, type=click.IntRange(0), help="Rows with reasons.")
@_asking
@as_json
def best(k: int, as_json: bool, **asked: Any) -> None:
    """The best items of the whole catalogue that the user has not had."""
    from verticals.recommend import command_text, loading

    found = loading.ask(lambda r, given: r.recommend(k=k, **given), asked)
    emit(found.to_dict(), as_json, command_text.scored)


@recommend.command()
@click.argument("item")
@click.option("-k", default=10, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--by", type=click.Choice(["text", "behaviour"]), default="text", show_default=True)
@as_json
def similar(item: str, k: int, by: Any, as_json: bool) -> None:
    """The items nearest to ITEM."""
    from verticals.recommend import command_text
    from verticals.recommend.recommender import Recommender

    emit(Recommender.open().similar(item, k, by), as_json, command_text.neighbours)


@recommend.command()
@click.argument("file", type=_FILE)
@as_json
def rules(file: Path, as_json: bool) -> None:
    """Check a file of business rules against the loaded items."""
    from verticals.recommend import command_text, loading

    emit(loading.check(file), as_json, command_text.checked)


@recommend.command()
@click.option("--items", type=_FILE, help="Items to judge on; the loaded ones unless given.")
@click.option("--events", type=_FILE, help="Events to judge on.")
@click.option("--format", default="auto", show_default=True, help="auto, table, movielens, mind.")
@click.option("--split", "how", type=click.Choice(["user", "global"]), default="user", show_default=True)
@click.option("--fraction", default=0.2, show_default=True, help="What is held out, from the end.")
@click.option("--encoder", help="A backbone, folder or name@alias instead of the configured one.")
@click.option("--resamples", default=1000, show_default=True, type=click.IntRange(0), help="Of the bootstrap.")
@as_json
def evaluate(as_json: bool, resamples: int, **given: Any) -> None:
    """Judge the hybrid beside popularity, item-kNN, EASE and untuned text on held-out behaviour."""
    from verticals.recommend import command_text, judging
    from verticals.recommend.settings import recommend_settings

    if given["format"] == "table":
        given["format"] = "auto"
    settings = recommend_settings()
    found = judging.evaluate(
        settings, judging.ground(settings, **given), resamples, lambda line: click.echo(line, err=True)
    )
    emit(found, as_json, command_text.judged)
