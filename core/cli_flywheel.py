"""``headwater flywheel``: models that corrections improve, and whether what comes in is still what they know."""

from pathlib import Path
from typing import Any

import click

from core.cli import as_json, emit
from core.errors import InputError


@click.group()
def flywheel() -> None:
    """Improve models by people's corrections; look for drift; try a model beside the one that answers."""


@flywheel.command()
@click.argument("wheel", metavar="APPLICATION.NAME")
@as_json
def run(wheel: str, as_json: bool) -> None:
    """Tune a challenger on the corrections, judge both, and promote it if it wins.

    Nothing happens before there are enough new corrections. Undo a promotion: headwater models rollback MODEL.
    """
    from sqlalchemy import MetaData

    from core.operations.database import open_database
    from core.operations.flywheel import turn
    from core.operations.wheels import find_wheel

    vertical, found = find_wheel(wheel)
    emit(turn(found, open_database(MetaData()), vertical).to_dict(), as_json, _turn)


@flywheel.command()
@click.option(
    "--turns", "shown", default=5, type=click.IntRange(0), show_default=True, help="How many past turns of each."
)
@as_json
def status(shown: int, as_json: bool) -> None:
    """List the wheels: new corrections, what keeps one from turning, and past turns."""
    from sqlalchemy import MetaData

    from core.operations.database import open_database
    from core.operations.turns import Turns
    from core.operations.wheels import installed_wheels, readiness
    from core.settings import get_settings

    engine, settings, rows = open_database(MetaData()), get_settings(), []
    for name, (vertical, wheel) in installed_wheels().items():
        past = Turns(settings, name).all()
        found = readiness(engine, vertical, wheel, settings, past[-1] if past else None, thorough=True)
        turns = [turn.to_dict() for turn in past[-shown:]] if shown else []
        rows.append({**found.to_dict(), "refused": bool(wheel.refusal), "turns": turns})
    emit(rows, as_json, _status)


@flywheel.command()
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("recent", type=click.Path(path_type=Path))
@click.option("--model", help="Also compare what this model says: a folder, name or name@alias.")
@click.option("--text", default="text", show_default=True, help="Column with the text.")
@click.option("--format", default="auto", show_default=True, help="Format of both files.")
@as_json
def drift(reference: Path, recent: Path, model: str | None, text: str, format: str, as_json: bool) -> None:
    """Compare the texts of RECENT with those of REFERENCE: words, lengths, and with --model its answers."""
    from core.operations.drift import read_texts, report

    before, after = (read_texts(path, text, format) for path in (reference, recent))
    emit(report(before, after, _load(model) if model else None).to_dict(), as_json, _drift)


@flywheel.command()
@click.option("--model", help="The model whose shadow is meant; all unless given.")
@as_json
def shadow(model: str | None, as_json: bool) -> None:
    """Say how challengers fared that answered a sample of the API's requests beside the model in use.

    Switched on by HEADWATER_SHADOW_SAMPLE, the share of requests from 0 to 1.
    """
    from core.operations.shadow import summaries
    from core.settings import get_settings

    found = summaries(get_settings().var / "shadow")
    if model is not None and model not in found:
        raise InputError(f"nothing was scored beside {model!r}; known: {', '.join(found) or 'none'}.")
    emit({name: one.to_dict() for name, one in found.items() if model in (None, name)}, as_json, _shadow)


def _load(model: str) -> Any:
    from core.serving.predictor import load_predictor

    return load_predictor(model)


def _turn(row: dict[str, Any]) -> str:
    versions = "" if row["challenger"] is None else f"  version {row['challenger']} against {row['champion']}"
    counts = f"{row['trained_on']} corrections to learn from, {row['held_out']} to judge on"
    first = f"{row['wheel']} turn {row['number']}: {row['outcome']}{versions}  {counts}"
    return "\n".join([first, *(f"  {reason}" for reason in row["reasons"]), *_gain(row["figures"])])


def _gain(figures: dict[str, Any]) -> list[str]:
    if "all" not in figures:
        return []
    gain = figures["all"]["accuracy"]["difference"]
    return [f"  accuracy {gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f}) on {figures['n']} rows"]


def _status(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        state = "ready." if row["ready"] else row["reason"]
        counts = "not turned" if row["refused"] else f"{row['new']} new of {row['known']} corrections"
        lines.append(f"{row['wheel']:<20} {row['model']:<20} {counts}: {state}")
        lines += ["  " + line for turn in row["turns"] for line in _turn(turn).splitlines()]
    return "\n".join(lines) or "no installed application has a wheel."


def _drift(row: dict[str, Any]) -> str:
    # The level judges what is above chance and beyond doubt; the value alone would contradict it in small windows.
    lines = [row["verdict"]]
    for measure in row["measures"]:
        figures = f"{measure['value']:.4f}  by chance {measure['chance']:.4f}  p {measure['p']:.3f}"
        lines.append(f"  {measure['name']:<12} {figures}  {measure['level']:<7} {measure['source']}")
    return "\n".join(lines)


def _shadow(found: dict[str, Any]) -> str:
    if not found:
        return "nothing was scored in the shadow yet; set HEADWATER_SHADOW_SAMPLE=0.1 for the API."
    return "\n".join(
        f"{name}: version {row['challenger']} beside {row['champion']}, {row['n']} texts: agrees on "
        f"{row['agreement']:.1%} ({row['low']:.1%} to {row['high']:.1%}), confidence "
        f"{row['champion_confidence']:.3f} and {row['challenger_confidence']:.3f}, "
        f"{row['challenger_ms']:.1f} ms a text"
        for name, row in found.items()
    )
