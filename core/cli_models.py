"""The commands ``headwater models …``."""

from pathlib import Path
from typing import Any

import click

from core import cli_text
from core.cli import as_json, emit
from core.errors import InputError


@click.group()
def models() -> None:
    """Registered models: list, show, promote, roll back, export."""


@models.command("list")
@as_json
def models_list(as_json: bool) -> None:
    """List every registered model with its versions and aliases."""
    emit([m.to_dict() for m in _registry().list()], as_json, cli_text.models)


@models.command("show")
@click.argument("model")
@as_json
def models_show(model: str, as_json: bool) -> None:
    """Show one version (NAME, NAME@ALIAS or NAME:VERSION)."""
    emit(_registry().show(model).to_dict(), as_json, cli_text.fields)


@models.command("promote")
@click.argument("name")
@click.argument("version", type=int)
@click.option("--alias", default="production", show_default=True)
@as_json
def models_promote(name: str, version: int, alias: str, as_json: bool) -> None:
    """Let ALIAS of NAME point to VERSION; production's old version becomes 'previous'."""
    emit(_registry().promote(name, version, alias).to_dict(), as_json, cli_text.fields)


@models.command("rollback")
@click.argument("name")
@as_json
def models_rollback(name: str, as_json: bool) -> None:
    """Let production of NAME point to the version it had before."""
    emit(_registry().rollback(name).to_dict(), as_json, cli_text.fields)


@models.command("export")
@click.argument("model")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--engine", type=click.Choice(["onnx", "onnx-int8", "openvino"]), help="Enclose a faster engine, too.")
@click.option("--data", type=click.Path(path_type=Path), help="onnx-int8: validation rows that show what it costs.")
@click.option("--format", default="auto", show_default=True, help="Format of --data.")
@click.option("--text", help="Column with the text; the recipe's unless given.")
@click.option("--label", help="Column with the label; the recipe's unless given.")
@as_json
def models_export(
    model: str,
    folder: Path,
    engine: str | None,
    data: Path | None,
    format: str,
    text: str | None,
    label: str | None,
    as_json: bool,
) -> None:
    """Write MODEL to FOLDER, adapters merged, in the Hugging Face layout (backbone, tokenizer, head).

    With --engine the folder also holds an export that predictions then use: ONNX Runtime in float32, or in 8 bits
    when that keeps the model's metric within 0.4 points on the rows of --data.
    """
    from core.serving.export import export, exported

    if engine == "onnx-int8" and data is None:
        raise InputError("--engine onnx-int8 needs --data: labelled rows that show whether 8 bits keep the metric.")
    rows = None
    if data is not None:
        from core.serving.encoder import find_network
        from core.serving.gate_rows import read_gate

        rows = read_gate(find_network(model), data, format, text, label)
    result = exported(export(model, folder, engine, rows), engine)
    emit(
        result, as_json, lambda r: f"written to {r['folder']}" + (f"\n{cli_text.fields(r['engine'])}" if engine else "")
    )


def _registry() -> Any:
    from core.serving.registry import Registry
    from core.settings import get_settings

    return Registry(get_settings())
