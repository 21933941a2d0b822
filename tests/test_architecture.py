"""The dependency rule: dashboards -> verticals -> core, and the order of rooms within core."""

import shutil
import subprocess
import sys
from pathlib import Path

from core.settings import PROJECT_ROOT

LINTER = Path(sys.executable).with_name("lint-imports")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(LINTER), "--no-cache"], cwd=folder, capture_output=True, text=True)


def test_imports_keep_the_rule() -> None:
    found = lint(PROJECT_ROOT)
    assert found.returncode == 0, found.stdout


def test_a_forbidden_import_is_found(tmp_path: Path) -> None:
    for name in ("core", "verticals", "dashboards"):
        shutil.copytree(PROJECT_ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT_ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "core" / "data" / "splits.py").open("a", encoding="utf-8") as stream:
        stream.write("\nimport core.serving.registry\n")
    found = lint(tmp_path)
    assert found.returncode != 0
    assert "core.data.splits -> core.serving.registry" in found.stdout
