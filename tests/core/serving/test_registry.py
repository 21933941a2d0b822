"""The registry through its public functions, on a real MLflow database in a temporary folder."""

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.serving import folders, ledger
from core.serving.mlflow_client import connect
from core.serving.registry import Registry
from core.serving.versions import parse_reference
from core.settings import PROJECT_ROOT, Settings, get_settings

RECIPE = 'name = "intents"\ntask = "classification"\nmethod = "lora"\n'


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's schema is created once; each test starts from a copy of the file."""
    var = tmp_path_factory.mktemp("template")
    lines: list[str] = []
    (var / "mlflow.db").touch()  # an empty file is a database not yet made
    connect(Settings(var=var), progress=lines.append)
    assert len(lines) == 1 and "mlflow.db" in lines[0]
    assert not list(var.glob("*.new")), "a half-made database was left"
    return var / "mlflow.db"


@pytest.fixture
def registry(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    var = tmp_path / "var"
    var.mkdir()
    shutil.copy(empty_database, var / "mlflow.db")
    monkeypatch.setenv("HEADWATER_VAR", str(var))
    monkeypatch.delenv("HEADWATER_TRACKING_URI", raising=False)
    return Registry(get_settings())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tuned"
    (made / "adapter").mkdir(parents=True)
    (made / "adapter" / "weights.bin").write_bytes(bytes(range(256)) * 50)
    (made / "README.md").write_text("# Card")
    (made / "labels.json").write_text('["a", "b"]')
    return made


def register(registry: Registry, folder: Path, name: str = "intents", **metrics: object) -> int:
    return registry.register(name, folder, metrics, RECIPE, "f1")


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


# -- a kill at any point: os._exit stands where kill -9 would, after the n-th step that changes anything

_STEPS = [
    (folders, "copy_in"),
    (folders, "put_in_place"),
    (folders, "remove"),
]
_CLIENT_STEPS = [
    "create_registered_model",
    "create_model_version",
    "set_registered_model_tag",
    "set_model_version_tag",
    "set_registered_model_alias",
]


class Killed(BaseException):
    """Stands for kill -9: nothing in the product catches it."""


@contextlib.contextmanager
def killed_after(registry: Registry, step: int) -> Iterator[list[str]]:
    """Let ``step`` changes happen and stop the next one; afterwards no further change goes through."""
    done: list[str] = []

    def counted(name: str, original: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if len(done) >= step:
                raise Killed
            done.append(name)
            return original(*args, **kwargs)

        return call

    client = registry._ledger().client
    with pytest.MonkeyPatch.context() as patch:
        for module, name in _STEPS:
            patch.setattr(module, name, counted(name, getattr(module, name)))
        for name in _CLIENT_STEPS:
            patch.setattr(client, name, counted(name, getattr(client, name)))
        yield done


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_registration_stopped_at_any_step_is_whole_or_absent(registry: Registry, folder: Path, earlier: int) -> None:
    """Every step in turn; readers agree at each point and the next registration tidies up."""
    name, outcomes = "intents", []
    for step in range(30):
        name = f"intents-{step}"
        for _ in range(earlier):
            register(registry, folder, name)
        with killed_after(registry, step) as done:
            try:
                register(registry, folder, name)
                finished = True
            except Killed:
                finished = False
        seen = {info.name: info for info in Registry(registry.settings).list()}
        info = seen.get(name)
        numbers = [v.version for v in info.versions] if info else []
        outcomes.append(len(numbers) - earlier)
        assert outcomes[-1] in (0, 1), done
        if info is not None:
            alias = "challenger" if earlier else "production"
            assert all(v.path is not None and (v.path / "labels.json").is_file() for v in info.versions)
            assert info.aliases.get(alias, 0) == (numbers[0] if len(numbers) > earlier or not earlier else 0)
        assert register(registry, folder, name) > max(numbers, default=0)
        on_disk = {p.name for p in (registry.settings.models / name).iterdir()}
        assert on_disk == {str(v.version) for v in registry.model(name).versions}, done
        if finished:
            break
    assert finished and outcomes[0] == 0 and outcomes[-1] == 1
    assert outcomes == sorted(outcomes), "once visible, a version must stay visible"


def test_a_promotion_stopped_at_any_step_happened_or_did_not(registry: Registry, folder: Path) -> None:
    for _ in range(2):
        register(registry, folder)
    before, after = {"production": 1, "challenger": 2}, {"production": 2, "previous": 1, "challenger": 2}
    for step in range(10):
        registry.promote("intents", 1)
        connect(registry.settings).set_registered_model_tag("intents", "headwater.moves", "[]")
        with contextlib.suppress(Exception):
            connect(registry.settings).delete_registered_model_alias("intents", "previous")
        with killed_after(registry, step) as done:
            try:
                registry.promote("intents", 2)
                finished = True
            except Killed:
                finished = False
        assert Registry(registry.settings).model("intents").aliases == (before if step == 0 else after), done
        if finished:
            break
        registry.rollback("intents") if step else None  # completes the move first, then undoes it
    assert finished and len(done) == 4


_KILLED_CHILD = """
import os, sys, time
from core.serving.registry import Registry
from core.settings import get_settings
registry = Registry(get_settings())
registry.list()
print("ready", flush=True)
while True:
    registry.register("intents", sys.argv[1], {"accuracy": 0.9}, 'task = "classification"', "f")
"""


def spawn(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=PROJECT_ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_kill_9_during_registrations_leaves_only_whole_versions(registry: Registry, folder: Path) -> None:
    child = spawn(_KILLED_CHILD, str(folder))
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    time.sleep(0.7)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    infos = registry.list()
    for version in infos[0].versions if infos else ():
        assert version.path is not None
        assert (version.path / "adapter" / "weights.bin").read_bytes() == bytes(range(256)) * 50
    started = time.monotonic()
    newest = register(registry, folder)
    assert time.monotonic() - started < 10, "a killed process must not hold its lock"
    on_disk = {p.name for p in (registry.settings.models / "intents").iterdir()}
    info = registry.model("intents")
    assert info.latest == newest and on_disk == {str(v.version) for v in info.versions}


_HAMMER = """
import random, sys, time
from core.serving.ledger import Ledger
from core.serving.registry import Registry
from core.settings import get_settings
def dawdle(read):  # between reading and writing, where a missing lock would do its damage
    def call(*arguments):
        found = read(*arguments)
        time.sleep(dice.random() * 0.06)
        return found
    return call
Ledger.versions = dawdle(Ledger.versions)
made, move = [], Ledger.move
def counted(*arguments):
    move(*arguments)
    made.append(arguments)
Ledger.move = counted
registry, dice = Registry(get_settings()), random.Random(int(sys.argv[1]))
registry.list()
print("ready", flush=True)
sys.stdin.readline()  # both start at once
for _ in range(8):  # with the four before them, no more moves than a history keeps
    if dice.random() < 0.3:
        registry.rollback("intents")
    else:
        registry.promote("intents", dice.randint(1, 3))
print(len(made))
"""


def test_processes_that_promote_and_roll_back_at_once_keep_every_promise(registry: Registry, folder: Path) -> None:
    for _ in range(3):
        register(registry, folder)
    registry.promote("intents", 2)
    children = [spawn(_HAMMER, str(seed)) for seed in range(2)]
    for child in children:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    reads = 0
    while any(child.poll() is None for child in children):
        info = registry.model("intents")  # a reader among the writers
        reads += 1
        time.sleep(0.05)
        assert {info.aliases["production"], info.aliases["previous"]} <= {1, 2, 3}
        assert info.aliases["production"] != info.aliases["previous"]
    printed = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0] and reads > 3
    info = registry.model("intents")
    # Without a lock one process writes its history over the other's, and what is left still reads as consistent.
    assert len(info.history) == 4 + sum(map(int, printed)), "a move was lost"
    history = [move for move in info.history if "previous" in move.aliases]
    assert len(history) > 5 and all(move.applied for move in history)
    for old, new in zip(history, history[1:], strict=False):
        assert new.aliases["previous"] == old.aliases["production"], "a move was lost between two others"
        if new.action == "rollback":
            assert new.aliases["production"] == old.aliases["previous"]
    assert info.aliases == history[-1].aliases
    stored = connect(registry.settings).get_registered_model("intents").aliases
    assert {alias: int(number) for alias, number in stored.items()} == info.aliases


def test_two_first_starts_at_once_make_one_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_VAR", str(tmp_path / "new"))
    script = """
from core.serving.registry import Registry
from core.settings import get_settings
print(len(Registry(get_settings()).list()))
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=PROJECT_ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for child in children:
        assert child.communicate() == ("0\n", ""), "and quietly"
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [".mlflow.db.lock", "mlflow.db"]


# -- databases and servers that cannot be used


def _sentence(settings: Settings, seconds: float = 8) -> str:
    started = time.monotonic()
    with pytest.raises(InputError) as caught:
        Registry(settings).list()
    assert time.monotonic() - started < seconds
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("hello, I am a text file\n" * 100)
    assert "is not an SQLite database" in _sentence(Settings(var=tmp_path))


def test_a_database_of_another_program(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("CREATE TABLE music (title TEXT)")
        database.commit()
    assert "not one of MLflow's" in _sentence(Settings(var=tmp_path))


def test_a_damaged_database(registry: Registry, folder: Path) -> None:
    register(registry, folder)
    file = registry.settings.var / "mlflow.db"
    content = bytearray(file.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    file.write_bytes(content)
    assert "mlflow.db" in _sentence(registry.settings)


def test_a_locked_database(registry: Registry, folder: Path) -> None:
    register(registry, folder)
    with contextlib.closing(sqlite3.connect(registry.settings.var / "mlflow.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        assert registry.show("intents").version == 1, "reading goes on beside a writer"
        started = time.monotonic()
        with pytest.raises(InputError, match="locked"):
            register(registry, folder)
        assert time.monotonic() - started < 8
        other.rollback()
        other.execute("BEGIN EXCLUSIVE")
        assert "locked" in _sentence(registry.settings)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody may write: /proc")
def test_a_folder_that_cannot_be_written() -> None:
    assert "cannot be created" in _sentence(Settings(var=Path("/proc/self/headwater")))


def test_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be created" in _sentence(Settings(var=tmp_path / "file" / "var"))


def test_a_server_that_is_away() -> None:
    sentence = _sentence(Settings(tracking_uri="http://user:secret@127.0.0.1:9/"))
    assert "cannot be reached" in sentence and "secret" not in sentence


def test_a_server_that_is_not_mlflow() -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(500)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert "cannot be used" in _sentence(Settings(tracking_uri=f"http://127.0.0.1:{server.server_port}"), 15)
    finally:
        server.shutdown()


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
