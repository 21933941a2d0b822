"""Is a small language model good enough to write a support bot's replies: ``python -m benchmarks.generation``.

Questions and answers are BankFAQs', those whose answer is short enough to be written whole. ``closed book``: the model
is given the question alone, and what it says is held against the true answer. ``with passage``: it is given what the
bot's rewriter gives it, with the passage that the bot's retrieval finds first (the FAQs' own questions are not
indexed), and what it says is held against that passage; beside it stand the sentences that the bot quotes without any
language model, and the bot's way of using one: a reply that its check refuses gives way to the quote.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import store
from benchmarks.generation_data import SEED, WAYS, Row, prompt_of, questions
from core.errors import InputError
from core.settings import PROJECT_ROOT, get_settings

UNTUNED, TUNED, QUOTED, CHECKED = "untuned", "tuned", "quoted", "tuned, else quoted"
RECIPE = PROJECT_ROOT / "data" / "recipes" / "generation.toml"
METRICS = ("chrf", "rouge_l", "accepted")
COMPARED = (
    ("closed book", TUNED, UNTUNED),
    ("with passage", TUNED, UNTUNED),
    ("with passage", TUNED, QUOTED),
    ("with passage", CHECKED, QUOTED),
)


@dataclass(frozen=True)
class Size:
    """How much is tuned, asked and written; replies have ``tokens`` tokens at most, true answers ``answer_tokens``."""

    train_rows: int = 300
    test_rows: int = 60
    epochs: float = 1.0
    learning_rate: float = 1e-3
    max_length: int = 256
    tokens: int = 96
    answer_tokens: int = 64


@dataclass(frozen=True)
class Study:
    """Where rows come from, what is tuned, and where results go."""

    out: Path
    file: Path
    work: Path
    backbone: str = "smollm2"
    size: Size = Size()
    encoder: Any = None
    fresh: bool = False
    show: int = 0

    @cached_property
    def rows(self) -> tuple[list[Row], list[Row]]:
        """Questions to tune on and questions to ask; see ``questions``."""
        from core.models.sources import load_tokenizer, resolve

        tokenizer, most = load_tokenizer(resolve(self.backbone)), self.size.answer_tokens
        encoder = self.encoder or _encoder()

        def fits(answer: str) -> bool:
            return len(tokenizer(answer)["input_ids"]) <= most

        train, test = questions(self.file, self.size.test_rows, fits, self.work, encoder)
        return train, test

    def part(self, name: str, key: Sequence[Any], measure: Callable[[], dict[str, Any]]) -> None:
        """Measure ``name`` unless it is there; what is missing is noted as the reason."""
        store.attempt(self.out, name, store.key_of(*key), measure, self.fresh)

    def run(self) -> None:
        """Every system, each a part, and what they differ by."""
        size = self.size
        asking = ["generation 1", self.backbone, size.test_rows, size.tokens, size.answer_tokens]
        tuning = [size.train_rows, size.epochs, size.learning_rate, size.max_length]
        self.part(f"{WAYS[1]}/{QUOTED}", asking, lambda: _quoted(self))
        for way in WAYS:
            self.part(f"{way}/{UNTUNED}", [*asking, way], lambda way=way: _untuned(self, way))  # type: ignore[misc]
            self.part(f"{way}/{TUNED}", [*asking, *tuning, way], lambda way=way: _tuned(self, way))  # type: ignore[misc]
        parts = store.read(self.out)["parts"]
        values = {name: part["values"] for name, part in parts.items() if "values" in part and "/" in name}
        if values:
            self.part("compared", ["compared 1", values], lambda: compared(values))


def judged(way: str, rows: Sequence[Row], replies: Sequence[str], seconds: Sequence[float]) -> dict[str, Any]:
    """Overlap with the true answers, the share that the bot's check accepts, and ms; numbers for each reply, no text.

    ``verbatim``: the share that stands word for word in what it is held against. Intervals are 95%: bootstrap over
    replies, Wilson's for the shares.
    """
    from core.evaluation.generation import chrf, rouge_l, tokens
    from core.evaluation.intervals import bootstrap, weighted_mean
    from core.evaluation.shares import wilson
    from verticals.support.rewrite import unfaithful

    against = [row.against(way) for row in rows]
    values = {
        "chrf": [chrf(reply, row.answer) for reply, row in zip(replies, rows, strict=True)],
        "rouge_l": [rouge_l(reply, row.answer) for reply, row in zip(replies, rows, strict=True)],
        "accepted": [float(not unfaithful(*pair)) for pair in zip(replies, against, strict=True)],
        "verbatim": [
            float(bool(reply) and f" {' '.join(tokens(reply))} " in f" {' '.join(tokens(text))} ")
            for reply, text in zip(replies, against, strict=True)
        ],
    }
    metrics = {name: bootstrap(weighted_mean, [values[name]]).to_dict() for name in ("chrf", "rouge_l")}
    for name in ("accepted", "verbatim"):
        low, high = wilson(sum(values[name]), len(rows))
        metrics[name] = {"value": float(np.mean(values[name])), "low": low, "high": high}
    return {
        "rows": {"test": len(rows)},
        "metrics": metrics,
        "ms": float(np.median(seconds)) * 1000,
        "passage_right": float(np.mean([row.right for row in rows])),
        "values": values,
    }


def compared(parts: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """``tuned, else quoted``, and the differences of ``COMPARED`` by a paired bootstrap over replies.

    ``parts``: values for each reply by ``way/system``.
    """
    from core.evaluation.intervals import bootstrap, paired_bootstrap, weighted_mean

    known, systems = dict(parts), {}
    tuned, quoted = known.get(f"{WAYS[1]}/{TUNED}"), known.get(f"{WAYS[1]}/{QUOTED}")
    if tuned and quoted and len(tuned["accepted"]) == len(quoted["accepted"]):
        taken = np.array(tuned["accepted"]) > 0
        mixed = {name: np.where(taken, tuned[name], quoted[name]).tolist() for name in tuned}
        known[f"{WAYS[1]}/{CHECKED}"] = mixed
        systems[f"{WAYS[1]}/{CHECKED}"] = {
            name: bootstrap(weighted_mean, [mixed[name]]).to_dict() for name in ("chrf", "rouge_l")
        }
    found = {}
    for way, one, other in COMPARED:
        a, b = known.get(f"{way}/{one}"), known.get(f"{way}/{other}")
        if a and b and len(a["chrf"]) == len(b["chrf"]):
            found[f"{way}/{one} - {other}"] = {
                name: paired_bootstrap(_second, np.zeros(len(a[name])), a[name], b[name]).to_dict() for name in METRICS
            }
    return {"systems": systems, "differences": found}


def _second(truth: Any, values: Any, weights: Any) -> Any:
    """Each reply has its score already: there is no truth to hold it against."""
    from core.evaluation.intervals import weighted_mean

    return weighted_mean(values, weights)


def _quoted(study: Study) -> dict[str, Any]:
    rows = study.rows[1]
    return judged(WAYS[1], rows, [row.quote for row in rows], [row.seconds for row in rows])


def _untuned(study: Study, way: str) -> dict[str, Any]:
    from core.models.sources import load_decoder, load_tokenizer, resolve

    local = resolve(study.backbone)
    return _written(study, way, load_decoder(local).eval(), load_tokenizer(local))


def _tuned(study: Study, way: str) -> dict[str, Any]:
    from core.tuning.artifact import load, merge

    folder, about = _tune(study, way)
    loaded = load(folder)
    merge(loaded.model, loaded.recipe)  # or each token would pay for the low-rank product beside the weights
    found = _written(study, way, loaded.model, loaded.tokenizer)
    return {**found, "rows": {**about.pop("rows"), **found["rows"]}, "tuning": about}


def _written(study: Study, way: str, model: Any, tokenizer: Any) -> dict[str, Any]:
    """Every test question is asked once, greedily."""
    import torch

    from core.tuning.generation import generate

    rows, replies, seconds = study.rows[1], [], []
    generate(model, tokenizer, [prompt_of(way, rows[0])], 4)  # the first call of a process is slower
    for row in rows:
        started = time.perf_counter()
        replies += generate(model, tokenizer, [prompt_of(way, row)], study.size.tokens)
        seconds.append(time.perf_counter() - started + (row.seconds if way == WAYS[1] else 0.0))
    _print(study, way, rows, replies)
    # Decoded and encoded again a text may lose a token.
    cut = [len(tokenizer(reply)["input_ids"]) >= study.size.tokens - 1 for reply in replies]
    about = {"cut": float(np.mean(cut)), "threads": torch.get_num_threads()}
    return {**judged(way, rows, replies, seconds), **about}


def _print(study: Study, way: str, rows: Sequence[Row], replies: Sequence[str]) -> None:
    """So many replies, on the terminal only."""
    from verticals.support.rewrite import unfaithful

    for row, reply in list(zip(rows, replies, strict=True))[: study.show]:
        reason = unfaithful(reply, row.against(way)) or "accepted"
        shown = {"asked": row.question, "true": row.answer, "passage": row.passage, "quote": row.quote, "reply": reply}
        print(
            "\n".join([f"--- {way}: {reason}", *(f"{k}: {v}" for k, v in shown.items())]), file=sys.stderr, flush=True
        )


def _tune(study: Study, way: str) -> tuple[Path, dict[str, Any]]:
    """The shipped recipe on this way's prompts: the adapter's folder, made once, and how it came about.

    Only rows that fit whole; with a passage only those whose passage is right: a reply that the passage does not
    hold would teach the model to invent.
    """
    import pandas as pd

    from core.data.load import Dataset
    from core.evaluation.files import write_json
    from core.models.sources import load_tokenizer, resolve
    from core.tuning.artifact import save
    from core.tuning.generation import encode_rows
    from core.tuning.recipe import Recipe
    from core.tuning.run import fit

    size, tokenizer = study.size, load_tokenizer(resolve(study.backbone))
    rows = [row for row in study.rows[0] if way == WAYS[0] or row.right]
    pairs = pd.DataFrame({"prompt": [prompt_of(way, row) for row in rows], "reply": [row.answer for row in rows]})
    lengths = [len(item["input_ids"]) for item in encode_rows(tokenizer, pairs, 10**6)]
    pairs = pairs[np.array(lengths) <= size.max_length].head(size.train_rows).reset_index(drop=True)
    held_out = max(1, len(pairs) // 20)
    if len(pairs) <= held_out:
        raise InputError(f"{study.file.name}: no row fits into max_length = {size.max_length} tokens; give more.")
    recipe = Recipe.load(RECIPE)
    training: dict[str, Any] = {
        "epochs": size.epochs,
        "learning_rate": size.learning_rate,
        "max_length": size.max_length,
    }
    training |= {"keep": "last", "seed": SEED}
    recipe = recipe.model_copy(
        update={"backbone": study.backbone, "training": recipe.training.model_copy(update=training)}
    )
    folder = study.work / store.key_of(way, recipe.to_toml(), pairs.to_dict("list"))
    if not (folder / "about.json").is_file():
        data = Dataset(pairs.iloc[held_out:], pairs.iloc[:held_out], None, [], [], {}, "")
        fitted = fit(recipe, data, folder / "work")
        save(folder, fitted.built, recipe, [])
        shutil.rmtree(folder / "work", ignore_errors=True)
        about = {
            "rows": {"train": len(data.train), "validation": held_out},
            "minutes": fitted.outcome.seconds / 60,
            "trained_weights": fitted.built.trainable_parameters,
            "history": fitted.outcome.history,
            **training,
        }
        write_json(folder / "about.json", about)
    return folder, store.read(folder / "about.json")


def _encoder() -> Any:
    """The bot's own."""
    from verticals.support.opening import open_encoder
    from verticals.support.settings import SupportSettings

    return open_encoder(SupportSettings())


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and measure."""
    usual = Size()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation", description="Replies by a small model.")
    parser.add_argument("--backbone", default="smollm2")
    parser.add_argument("--train-rows", type=int, default=usual.train_rows)
    parser.add_argument("--test-rows", type=int, default=usual.test_rows)
    parser.add_argument("--epochs", type=float, default=usual.epochs)
    parser.add_argument("--learning-rate", type=float, default=usual.learning_rate)
    parser.add_argument("--tokens", type=int, default=usual.tokens, help="of a reply, at most")
    parser.add_argument("--show", type=int, default=0, help="so many replies of each system, on the terminal only")
    parser.add_argument("--out", type=Path, default=store.RESULTS / "generation.json")
    parser.add_argument("--fresh", action="store_true", help="measure finished parts again")
    given = parser.parse_args(arguments)
    settings = get_settings()
    size = Size(given.train_rows, given.test_rows, given.epochs, given.learning_rate, tokens=given.tokens)
    file, work = settings.datasets / "bankfaqs" / "BankFAQs.csv", settings.cache / "generation"
    Study(given.out, file, work, given.backbone, size, fresh=given.fresh, show=given.show).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
