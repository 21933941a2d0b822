"""Recipes of the benchmarks: a shipped recipe, with its data and some fields exchanged."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.load import Dataset
from core.data.sources import Source
from core.errors import InputError
from core.settings import PROJECT_ROOT
from core.tuning.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd

SHIPPED = PROJECT_ROOT / "data" / "recipes"
PLACE = "{datasets}"


def shipped(
    stem: str,
    name: str,
    data: Mapping[str, Any],
    changes: Mapping[str, Any],
    datasets: Path,
    seed: int | None = None,
) -> Recipe:
    """The recipe ``data/recipes/<stem>.toml`` under another name, on other data.

    ``data`` replaces the whole [data] table, with ``{datasets}`` in paths filled in; ``changes`` maps dotted
    fields to values. Nothing is reported to a tracker, and the start is the bare backbone unless ``changes`` names
    another: a shipped adapter has seen other data sets, maybe the row's own. Raises InputError when a file is
    missing.
    """
    values = Recipe.load(SHIPPED / f"{stem}.toml").model_dump(mode="json", exclude_none=True)
    values["name"] = name
    values["data"] = _filled(data, datasets)
    values["tracking"] = {"report_to": []}
    values.pop("start_from", None)
    if seed is not None:
        values["training"]["seed"] = seed
    for field, value in changes.items():
        *parents, last = field.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    recipe = Recipe.parse(values, where=f"benchmark {name}")
    for source in sources(recipe):
        if not source.path.is_file():
            raise InputError(
                f"{_shown(source.path, datasets)} is missing; fetch the data set or set HEADWATER_DATASETS."
            )
    return recipe


def sources(recipe: Recipe) -> list[Source]:
    """Every file the recipe reads."""
    given = (recipe.data.train, recipe.data.validation, recipe.data.test)
    return [source for part in given if isinstance(part, list) for source in part]


def test_rows(data: Dataset) -> "pd.DataFrame":
    """The test rows, which every benchmark has."""
    if data.test is None:
        raise InputError("a benchmark needs test rows; give its data a test source or fraction.")
    return data.test


def filled(value: str, datasets: Path) -> Path:
    """A path of the row tables, with the folder of the data sets filled in."""
    return Path(value.replace(PLACE, str(datasets)))


def _filled(value: Any, datasets: Path) -> Any:
    if isinstance(value, Mapping):
        return {k: _filled(v, datasets) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(v, datasets) for v in value]
    return value.replace(PLACE, str(datasets)) if isinstance(value, str) else value


def _shown(path: Path, datasets: Path) -> str:
    return str(path).replace(str(datasets), PLACE)
