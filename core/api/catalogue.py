"""Which models a name may mean over HTTP: registered, shipped, or an installed backbone; never a path."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.api.problems import NotFound
from core.errors import InputError
from core.settings import PROJECT_ROOT, Settings

SHIPPED = PROJECT_ROOT / "data" / "adapters"


@dataclass(frozen=True)
class Source:
    """One model on this machine: ``place`` is its folder, or a backbone's catalogue name."""

    name: str
    version: int | None
    place: Path | str


@dataclass(frozen=True)
class Row:
    """One line of ``/v1/models``."""

    name: str
    source: str
    task: str
    version: int | None = None
    aliases: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "name": self.name,
            "source": self.source,
            "task": self.task,
            "version": self.version,
            "aliases": self.aliases,
        }


class Catalogue:
    """Finds models by name. Reads the registry each time; callers keep what they got for a while."""

    def __init__(self, settings: Settings, shipped: Path = SHIPPED) -> None:
        self.settings, self.shipped = settings, shipped

    def find(self, reference: str) -> Source:
        """The model of ``name``, ``name@alias`` or ``name:version``. Raises NotFound.

        One's own model comes before a shipped adapter of the same name, a backbone's name is always the backbone.
        """
        from core.models.catalog import CATALOG
        from core.serving.versions import parse_reference

        unknown = NotFound(f"There is no model {reference[:80]!r} here; GET /v1/models lists those there are.")
        try:
            wanted = parse_reference(reference)
        except InputError:
            raise unknown from None
        bare = wanted.version is None and wanted.alias is None
        if bare and wanted.name in CATALOG:
            if wanted.name not in _backbones():
                raise unknown
            return Source(wanted.name, None, wanted.name)
        registry = self._registry()
        if registry is not None:
            try:
                version = registry.show(reference)
            except InputError:
                version = None
            if version is not None and version.path is not None:
                return Source(version.name, version.version, version.path)
        # The name has been checked to hold neither a separator nor a leading dot.
        folder = self.shipped / wanted.name
        if bare and (folder / "recipe.toml").is_file():
            return Source(wanted.name, None, folder)
        raise unknown

    def list(self) -> list[Row]:
        """Everything that can be named, by name."""
        from core.tuning.recipe import Recipe

        registry = self._registry()
        rows = {
            folder.name: Row(folder.name, "shipped", Recipe.load(folder / "recipe.toml").task)
            for folder in sorted(self.shipped.glob("*"))
            if (folder / "recipe.toml").is_file()
        }
        for model in registry.list() if registry is not None else ():
            used = model.aliases.get("production", model.latest)
            task = next((v.task for v in model.versions if v.version == used), None)
            rows[model.name] = Row(model.name, "registered", task or "unknown", used, dict(model.aliases))
        rows |= {name: Row(name, "backbone", "embedding") for name in _backbones()}
        return [rows[name] for name in sorted(rows)]

    def _registry(self) -> Any:
        """None while there is no registry: asking would create it, which takes seconds."""
        from core.serving.tracking_server import sqlite_file

        file = sqlite_file(self.settings.mlflow_uri)
        if file is not None and not file.exists():
            return None
        from core.serving.registry import Registry

        return Registry(self.settings)


def _backbones() -> list[str]:
    from core.models.sources import describe

    return [row["name"] for row in describe() if row["installed"] and row["kind"] == "encoder"]
