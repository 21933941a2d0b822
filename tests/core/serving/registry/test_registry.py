"""The registry through its public functions, on a real MLflow database in a temporary folder."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.serving import ledger
from core.serving.mlflow_client import connect
from core.serving.registry import Registry
from core.serving.versions import parse_reference
from core.settings import PROJECT_ROOT
from tests.core.serving.registry.conftest import RECIPE, register


def test_first_version_becomes_production_and_later_ones_challenger(registry: Registry, folder: Path) -> None:
    assert [register(registry, folder) for _ in range(3)] == [1, 2, 3]
    assert registry.model("intents").aliases == {"production": 1, "challenger": 3}


def test_show_returns_what_was_registered(registry: Registry, folder: Path) -> None:
    interval = {"value": 0.9, "low": 0.8, "high": 0.95}
    metrics = {"accuracy": interval, "mrr@10": 0.5, "loss": float("nan")}
    registry.register("intents", folder, metrics, RECIPE, "f1", run_id="r1")
    shown = registry.show("intents:1")
    assert (shown.task, shown.method, shown.fingerprint, shown.run_id) == (
        "classification",
        "lora",
        "f1",
        "r1",
    )
    assert shown.metrics == {"accuracy": interval, "mrr@10": 0.5, "loss": None}
    assert shown.card is not None and shown.card.read_text() == "# Card"
    assert shown.path == registry.settings.models.resolve() / "intents" / "1"
    assert (shown.path / "adapter" / "weights.bin").read_bytes() == bytes(range(256)) * 50
    assert (shown.path / "recipe.toml").read_text() == RECIPE
    json.dumps([info.to_dict() for info in registry.list()], allow_nan=False)


def test_the_copy_is_independent_of_the_source(registry: Registry, folder: Path) -> None:
    register(registry, folder)
    shutil.rmtree(folder)
    assert (registry.resolve("intents") / "labels.json").is_file()


def test_promote_and_rollback_move_production_and_previous(registry: Registry, folder: Path) -> None:
    for _ in range(3):
        register(registry, folder)
    assert registry.promote("intents", 2).aliases == {"production": 2, "previous": 1, "challenger": 3}
    assert registry.promote("intents", 2).aliases["previous"] == 1, "promoting it again must change nothing"
    assert registry.rollback("intents").aliases == {"production": 1, "previous": 2, "challenger": 3}
    assert registry.rollback("intents").aliases == {"production": 2, "previous": 1, "challenger": 3}
    assert registry.promote("intents", 3, alias="staging").aliases["staging"] == 3
    assert [move.action for move in registry.model("intents").history] == [
        *["register"] * 3,
        "promote",
        *["rollback"] * 2,
        "promote",
    ]


def test_resolve_understands_every_kind_of_reference(registry: Registry, folder: Path) -> None:
    register(registry, folder)
    register(registry, folder)
    home = registry.settings.models.resolve() / "intents"
    for reference, version in {
        "intents": "1",
        "intents@production": "1",
        "intents@challenger": "2",
        "intents:2": "2",
        "intents@2": "2",
        "intents@latest": "2",
    }.items():
        assert registry.resolve(reference) == home / version
    assert registry.resolve(folder) == folder
    assert registry.resolve(str(folder)) == folder


def test_plain_name_is_the_latest_version_without_production(registry: Registry, folder: Path) -> None:
    register(registry, folder)
    register(registry, folder)
    connect(registry.settings).delete_registered_model_alias("intents", "production")
    assert registry.resolve("intents").name == "2"


def test_a_bare_word_is_a_folder_only_if_it_holds_a_model(
    registry: Registry, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(registry, folder)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "intents").mkdir()
    assert registry.resolve("intents").name == "1"
    assert registry.resolve("./intents").resolve() == tmp_path / "intents"
    assert registry.resolve("tuned").resolve() == folder


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("intnets", ["did you mean 'intents'"]),
        ("intents@prodution", ["challenger, production", "did you mean 'production'"]),
        ("intents:7", ["no version 7", "1, 2"]),
        ("./nowhere", ["no such folder"]),
        ("Intents!", ["names no model"]),
        ("intents@", ["names no model"]),
        ("", ["names no model"]),
    ],
)
def test_wrong_references_say_what_exists(registry: Registry, folder: Path, reference: str, words: list[str]) -> None:
    register(registry, folder)
    register(registry, folder)
    with pytest.raises(InputError) as caught:
        registry.resolve(reference)
    assert all(word in str(caught.value) for word in words)


def test_empty_registry_and_lost_folders_are_said(registry: Registry, folder: Path) -> None:
    assert registry.list() == []
    with pytest.raises(InputError, match="registry is empty"):
        registry.resolve("intents")
    register(registry, folder)
    register(registry, folder)
    shutil.rmtree(registry.settings.models / "intents" / "2")
    for call in (lambda: registry.resolve("intents:2"), lambda: registry.promote("intents", 2)):
        with pytest.raises(InputError, match="intents:2 is gone"):
            call()
    assert registry.show("intents:2").path is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda r, f: register(r, f / "absent"), "no such folder"),
        (lambda r, f: register(r, f / "README.md"), "no such folder"),
        (lambda r, f: register(r, f, name="../up"), "not valid"),
        (lambda r, f: register(r, f.parent), "contains the registry"),
        (lambda r, f: r.register("intents", f, {}, "name = ", "f"), "not valid TOML"),
        (lambda r, f: r.promote("absent", 1), "registry is empty"),
        (lambda r, f: r.promote("intents", 1, alias="previous"), "kept by the registry"),
        (lambda r, f: r.promote("intents", 1, alias="v1"), "not valid"),
        (lambda r, f: r.rollback("absent"), "registry is empty"),
    ],
)
def test_wrong_use_is_refused_and_leaves_nothing(
    registry: Registry, folder: Path, call: Callable[[Registry, Path], object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        call(registry, folder)
    assert registry.list() == [] and not list(registry.settings.models.glob("*/*"))


def test_rollback_without_previous_is_refused(registry: Registry, folder: Path) -> None:
    register(registry, folder)
    with pytest.raises(InputError, match="no previous"):
        registry.rollback("intents")


def test_another_registrys_folder_of_the_same_number_is_never_taken_or_removed(
    registry: Registry, folder: Path
) -> None:
    foreign = registry.settings.models / "intents" / "1"
    foreign.mkdir(parents=True)
    (foreign / "weights").write_text("theirs")
    assert register(registry, folder) == 2
    assert (foreign / "weights").read_text() == "theirs"
    assert registry.model("intents").aliases == {"production": 2}


# -- rules


def test_one_file_alone_imports_mlflow() -> None:
    importing = re.compile(r"^\s*(from|import)\s+mlflow\b|import_module\(\s*[\"']mlflow", re.MULTILINE)
    runtime = {
        path.relative_to(PROJECT_ROOT).as_posix()
        for package in ("core", "verticals", "dashboards")
        for path in (PROJECT_ROOT / package).rglob("*.py")
        if importing.search(path.read_text())
    }
    assert runtime == {"core/serving/mlflow_client.py"}


def test_importing_the_registry_is_light() -> None:
    script = "import sys, core.serving.registry, core.serving.tracking; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert {"mlflow", "torch", "sqlalchemy", "pandas"}.isdisjoint(loaded.stdout.split())
    assert "core" in loaded.stdout.split()


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_a_sentence(text: str) -> None:
    try:
        found = parse_reference(text)
    except InputError as error:
        assert "names no model" in str(error)
        return
    assert text.startswith(found.name) and (found.alias is None or found.version is None)


@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True), st.integers(0, 10**6))
def test_version_references_round_trip(name: str, version: int) -> None:
    assert parse_reference(f"{name}:{version}") == parse_reference(f"{name}@{version}")
    assert parse_reference(f"{name}:{version}").version == version


@given(st.dictionaries(st.text(max_size=5), st.floats() | st.integers() | st.text(max_size=3) | st.none()))
def test_metrics_survive_as_strict_json(metrics: dict[str, object]) -> None:
    tags = ledger.describe(metrics, RECIPE, "f")
    kept = json.loads(tags[ledger.METRICS], parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert kept.keys() == metrics.keys()
