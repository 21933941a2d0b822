"""What MLflow stores of registered models: versions, aliases, and the moves that make alias changes atomic.

Every change of aliases is one *move*: it is committed by writing the whole new alias map into one tag of the
registered model (a single transaction), after which MLflow's own aliases are made to follow. Readers take the
aliases of a committed move that is not applied yet from the move, and the next writer completes it, so a
process may be killed anywhere. Callers of the writing methods hold the name's lock.
"""

import time
import tomllib
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InputError
from core.serving.versions import Move, dump_moves, metric_values, mlflow_key, parse_moves, to_json

if TYPE_CHECKING:
    from core.serving.mlflow_client import MlflowClient, ModelVersion, RegisteredModel

_MOVES, _STATE, _ID, _PATH = "headwater.moves", "headwater.state", "headwater.id", "headwater.path"
METRICS, FINGERPRINT = "headwater.metrics", "headwater.fingerprint"
_PENDING, _READY = "pending", "ready"


class Model:
    """A registered model as read at one moment."""

    def __init__(self, entity: "RegisteredModel") -> None:
        """Take name, aliases and moves; an unapplied last move says what the aliases are."""
        self.name: str = entity.name
        self.stored: dict[str, int] = {alias: int(number) for alias, number in entity.aliases.items()}
        self.moves = parse_moves(entity.tags.get(_MOVES))
        self.unapplied = bool(self.moves) and not self.moves[-1].applied
        self.aliases = self.moves[-1].aliases if self.unapplied else self.stored

    def shows(self, version: "ModelVersion") -> bool:
        """Whether a version is whole: marked so, registered without us, or committed by an unapplied move."""
        if version.tags.get(_STATE, _READY) == _READY:
            return True
        last = self.moves[-1] if self.unapplied else None
        return last is not None and last.action == "register" and last.version == int(version.version)


class Ledger:
    """Reads and writes registered models through one MLflow client."""

    def __init__(self, client: "MlflowClient", plain_sources: bool) -> None:
        """``plain_sources``: versions may name local paths (a server refuses that, to guard its own)."""
        self.client = client
        self.plain_sources = plain_sources

    def names(self) -> list[str]:
        """Every registered name, sorted, also those without a whole version."""
        return sorted(model.name for model in _pages(self.client.search_registered_models))

    def find(self, name: str) -> Model | None:
        """The registered model, never as of the middle of somebody's move; None if there is none."""
        for _ in range(5):
            entity = _unless("RESOURCE_DOES_NOT_EXIST", lambda: self.client.get_registered_model(name))
            if entity is None:
                return None
            model = Model(entity)
            if not model.moves or model.unapplied or model.aliases == model.moves[-1].aliases:
                break
            time.sleep(0.02)  # read across a move; if it stays so, the aliases were changed through MLflow
        return model

    def every_version(self, name: str) -> "list[ModelVersion]":
        """All versions MLflow has, half-registered ones too."""
        search = self.client.search_model_versions
        return list(_pages(lambda **page: search(f"name = '{name}'", **page)))

    def versions(self, model: Model) -> "dict[int, ModelVersion]":
        """The whole versions, newest first."""
        found = {int(entry.version): entry for entry in self.every_version(model.name) if model.shows(entry)}
        return dict(sorted(found.items(), reverse=True))

    def create(self, name: str) -> None:
        """Create the name unless it is there."""
        _unless("RESOURCE_ALREADY_EXISTS", lambda: self.client.create_registered_model(name))

    def reserve(self, name: str, home: Path, tags: Mapping[str, str], run_id: str | None) -> int:
        """Create the next version, not yet visible, whose folder in ``home`` is free; returns its number."""
        guess = 1 + max((int(entry.version) for entry in self.every_version(name)), default=0)
        while True:
            target = home / str(guess)
            created = self.client.create_model_version(
                name,
                str(target) if self.plain_sources else f"headwater:{target}",
                run_id=run_id,
                tags={**tags, _PATH: str(target), _STATE: _PENDING},
                await_creation_for=0,
            )
            number = int(created.version)
            if number == guess and not target.exists():
                return number
            # The number was used by a deleted version, or its folder by a registry with another database.
            self.client.delete_model_version(name, str(number))
            guess = number + 1

    def move(self, model: Model, action: str, version: int, change: Mapping[str, int]) -> None:
        """Commit and apply a change of aliases; a ``register`` move makes its version visible.

        Raises RuntimeError when another machine moved the aliases of a shared server at the same moment.
        """
        known = {*self.versions(model), version}
        aliases = {a: n for a, n in sorted({**model.aliases, **change}.items()) if n in known}
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        model.moves = (*model.moves, Move(at, action, version, aliases))
        self.client.set_registered_model_tag(model.name, _MOVES, dump_moves(model.moves))  # the commit
        self.apply(model)
        after = self.find(model.name)
        if after is None or after.aliases != aliases:
            raise RuntimeError(
                f"the aliases of {model.name!r} were moved from another machine at the same moment; look at "
                "`headwater models show` and repeat the command if it is still wanted."
            )

    def apply(self, model: Model) -> None:
        """Make MLflow's aliases follow the last move; every step may be repeated."""
        last, current = model.moves[-1], model.stored
        existing = {int(entry.version) for entry in self.every_version(model.name)}
        if last.action == "register" and last.version in existing:
            self.client.set_model_version_tag(model.name, str(last.version), _STATE, _READY)
        for alias, number in last.aliases.items():
            if current.get(alias) != number and number in existing:  # it may have been deleted through MLflow
                self.client.set_registered_model_alias(model.name, alias, str(number))
        for alias in current.keys() - last.aliases.keys():
            self.client.delete_registered_model_alias(model.name, alias)
        model.moves = (*model.moves[:-1], last.done())
        self.client.set_registered_model_tag(model.name, _MOVES, dump_moves(model.moves))


def describe(metrics: Mapping[str, Any], recipe_toml: str, fingerprint: str) -> dict[str, str]:
    """The tags of a new version; ``headwater.id`` among them is fresh and unique."""
    try:
        recipe = tomllib.loads(recipe_toml)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"the recipe to register is not valid TOML: {error}.") from None
    tags: dict[str, str] = {k: str(recipe[k]) for k in ("task", "method", "backbone") if k in recipe}
    tags |= {mlflow_key(f"metric.{key}"): f"{value:.6g}" for key, value in metric_values(metrics).items()}
    return {**tags, METRICS: to_json(metrics), FINGERPRINT: fingerprint, _ID: uuid.uuid4().hex}


def identity(tags: Mapping[str, str]) -> str | None:
    """The id shared by a version's row and its folder."""
    return tags.get(_ID)


def recorded_path(version: "ModelVersion") -> Path:
    """Where the version's folder was put when it was registered."""
    return Path(version.tags.get(_PATH) or version.source or "")


def _unless(code: str, call: Callable[[], Any]) -> Any:
    """What ``call`` returns, or None when MLflow answers with the error ``code``."""
    try:
        return call()
    except Exception as error:
        if getattr(error, "error_code", None) == code:
            return None
        raise


def _pages(search: Callable[..., Any]) -> Iterator[Any]:
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return
