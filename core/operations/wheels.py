"""Which models can be improved by corrections, and whether one is ready for its next turn."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from core.errors import InputError
from core.operations.feedback import Correction, corrections, latest
from core.operations.lease import utc_now
from core.operations.turns import Turn, Turns
from core.settings import PROJECT_ROOT, SHIPPED, Settings, get_settings
from core.vertical import Job, Vertical, Wheel

if TYPE_CHECKING:
    from core.tuning.recipe import Recipe

LEASH = Path(__file__).with_name("leash.py")
LOOK_S = 3600.0  # between two looks of the worker whether a turn is due
STOP_S = 10  # a turn that is asked to end may take so long; what it has not finished is done again


@dataclass(frozen=True)
class Readiness:
    """Whether a turn is worth it now, ``reason`` if not; ``new`` corrections of all ``known`` ones."""

    wheel: str
    model: str
    known: int
    new: int
    needed: int
    reason: str

    @property
    def ready(self) -> bool:
        """Whether there is nothing against a turn."""
        return not self.reason

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "ready": self.ready}


def full_name(vertical: str, wheel: Wheel) -> str:
    """``VERTICAL.NAME``, as commands and files name it."""
    return f"{vertical}.{wheel.name}"


def installed_wheels(verticals: Mapping[str, Callable[[], Vertical]] | None = None) -> dict[str, tuple[str, Wheel]]:
    """``VERTICAL.NAME`` -> (vertical, wheel) of every installed vertical that can be loaded."""
    from core import vertical as contract

    found: dict[str, tuple[str, Wheel]] = {}
    for name in contract.installed() if verticals is None else verticals:
        vertical = contract.load(name) if verticals is None else verticals[name]()
        for wheel in vertical.wheels() if vertical.wheels is not None else ():
            found[full_name(name, wheel)] = (name, wheel)
    return found


def find_wheel(name: str) -> tuple[str, Wheel]:
    """One installed wheel. Raises InputError naming those there are."""
    found = installed_wheels()
    if name not in found:
        raise InputError(f"there is no wheel {name!r}; those there are: {', '.join(found) or 'none'}.")
    return found[name]


def usable(engine: Engine, vertical: str, wheel: Wheel) -> list[Correction]:
    """The last word on each text, of the corrections that this kind of model can learn from."""
    found = [one for one in latest(corrections(engine, vertical, wheel.task)) if one.label and one.pair is None]
    return found if wheel.keep is None else [one for one in found if wheel.keep(one)]


def readiness(
    engine: Engine, vertical: str, wheel: Wheel, settings: Settings, last: Turn | None = None, thorough: bool = False
) -> Readiness:
    """What speaks against a turn now: the first thing found, the cheapest question first; ``thorough``: everything."""
    name = full_name(vertical, wheel)
    if wheel.refusal:
        return Readiness(name, wheel.model, 0, 0, wheel.new, wheel.refusal)
    known = usable(engine, vertical, wheel)
    seen = set(last.seen) if last is not None else set()
    new = sum(one.source not in seen for one in known)
    found = Readiness(name, wheel.model, len(known), new, wheel.new, "")
    if last is not None and last.outcome == "judged":
        return found  # was cut off between the gate and the promotion
    reasons = []
    if new < wheel.new:
        since = "" if last is None else " since the last turn"
        reasons.append(f"{new} new corrections{since} are too few; {wheel.new} are needed.")
    if thorough or not reasons:
        try:
            base_recipe(wheel, settings, Turns(settings, name))
        except InputError as error:
            reasons.append(str(error))
    return replace(found, reason=" ".join(reasons))


def base_recipe(wheel: Wheel, settings: Settings, turns: Turns) -> "Recipe":
    """The recipe whose rows the challenger sees again and whose test both are judged on, every path found.

    Without ``wheel.recipe``: that of the newest version which no turn made, else of the shipped model. Raises
    InputError when there is none, when a file is missing, or when it is not single-label classification.
    """
    from core.tuning.recipe import Recipe

    recipe = Recipe.load(wheel.recipe or _recipe_of(wheel.model, settings, turns))
    if recipe.task != "classification" or recipe.data.multi_label or recipe.data.columns.text_pair:
        raise InputError(f"{wheel.model}: only classification of single texts with one label can be judged here.")
    if not isinstance(recipe.data.test, list):
        raise InputError(f"{wheel.model}: its recipe has no file as data.test, so there is no frozen test to judge on.")
    values = recipe.model_dump(mode="json", exclude_none=True)
    for part, what in (("test", "the frozen test"), ("train", "the training rows")):
        for source in values["data"][part]:
            place = _located(Path(source["path"]), settings)
            if place is None:
                raise InputError(
                    f"{wheel.model}: {what} {source['path']} is missing; put it there, or set HEADWATER_DATASETS to "
                    "the folder of the data sets."
                )
            source["path"] = str(place)
    return Recipe.parse({**values, "name": wheel.model})


def wheel_jobs(vertical: str, wheels: Sequence[Wheel], clock: Callable[[], datetime] = utc_now) -> list[Job]:
    """One worker job for each wheel that can turn; each looks often, which is cheap, and turns in its own process.

    At most one wheel is turned at a time: the worker has few threads, and the machine few cores.
    """
    return [
        Job(f"flywheel-{one.name}", _job(vertical, one, clock), min(LOOK_S, one.seconds))
        for one in wheels
        if not one.refusal
    ]


def _job(vertical: str, wheel: Wheel, clock: Callable[[], datetime]) -> Callable[[], None]:
    def run() -> None:
        from filelock import FileLock, Timeout
        from sqlalchemy import MetaData

        from core.operations.database import open_database

        settings = get_settings()
        name = full_name(vertical, wheel)
        last = Turns(settings, name).last()
        unfinished = last is not None and last.outcome == "judged"
        if last is not None and not unfinished and (clock() - last.started).total_seconds() < wheel.seconds:
            return
        engine = open_database(MetaData(), settings)
        try:
            if not readiness(engine, vertical, wheel, settings, last).ready:
                return
        finally:
            engine.dispose()
        lock = settings.var / "flywheel" / ".lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(lock, timeout=0, is_singleton=False):
                _turn_apart(name)
        except Timeout:
            return  # another wheel is turning; this one's turn comes with a later look

    return run


def _turn_apart(name: str) -> None:
    """A turn takes minutes and every core: in a process with a low priority that ends when this one does."""
    turning = [sys.executable, "-m", "core.operations.turning", name]
    command = [sys.executable, "-I", "-S", str(LEASH), str(STOP_S), *turning]
    # The leash pulls when its input ends: also when this process is killed.
    held = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with held:
        assert held.stderr is not None
        said = held.stderr.read().decode("utf-8", "replace").strip().splitlines()
    if held.returncode:
        raise InputError(f"the turn of {name} ended with exit code {held.returncode}: {said[-1] if said else ''}")


def _recipe_of(model: str, settings: Settings, turns: Turns) -> Path:
    from core.serving import mlflow_client

    if mlflow_client.is_there(settings):
        from core.serving.registry import Registry

        try:
            versions = Registry(settings).model(model).versions
        except InputError:
            versions = ()
        for version in sorted(versions, key=lambda one: one.version, reverse=True):
            if version.path is not None and not _made_here(version.path / "recipe.toml", turns):
                return version.path / "recipe.toml"
    shipped = SHIPPED / model / "recipe.toml"
    if not shipped.is_file():
        raise InputError(f"there is no model {model!r}, neither registered nor shipped; tune one first.")
    return shipped


def _made_here(recipe: Path, turns: Turns) -> bool:
    """Whether a turn of this wheel tuned by this recipe: then its rows are the turn's own file."""
    from core.tuning.recipe import Recipe

    ours = (turns.home.parent.name, turns.home.name)
    return any(source.path.parent.parts[-2:] == ours for source in Recipe.load(recipe).data.train)


def _located(path: Path, settings: Settings) -> Path | None:
    """A recipe's file from where it was tuned: here, in the project, or where the data sets are now."""
    places = [path, PROJECT_ROOT / path]
    if "datasets" in path.parts:
        rest = path.parts[path.parts.index("datasets") + 1 :]
        places.append(settings.datasets.joinpath(*rest))
        places.append(PROJECT_ROOT / settings.datasets.joinpath(*rest))
    return next((place.resolve() for place in places if place.exists()), None)
