"""Texts of the interface in English and Chinese, from one TOML file a dashboard."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = {"en": "English", "zh": "中文"}
_FOLDER = Path(__file__).resolve().parent.parent / "strings"


@dataclass(frozen=True)
class Texts:
    """Looks texts up: ``t("desk.accept")``, ``t("desk.found", n=3)``. An unknown key is an error, not a blank."""

    language: str
    values: dict[str, dict[str, Any]]

    def __call__(self, key: str, /, **values: Any) -> str:
        """The text in the chosen language, ``{placeholders}`` filled. Raises KeyError."""
        found: Any = self.values[key]
        return str(found[self.language]).format(**values) if values else str(found[self.language])


@cache
def load(*names: str) -> dict[str, dict[str, Any]]:
    """The texts of ``strings/NAME.toml`` files: each table is a key with one entry for every language."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        _flatten(tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8")), "", found)
    return found


def _flatten(table: dict[str, Any], prefix: str, into: dict[str, dict[str, Any]]) -> None:
    if set(table) == set(LANGUAGES):
        into[prefix] = table
        return
    for name, part in table.items():
        key = f"{prefix}.{name}" if prefix else name
        if not isinstance(part, dict):
            raise ValueError(f"strings: {key} must have exactly the languages {', '.join(LANGUAGES)}")
        _flatten(part, key, into)
