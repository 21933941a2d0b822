"""Registered model versions and their aliases, kept by MLflow (``core.serving.mlflow_client``).

A name's first version becomes ``production``; later ones become ``challenger`` until they are promoted.
Two commands at once cannot corrupt anything: writers on one machine exclude each other by lock files under
``var/locks``, and ``core.serving.ledger`` makes each change of aliases atomic. On a server shared by several
machines, a change that was overtaken by another is reported, not hidden. The model folders stay under
``settings.models`` of the machine that registered them, or wherever that folder is shared.
"""

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InputError
from core.serving import folders
from core.serving import tracking_server as server
from core.serving import versions as v
from core.serving.ledger import FINGERPRINT, METRICS, Ledger, Model, describe, identity, recorded_path
from core.serving.mlflow_client import Progress, clear_errors, connect, is_there
from core.settings import Settings

if TYPE_CHECKING:
    from core.serving.mlflow_client import ModelVersion


class Registry:
    """Versions of tuned models by name; see the module's text for its promises."""

    def __init__(self, settings: Settings, progress: Progress | None = None) -> None:
        """Nothing is opened before first use; ``progress`` is told when that creates the database."""
        self.settings = settings
        self.progress = progress
        self._opened: Ledger | None = None

    def register(
        self,
        name: str,
        folder: str | Path,
        metrics: Mapping[str, Any],
        recipe_toml: str,
        fingerprint: str,
        run_id: str | None = None,
    ) -> int:
        """Copy a tuned model's folder into the registry as the next version of ``name``; returns its number.

        The version becomes visible, whole and with its alias, in one transaction at the end. What a killed
        registration left behind is removed by the next one of the same name.
        """
        v.check_name(name)
        tags = describe(metrics, recipe_toml, fingerprint)
        folders.check(Path(folder), self._home(name))
        ledger, home = self._ledger(), self._home(name)
        marker = {"id": identity(tags), "name": name, "fingerprint": fingerprint, "run_id": run_id}
        with self._lock(name, "register", 600), clear_errors(self.settings.mlflow_uri):
            self._check_writable()
            ledger.create(name)
            self._clean(name)
            copy = folders.copy_in(Path(folder), home, marker, recipe_toml)
            try:
                version = ledger.reserve(name, home, tags, run_id)
                folders.put_in_place(copy, home / str(version))
            finally:
                folders.remove(copy)
            with self._moving(name) as model:
                alias = v.CHALLENGER if ledger.versions(model) else v.PRODUCTION
                ledger.move(model, "register", version, {alias: version})
        return version

    def list(self) -> Sequence[v.ModelInfo]:
        """Every name with at least one whole version, by name."""
        ledger = self._ledger()
        with clear_errors(self.settings.mlflow_uri):
            infos = [self._info(name) for name in ledger.names()]
        return [info for info in infos if info is not None]

    def model(self, name: str) -> v.ModelInfo:
        """All versions, aliases and moves of one name. Raises InputError naming the closest known one."""
        self._ledger()
        with clear_errors(self.settings.mlflow_uri):
            info = self._info(name)
        if info is None:
            raise InputError(self._unknown(name))
        return info

    def show(self, reference: str) -> v.VersionInfo:
        """One version: ``name`` (production, else the latest), ``name@alias``, ``name:3`` or ``name@3``."""
        wanted = v.parse_reference(reference)
        info = self.model(wanted.name)
        number = wanted.version
        if number is None and wanted.alias is None:
            number = info.aliases.get(v.PRODUCTION, info.latest)
        elif number is None:
            number = info.latest if wanted.alias == v.LATEST else info.aliases.get(str(wanted.alias))
        if number is None:
            near = difflib.get_close_matches(str(wanted.alias), info.aliases, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            known = ", ".join(info.aliases) or "none"
            raise InputError(f"model {info.name!r} has no alias {wanted.alias!r} among {known}{hint}")
        for version in info.versions:
            if version.version == number:
                return version
        raise InputError(_no_version(info.name, number, [known.version for known in info.versions]))

    def promote(self, name: str, version: int, alias: str = v.PRODUCTION) -> v.ModelInfo:
        """Point ``alias`` at a version; for ``production``, ``previous`` then holds the version replaced.

        Promoting the version that already holds the alias changes nothing; ``challenger`` stays where it is.
        """
        v.check_alias(alias)
        ledger = self._ledger()
        with self._moving(name) as model:
            self._require(model, version)
            old = model.aliases.get(alias)
            if old != version:
                change = {alias: version}
                if alias == v.PRODUCTION and old is not None:
                    change[v.PREVIOUS] = old
                ledger.move(model, "promote", version, change)
        if old != version:
            self._note("model-promote", name, alias=alias, version=version, before=old)
        return self.model(name)

    def rollback(self, name: str) -> v.ModelInfo:
        """Swap ``production`` and ``previous``; a second rollback therefore undoes the first."""
        ledger = self._ledger()
        with self._moving(name) as model:
            previous, current = model.aliases.get(v.PREVIOUS), model.aliases.get(v.PRODUCTION)
            if previous is None or current is None:
                raise InputError(f"model {name!r} has no previous production version; promote one instead.")
            self._require(model, previous)
            ledger.move(model, "rollback", previous, {v.PRODUCTION: previous, v.PREVIOUS: current})
        self._note("model-rollback", name, version=previous, before=current)
        return self.model(name)

    def resolve(self, reference: str | Path) -> Path:
        """The folder of a tuned model: a folder's path as it is, or a reference as in ``show``.

        A bare word is taken as a folder only when that folder holds a tuned model; ``./word`` always is.
        """
        text = str(reference)
        if isinstance(reference, Path) or folders.looks_like_path(text):
            folder = Path(text).expanduser()
            if not folder.is_dir():
                raise InputError(f"{text}: there is no such folder; check the path or name a model.")
            return folder
        name = v.parse_reference(text).name
        if not is_there(self.settings):  # whoever only looks does not wait until it is made
            raise InputError(_empty(name))
        version = self.show(text)
        if version.path is None:
            raise InputError(self._gone(version.name, version.version))
        return version.path

    def _note(self, action: str, name: str, **detail: Any) -> None:
        from core.access import audit

        audit.note(self.settings, action, f"model {name}", **detail)

    def _ledger(self) -> Ledger:
        if self._opened is None:
            client = connect(self.settings, self.progress)
            self._opened = Ledger(client, plain_sources=not self.settings.mlflow_uri.startswith("http"))
        return self._opened

    def _check_writable(self) -> None:
        # Only for holders of a lock: our own writers must not find the database locked by each other.
        file = server.sqlite_file(self.settings.mlflow_uri)
        if file is not None:
            server.check_sqlite(file, write=True)

    def _home(self, name: str) -> Path:
        return self.settings.models.resolve() / name

    def _lock(self, name: str, kind: str, seconds: float) -> contextlib.AbstractContextManager[None]:
        return server.locked(self.settings.var / "locks" / f"{kind}-{name}.lock", seconds, f"model {name!r}")

    @contextlib.contextmanager
    def _moving(self, name: str) -> Iterator[Model]:
        """Exclusive use of a name's aliases, any half-done move completed first."""
        v.check_name(name)
        ledger = self._ledger()
        with self._lock(name, "move", 60), clear_errors(self.settings.mlflow_uri):
            self._check_writable()
            model = ledger.find(name)
            if model is not None and model.unapplied:
                ledger.apply(model)
                model = ledger.find(name)
            if model is None:
                raise InputError(self._unknown(name))
            yield model

    def _clean(self, name: str) -> None:
        """Remove what killed registrations left; only for the holder of the registration lock."""
        with self._moving(name) as model:
            for entry in self._ledger().every_version(name):
                if not model.shows(entry):
                    folder = self._folder(entry)
                    if folder is not None:
                        folders.remove(folder)
                    self._ledger().client.delete_model_version(name, str(entry.version))
        folders.sweep(self._home(name))

    def _require(self, model: Model, version: int) -> None:
        versions = self._ledger().versions(model)
        if not versions:
            raise InputError(self._unknown(model.name))
        if version not in versions:
            raise InputError(_no_version(model.name, version, versions))
        if self._folder(versions[version]) is None:
            raise InputError(self._gone(model.name, version))

    def _info(self, name: str) -> v.ModelInfo | None:
        model = self._ledger().find(name)
        versions = {} if model is None else self._ledger().versions(model)
        if model is None or not versions:
            return None
        aliases = {a: n for a, n in sorted(model.aliases.items()) if n in versions}
        infos = tuple(self._version(entry, aliases) for entry in versions.values())
        return v.ModelInfo(name, aliases, infos, model.moves)

    def _version(self, entry: "ModelVersion", aliases: Mapping[str, int]) -> v.VersionInfo:
        number, tags, path = int(entry.version), entry.tags, self._folder(entry)
        card = None if path is None else path / "README.md"
        return v.VersionInfo(
            name=entry.name,
            version=number,
            task=tags.get("task"),
            method=tags.get("method"),
            metrics=v.from_json(tags.get(METRICS)),
            aliases=tuple(a for a, n in aliases.items() if n == number),
            path=path,
            card=card if card is not None and card.is_file() else None,
            created=datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC),
            fingerprint=tags.get(FINGERPRINT),
            run_id=entry.run_id or None,
        )

    def _folder(self, entry: "ModelVersion") -> Path | None:
        # The registry's own place first: var may have been moved since the registration.
        places = (self._home(entry.name) / str(entry.version), recorded_path(entry))
        return next((place for place in places if folders.belongs(place, identity(entry.tags))), None)

    def _unknown(self, name: str) -> str:
        known = [info.name for info in self.list()]
        if not known:
            return _empty(name)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        return f"there is no registered model {name!r} among {', '.join(known)}{hint}"

    def _gone(self, name: str, version: int) -> str:
        return (
            f"the folder {self._home(name) / str(version)} of {name}:{version} is gone or another's; "
            "restore it or choose another version."
        )


def _empty(name: str) -> str:
    return f"no model {name!r}: the registry is empty; run headwater tune first, or name a folder."


def _no_version(name: str, version: int, known: Iterable[int]) -> str:
    numbers = ", ".join(str(number) for number in sorted(known))
    return f"model {name!r} has no version {version}; its versions: {numbers}."
