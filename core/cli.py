"""The ``headwater`` command. Nothing heavy is imported before a command runs."""

import contextlib
import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import Any

import click

from core import cli_text
from core.errors import InputError

# Commands whose module is imported only when one of them is called or listed.
_LATER = {
    "api": "core.cli_serve",
    "audit": "core.cli_users",
    "backup": "core.cli_backup",
    "bulk": "core.cli_bulk",
    "import": "core.cli_import",
    "keys": "core.cli_serve",
    "compare": "core.cli_labels",
    "explain": "core.cli_labels",
    "flywheel": "core.cli_flywheel",
    "labels": "core.cli_labels",
    "models": "core.cli_models",
    "predict": "core.cli_predict",
    "restore": "core.cli_backup",
    "status": "core.cli_operations",
    "up": "core.cli_operations",
    "users": "core.cli_users",
    "worker": "core.cli_operations",
}


class _Group(click.Group):
    """The core's commands, and one group per installed vertical, found without importing it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from core.vertical import installed

        return [*self._own(ctx), *installed()]

    def _own(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_LATER})

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the core's commands with their help, and verticals by name: their help would import them."""
        own = self._own(ctx)
        commands = {name: self.get_command(ctx, name) for name in own}
        rows = [(name, command.get_short_help_str(80)) for name, command in commands.items() if command]
        found = [
            (name, f"an application; see: headwater {name} --help") for name in self.list_commands(ctx)[len(own) :]
        ]
        for title, part in (("Commands", rows), ("Applications", found)):
            if part:
                with formatter.section(title):
                    formatter.write_dl(part)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        command = super().get_command(ctx, name)
        if command is not None:
            return command
        if name in _LATER:
            found: click.Command = getattr(import_module(_LATER[name]), f"{name}_" if iskeyword(name) else name)
            return found
        from core.vertical import installed, load

        if name not in installed():
            return None
        vertical = load(name)
        if vertical.commands is None:
            raise InputError(f"vertical {name!r} brings no commands.")
        return vertical.commands()


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="headwater")
def headwater() -> None:
    """Take labelled text and a pre-trained language model to a running application."""


as_json = click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON document on stdout.")


def emit(result: Any, as_json: bool, show: Callable[[Any], str]) -> None:
    """Print a result: one JSON document, or what ``show`` makes of it."""
    text = json.dumps(result, ensure_ascii=False, indent=1) if as_json else show(result)
    with contextlib.redirect_stdout(sys.__stdout__):
        click.echo(text)


@headwater.command()
@click.argument("recipe")
@click.option(
    "--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change a field, e.g. training.epochs=3."
)
@click.option("--no-register", is_flag=True, help="Leave the model in var/runs; make no version of it.")
@click.option("--reuse", is_flag=True, help="Take a finished run of the same recipe on the same data, if there is one.")
@as_json
def tune(recipe: str, overrides: tuple[str, ...], no_register: bool, reuse: bool, as_json: bool) -> None:
    """Tune a model by RECIPE, judge it, and register it."""
    from core.tuning.recipe import Recipe
    from core.workflow import tune as run

    tuned = run(Recipe.load(recipe, list(overrides)), register=not no_register, reuse=reuse)
    if tuned is not None:
        emit(tuned.to_dict(), as_json, cli_text.tuned)


@headwater.command()
@click.argument("model")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Labelled rows to judge the model on.")
@click.option("--format", default="auto", show_default=True, help="csv, tsv, jsonl, parquet, phrasebank, …")
@click.option("--text", help="Column with the text; the recipe's unless given.")
@click.option("--label", help="Column with the label; the recipe's unless given.")
@as_json
def evaluate(model: str, data: Path, format: str, text: str | None, label: str | None, as_json: bool) -> None:
    """Judge MODEL (a folder, name or name@alias) on labelled rows."""
    from core.evaluation.report import result_table
    from core.workflow import evaluate as run

    result = run(model, data, format, text, label)
    emit(result, as_json, lambda r: f"{r['n']} rows of {r['data']}\n{result_table(r['metrics'])}")


@headwater.command()
@click.argument("recipe")
@click.option(
    "--trials",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="Trials in all, earlier ones counted.",
)
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe.")
@click.option(
    "--space",
    multiple=True,
    metavar="FIELD=LOW..HIGH",
    help="What to search, e.g. training.learning_rate=1e-5..1e-3.",
)
@as_json
def sweep(recipe: str, trials: int, overrides: tuple[str, ...], space: tuple[str, ...], as_json: bool) -> None:
    """Search hyper-parameters of RECIPE on its validation rows; a stopped search goes on."""
    from core.tuning.recipe import Recipe
    from core.tuning.sweep import show_report
    from core.tuning.sweep import sweep as run

    emit(run(Recipe.load(recipe, list(overrides)), trials, list(space)).to_dict(), as_json, show_report)


@headwater.command()
@as_json
def backbones(as_json: bool) -> None:
    """List the pre-trained models, with size, languages, licence, and whether they are installed."""
    from core.models.sources import describe

    emit(describe(), as_json, cli_text.backbones)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep stdout for the result: whatever a library prints goes to stderr."""
    import warnings

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield


def main(arguments: list[str] | None = None) -> int:
    """Run a command. Exit codes: 0 done, 2 wrong use or bad input, 1 a failure of ours."""
    given = sys.argv[1:] if arguments is None else arguments
    before_texts = given[: given.index("--")] if "--" in given else given
    asks_help = not {"-h", "--help", "--version"}.isdisjoint(before_texts)
    try:
        # Help is a result, too, and printed by click itself: it goes to stdout.
        with contextlib.nullcontext() if asks_help else _quiet():
            code = headwater.main(arguments, prog_name="headwater", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        return 130
    except KeyboardInterrupt:
        click.echo("stopped; the same command goes on where it was.", err=True)
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        where = getattr(error, "ctx", None)
        hint = f" See: {where.command_path} --help" if where is not None else ""
        click.echo(f"headwater: {error.format_message()}{hint}", err=True)
        return 2
    except InputError as error:
        click.echo(f"headwater: {error}", err=True)
        return 2
    except OSError as error:
        click.echo(f"headwater: {_system_sentence(error)}", err=True)
        return 2 if error.errno in _USERS_TO_MEND else 1
    except MemoryError:
        click.echo("headwater: memory ran out; lower training.batch_size or training.max_length.", err=True)
        return 1
    except Exception as error:
        if os.environ.get("HEADWATER_DEBUG"):
            raise
        kind = type(error).__name__
        click.echo(
            f"headwater: an error of ours, {kind}: {error}. Run again with HEADWATER_DEBUG=1 for the details.",
            err=True,
        )
        return 1
    return code if isinstance(code, int) else 0  # what a command gave to click's Exit


# A place that cannot be written to, or no room: nothing the program could have done otherwise.
_USERS_TO_MEND = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST,
    errno.ENAMETOOLONG,
}  # fmt: skip


def _system_sentence(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{place}the disk is full; free some space, then run the same command again."
    return f"{place}{error.strerror or error}."


if __name__ == "__main__":
    sys.exit(main())
