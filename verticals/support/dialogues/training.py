"""Training files from pairs, and recipes that tune on them: a matching model and an intent model of one's own."""

import csv
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.settings import PROJECT_ROOT
from verticals.support.dialogues.pairs import Pair

TEST_SHARE = 0.15
_LEAST_PER_INTENT = 2


@dataclass(frozen=True)
class TrainingFiles:
    """Where the tables and recipes are, and how many rows they have."""

    matching: Path
    matching_rows: int
    intents: Path
    intent_rows: int
    recipes: tuple[Path, ...]

    def to_dict(self) -> dict[str, object]:
        """Plain values."""
        return {
            "matching": str(self.matching),
            "matching_rows": self.matching_rows,
            "intents": str(self.intents),
            "intent_rows": self.intent_rows,
            "recipes": [str(path) for path in self.recipes],
        }


def write_training(
    pairs: Sequence[Pair], folder: Path, corrected: Iterable[tuple[str, str]] = (), seed: int = 7
) -> TrainingFiles:
    """``matching.csv`` (text, positive) and ``intents.csv`` (text, category), a held-out part of each, and recipes.

    ``corrected`` are questions with answers that agents wrote themselves; they are never held out. Pairs with the same
    answer stay on one side, so that no answer of the test part has been trained on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = _held_out([pair.answer for pair in pairs], seed)
    rows = [(pair.question, pair.answer) for pair in pairs]
    train = [row for row in rows if row[1] not in held] + list(corrected)
    _write(folder / "matching.csv", ("text", "positive"), train)
    _write(folder / "matching-test.csv", ("text", "positive"), [row for row in rows if row[1] in held])
    counts = Counter(pair.intent for pair in pairs if pair.intent)
    labelled = [(pair.question, pair.intent) for pair in pairs if pair.intent and counts[pair.intent] > 1]
    # An intent needs examples on both sides: the last one of each that has enough is held out.
    last = {intent: question for question, intent in labelled if counts[intent] > _LEAST_PER_INTENT}
    tested = [(question, intent) for intent, question in last.items()]
    _write(folder / "intents.csv", ("text", "category"), [row for row in labelled if row not in tested])
    _write(folder / "intents-test.csv", ("text", "category"), tested)
    recipes = (_recipe(folder, "matching"), _recipe(folder, "intents"))
    return TrainingFiles(
        folder / "matching.csv",
        len(train),
        folder / "intents.csv",
        len(labelled) - len(tested),
        recipes,
    )


def _held_out(answers: Sequence[str], seed: int) -> set[str]:
    different = sorted(set(answers))
    count = round(len(different) * TEST_SHARE)
    return set(random.Random(seed).sample(different, count))


def _recipe(folder: Path, name: str) -> Path:
    """The shipped recipe with these files in place of the samples."""
    text = (PROJECT_ROOT / "data" / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    for part in (f"{name}-test.csv", f"{name}.csv"):
        text = text.replace(f'"data/samples/{part}"', f'"{(folder / part).as_posix()}"')
    text = text.replace(f'name = "{name}"', f'name = "support-{name}"')
    path = folder / f"support-{name}.toml"
    _replace(path, text)
    return path


def _write(path: Path, header: tuple[str, str], rows: Iterable[tuple[str, str]]) -> None:
    beside = path.with_name(f".{path.name}.new")
    with beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    beside.replace(path)


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
