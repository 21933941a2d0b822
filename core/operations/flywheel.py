"""The loop that improves a model: corrections become training rows, a challenger is tuned, and promoted if it wins.

For classification of single texts. Each fifth text that was corrected, chosen by what it says, is never trained on:
together with the recipe's own test it is what champion and challenger are judged on. Until the last step nothing that
is served changes, and that step is one atomic move of an alias, so a turn may be killed at any time.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from core.data.keys import normalise
from core.errors import InputError
from core.operations.feedback import Correction
from core.operations.lease import utc_now
from core.operations.turns import Turn, Turns
from core.operations.wheels import base_recipe, full_name, readiness, usable
from core.settings import SHIPPED, Settings, get_settings
from core.vertical import Wheel

if TYPE_CHECKING:
    from core.operations.judging import FlywheelConfig, Texts
    from core.serving.registry import Registry
    from core.serving.versions import VersionInfo
    from core.tuning.recipe import Recipe

HELD_OUT = 5  # one corrected text of so many is for judging
NEW_LABEL = 5  # so many texts make a label that the recipe does not know
MOST_HELD = 2000  # the latest ones
MOST_PARENTS = 4  # a challenger carries those it started from; after so many it starts from the backbone again


def is_held_out(text: str) -> bool:
    """Whether a corrected text is for judging: it always is, however often and by whomever it is corrected."""
    return hashlib.sha256(normalise(text).encode()).digest()[0] % HELD_OUT == 0


def turn(
    wheel: Wheel,
    engine: Engine,
    vertical: str,
    gate: "FlywheelConfig | None" = None,
    settings: Settings | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Turn:
    """Tune a challenger from the champion on the recipe's rows and the corrections; promote it if the gate says so.

    Outcome ``skipped`` when a turn is not worth it, which is not kept. A turn that was cut off goes on: from the
    tuning's last checkpoint, or with the promotion that was decided. Raises InputError when another process turns the
    same wheel, or when data or models must be mended.
    """
    from filelock import FileLock, Timeout

    settings = settings or get_settings()
    turns = Turns(settings, full_name(vertical, wheel))
    turns.home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(turns.home / ".lock", timeout=0):
            return _turn(wheel, engine, vertical, gate, settings, turns, clock)
    except Timeout:
        raise InputError(f"another process is turning {turns.wheel} right now; wait for it.") from None


def _turn(
    wheel: Wheel,
    engine: Engine,
    vertical: str,
    gate: "FlywheelConfig | None",
    settings: Settings,
    turns: Turns,
    clock: Callable[[], datetime],
) -> Turn:
    from core.operations.judging import FlywheelConfig, judge
    from core.serving.predictor import load_predictor
    from core.serving.registry import Registry
    from core.workflow import tune

    last = turns.last()
    if last is not None and last.outcome == "judged":
        return _promote(last, Registry(settings), turns, clock)
    found = readiness(engine, vertical, wheel, settings, last)
    number = 1 if last is None else last.number + 1
    begun = Turn(turns.wheel, wheel.model, number, "skipped", clock(), corrections=found.known)
    if not found.ready:
        return replace(begun, ended=clock(), reasons=(found.reason,))
    recipe = base_recipe(wheel, settings, turns)
    known = usable(engine, vertical, wheel)
    held = [one for one in known if is_held_out(one.text)][-MOST_HELD:]
    learnt = [one for one in known if not is_held_out(one.text)]
    begun = replace(begun, trained_on=len(learnt), held_out=len(held), seen=tuple(one.source for one in known))
    if not learnt:
        return replace(begun, ended=clock(), reasons=("every corrected text is for judging; more are needed.",))
    registry = Registry(settings)
    champion = ensure_champion(wheel.model, registry)
    rows, taught = _write_rows(recipe, learnt, wheel.rehearse, turns.home)
    tuned = tune(challenger_recipe(recipe, wheel, champion, rows), reuse=True, settings=settings)
    if tuned is None or tuned.version is None:
        raise InputError(f"{wheel.model}: the challenger was tuned elsewhere; turn the wheel in one process.")
    begun = replace(begun, champion=champion.version, challenger=tuned.version, trained_on=taught)
    texts = _texts(recipe, held)
    # By the same engine: a champion that happens to be exported already would seem faster.
    models = [load_predictor(place, engine="torch") for place in (_folder(champion), tuned.path)]
    decision = judge(models[0], models[1], texts, gate or FlywheelConfig())
    judged = replace(begun, reasons=decision.reasons, figures=decision.figures)
    if not decision.promote:
        return turns.finish(judged, "refused", clock())
    return _promote(turns.keep(replace(judged, outcome="judged")), registry, turns, clock)


def _promote(judged: Turn, registry: "Registry", turns: Turns, clock: Callable[[], datetime]) -> Turn:
    """Do what the gate decided, unless people have meanwhile put something else in the champion's place."""
    assert judged.challenger is not None
    served = registry.show(f"{judged.model}@production").version
    if served not in (judged.champion, judged.challenger):
        why = f"version {served} took the champion's place while the challenger was judged against {judged.champion}."
        return turns.finish(judged, "refused", clock(), why)
    registry.promote(judged.model, judged.challenger)
    return turns.finish(judged, "promoted", clock())


def ensure_champion(model: str, registry: "Registry") -> "VersionInfo":
    """The version in production; the shipped model is registered as the first one where there is none.

    Raises InputError when there is neither.
    """
    try:
        return registry.show(f"{model}@production")
    except InputError:
        shipped = SHIPPED / model
        if not (shipped / "recipe.toml").is_file():
            raise
    # Else the challenger would be the name's first version, and with that in production unjudged.
    metrics = json.loads((shipped / "metrics.json").read_text(encoding="utf-8"))
    values = {name: one["value"] for name, one in metrics.get("metrics", {}).items()}
    recipe = (shipped / "recipe.toml").read_text(encoding="utf-8")
    registry.register(model, shipped, values, recipe, str(metrics.get("fingerprint", "")))
    return registry.show(f"{model}@production")


def challenger_recipe(recipe: "Recipe", wheel: Wheel, champion: "VersionInfo", rows: Path) -> "Recipe":
    """The base recipe on ``rows``, from the champion with the wheel's changes.

    From the backbone with the recipe's own training once the champion carries ``MOST_PARENTS`` models it started from.
    """
    from core.tuning.recipe import Recipe, apply_override

    values = recipe.model_dump(mode="json", exclude_none=True)
    values["data"]["train"] = [{"path": str(rows), "columns": {"text": "text", "label": "label"}}]
    folder = _folder(champion)
    if _parents(folder) < MOST_PARENTS:
        values["start_from"] = str(folder)
        for change in wheel.changes:
            apply_override(values, change)
    return Recipe.parse(values, where=f"wheel {wheel.name}")


def _folder(version: "VersionInfo") -> Path:
    if version.path is None:
        raise InputError(f"the folder of {version.name}:{version.version} is not on this machine; restore it.")
    return version.path


def _parents(folder: Path) -> int:
    depth = 0
    while (folder := folder / "parent").is_dir():
        depth += 1
    return depth


def _write_rows(recipe: "Recipe", learnt: Sequence[Correction], rehearse: int | None, home: Path) -> tuple[Path, int]:
    """Every row the challenger sees, each with where it came from, in a file; and how many of them are corrections.

    The recipe's own rows are there so that nothing is forgotten (rehearsal: Robins 1995). They give way to what people
    said about the same text. A label that is new waits until a few texts show what it means.
    """
    from core.data.splits import limit_per_class

    frame = _frame(recipe, "train")
    known = set(frame["label"])
    said = {normalise(one.text) for one in learnt}
    frame = frame[[normalise(text) not in said for text in frame["text"]]].reset_index(drop=True)
    if rehearse is not None:
        frame = limit_per_class(frame, rehearse, recipe.training.seed)
    counts = Counter(one.label for one in learnt)
    taught = [one for one in learnt if one.label in known or counts[one.label] >= NEW_LABEL]
    rows: list[dict[str, Any]] = [
        {"text": one["text"], "label": one["label"], "from": f"{Path(one['file']).name}, row {one['row']}"}
        for one in frame[["text", "label", "file", "row"]].to_dict("records")
    ]
    rows += [
        {"text": one.text, "label": one.label, "from": one.source, "actor": one.actor, "time": one.time.isoformat()}
        for one in taught
    ]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path = home.resolve() / f"rows-{hashlib.sha256(text.encode()).hexdigest()[:12]}.jsonl"
    for old in home.glob("rows-*.jsonl"):
        if old.name != path.name:
            old.unlink()
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
    return path, len(taught)


def _frame(recipe: "Recipe", part: str) -> Any:
    """The labelled rows of a part as its sources name them, all in one table."""
    import pandas as pd

    from core.data.readers import read

    frames = []
    for source in getattr(recipe.data, part):
        frame = read(source, recipe.task, recipe.data.columns).frame.dropna(subset=["text", "label"])
        frames.append(frame.assign(label=frame["label"].replace(source.relabel)))
    return pd.concat(frames, ignore_index=True)


def _texts(recipe: "Recipe", held: Sequence[Correction]) -> "Texts":
    from core.operations.judging import Texts

    frame = _frame(recipe, "test")
    frozen = {normalise(text) for text in frame["text"]}
    held = [one for one in held if normalise(one.text) not in frozen]
    return Texts(
        [*frame["text"], *(one.text for one in held)],
        [*frame["label"], *(str(one.label) for one in held)],
        [False] * len(frame) + [True] * len(held),
    )
