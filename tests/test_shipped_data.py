"""What ships under data/: recipes that load, samples that are clean, and a README that tells the truth."""

import csv
import io
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.data.sources import Columns, Source
from core.settings import PROJECT_ROOT, get_settings
from core.tuning.recipe import Recipe

RECIPES = sorted((PROJECT_ROOT / "data" / "recipes").glob("*.toml"))
SAMPLES = sorted((PROJECT_ROOT / "data" / "samples").glob("*.csv"))
PROMISED = {"intents", "few-shot", "finance-sentiment", "finance-topics", "matching", "ranking", "generation"}
PROMISED |= {"adaptation"}
NEARLY_EQUAL = 0.8
"""Jaccard similarity of word sets from which two texts count as the same text."""

every_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
every_sample = pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)

Row = dict[str, str]


def rows_of(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def columns_for(recipe: Recipe, columns: Columns) -> list[str]:
    if recipe.data.unlabelled:
        return [columns.text]
    return {
        "classification": [columns.text, columns.label],
        "matching": [columns.text, columns.positive],
        "ranking": [columns.query, columns.document, columns.label],
        "generation": [columns.prompt, columns.reply],
    }[recipe.task]


def parts_of(recipe: Recipe) -> dict[str, list[Source]]:
    given = {"train": recipe.data.train, "validation": recipe.data.validation, "test": recipe.data.test}
    return {name: sources for name, sources in given.items() if isinstance(sources, list)}


def part_rows(sources: Iterable[Source]) -> list[Row]:
    return [row for source in sources for row in rows_of(PROJECT_ROOT / source.path)]


def words(text: str) -> frozenset[str]:
    folded = unicodedata.normalize("NFKC", re.sub(r"https?://\S+", " ", text)).casefold()
    return frozenset(re.findall(r"\w+", folded))


class Neighbours:
    """Finds a text whose word set has a Jaccard similarity of ``threshold`` or more with the one asked for.

    Similar sets share one of the few rarest words of the text asked for (prefix filtering, Chaudhuri et al.
    2006), so only texts with one of those are compared.
    """

    def __init__(self, texts: Iterable[str], threshold: float = NEARLY_EQUAL) -> None:
        self.threshold = threshold
        self.sets = [(found, text) for text in dict.fromkeys(texts) if (found := words(text))]
        self.holders: dict[str, list[int]] = defaultdict(list)
        for number, (found, _) in enumerate(self.sets):
            for word in found:
                self.holders[word].append(number)

    def of(self, text: str) -> str | None:
        asked = words(text)
        by_rarity = sorted(asked, key=lambda word: len(self.holders.get(word, ())))
        prefix = by_rarity[: int(len(asked) * (1 - self.threshold) + 1e-9) + 1]
        for number in {number for word in prefix for number in self.holders.get(word, ())}:
            found, neighbour = self.sets[number]
            if len(asked & found) >= self.threshold * len(asked | found):
                return neighbour
        return None


def test_neighbours_are_found_whatever_the_order_case_and_marks() -> None:
    known = Neighbours(["The cash machine kept my bank card today!", "Profit rose"])
    assert known.of("today the CASH machine kept my bank card") is not None
    assert known.of("the cash machine kept my new card today") is None
    assert known.of("profit fell") is None


# --- recipes


def test_all_promised_recipes_ship() -> None:
    assert {path.stem for path in RECIPES} >= PROMISED


@every_recipe
def test_recipe_loads_under_its_file_name(path: Path) -> None:
    assert Recipe.load(path).name == path.stem


@every_recipe
def test_recipe_survives_being_written_out(path: Path, tmp_path: Path) -> None:
    recipe = Recipe.load(path)
    copy = tmp_path / "recipe.toml"
    copy.write_text(recipe.to_toml(), encoding="utf-8")
    assert Recipe.load(copy) == recipe


@every_recipe
def test_recipe_combines_method_and_task_that_go_together(path: Path) -> None:
    from core.tuning.methods import check_combination

    recipe = Recipe.load(path)
    assert check_combination(recipe.method, recipe.task).name == recipe.method


@every_recipe
def test_recipe_files_have_the_columns_it_names(path: Path) -> None:
    recipe = Recipe.load(path)
    parts = parts_of(recipe)
    assert {"train", "test"} <= parts.keys()
    for sources in parts.values():
        for source in sources:
            assert not source.path.is_absolute()
            found = rows_of(PROJECT_ROOT / source.path)
            needed = columns_for(recipe, source.columns or recipe.data.columns)
            assert found and set(needed) <= found[0].keys()


@every_recipe
def test_recipe_data_pass_every_check_of_the_core(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.data.load import load

    monkeypatch.chdir(PROJECT_ROOT)
    recipe = Recipe.load(path)
    dataset = load(recipe.data, recipe.task, seed=recipe.training.seed)
    assert [finding.message for finding in dataset.findings] == []
    assert dataset.test is not None and len(dataset.validation) > 0


def test_few_shot_recipe_sees_only_eight_of_each_intent(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.data.load import load

    monkeypatch.chdir(PROJECT_ROOT)
    recipe = Recipe.load(PROJECT_ROOT / "data" / "recipes" / "few-shot.toml")
    dataset = load(recipe.data, recipe.task, seed=recipe.training.seed)
    seen = Counter(dataset.train["label"]) + Counter(dataset.validation["label"])
    assert set(seen.values()) == {8}
    assert set(seen) == {row["category"] for row in rows_of(PROJECT_ROOT / "data" / "samples" / "intents.csv")}


@every_recipe
def test_train_and_test_share_labels_but_no_text(path: Path) -> None:
    recipe = Recipe.load(path)
    parts = parts_of(recipe)
    columns = recipe.data.columns
    train, test = part_rows(parts["train"]), part_rows(parts["test"])
    if recipe.task in ("classification", "ranking"):
        assert {row[columns.label] for row in train} == {row[columns.label] for row in test}
    asked = columns_for(recipe, columns)[0]
    known = Neighbours(row[asked] for row in train)
    shared = {row[asked]: near for row in test if (near := known.of(row[asked]))}
    assert shared == {}


# --- samples


@every_sample
def test_sample_is_plain_rfc_4180_in_utf_8(path: Path) -> None:
    data = path.read_bytes()
    text = data.decode("utf-8", errors="strict")
    assert not text.startswith("\ufeff")
    table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert {len(row) for row in table} == {len(table[0])}
    again = io.StringIO(newline="")
    csv.writer(again).writerows(table)  # the standard library's default dialect is the RFC's
    assert again.getvalue() == text


@every_sample
def test_sample_has_no_blank_ragged_or_repeated_row(path: Path) -> None:
    rows = rows_of(path)
    for row in rows:
        for value in row.values():
            assert value and value == " ".join(value.split())
            assert not any(unicodedata.category(character) in ("Cc", "Co", "Cn", "Cs") for character in value)
            assert "\ufffd" not in value
    repeated = [row for row, n in Counter(tuple(row.values()) for row in rows).items() if n > 1]
    assert repeated == []


@every_sample
def test_texts_of_a_sample_differ_from_each_other(path: Path) -> None:
    """No series of one sentence with a word or number changed."""
    rows = rows_of(path)
    texts = list(dict.fromkeys(row[next(iter(row))] for row in rows))
    if "ranking" not in path.stem:  # there a query stands beside each of its candidates
        assert len(texts) == len(rows)
    sets = [words(text) for text in texts]
    alike = [
        (texts[i], texts[j])
        for i in range(len(texts))
        for j in range(i)
        if len(sets[i] & sets[j]) >= NEARLY_EQUAL * len(sets[i] | sets[j])
    ]
    assert alike == []


@pytest.mark.parametrize("name", ["ranking.csv", "ranking-test.csv"])
def test_each_ranking_question_has_one_answer_and_two_others(name: str) -> None:
    candidates: dict[str, list[str]] = defaultdict(list)
    for row in rows_of(PROJECT_ROOT / "data" / "samples" / name):
        candidates[row["query"]].append(row["label"])
    assert {tuple(sorted(labels)) for labels in candidates.values()} == {("0", "0", "1")}


def test_held_out_passages_are_answers_in_no_train_file() -> None:
    folder = PROJECT_ROOT / "data" / "samples"
    trained = {row["positive"] for row in rows_of(folder / "matching.csv")}
    trained |= {row["document"] for row in rows_of(folder / "ranking.csv")}
    asked = {row["text"] for row in rows_of(folder / "matching.csv")}
    held_out = {row["positive"] for row in rows_of(folder / "matching-test.csv")}
    ranked = [row for row in rows_of(folder / "ranking-test.csv") if row["label"] == "1"]
    assert trained.isdisjoint(held_out | {row["document"] for row in ranked})
    assert asked.isdisjoint({row["query"] for row in ranked})


# --- the samples' README


def readme_table() -> dict[str, tuple[list[str], int, str]]:
    """File name -> columns, rows and description, as the README states them."""
    text = (PROJECT_ROOT / "data" / "samples" / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `([^`]+\.csv)` \| (.+?) \| (\d+) \| (.+) \|$", text, flags=re.M)
    return {name: (re.findall(r"`([^`]+)`", columns), int(n), what) for name, columns, n, what in found}


def test_readme_lists_every_sample_and_calls_it_synthetic() -> None:
    assert set(readme_table()) == {path.name for path in SAMPLES}
    text = (PROJECT_ROOT / "data" / "samples" / "README.md").read_text(encoding="utf-8")
    assert "written for this project, synthetic" in " ".join(text.split())


@every_sample
def test_readme_states_the_columns_and_counts(path: Path) -> None:
    columns, n_rows, what = readme_table()[path.name]
    rows = rows_of(path)
    assert list(rows[0]) == columns
    assert len(rows) == n_rows
    classes = Counter(row[columns[-1]] for row in rows)
    if each := re.search(r"(\d+) each", what):
        assert set(classes.values()) == {int(each[1])}
    if kinds := re.search(r"(\d+) (?:intents|topics)", what):
        assert len(classes) == int(kinds[1])
    if passages := re.search(r"(\d+) (?:other )?passages", what):
        assert len({row["positive"] for row in rows}) == int(passages[1])
    if questions := re.search(r"(\d+) other questions", what):
        assert len({row["query"] for row in rows}) == int(questions[1])


# --- nothing is taken from public sets


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)


def public_texts(folder: Path) -> Iterator[str]:
    """Every cell, line or string of the text files in a data set's folder."""
    for path in sorted(folder.iterdir()):
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
        if path.suffix == ".json":
            yield from strings(json.loads(text))
        elif path.suffix == ".txt":
            yield from (line.rpartition("@")[0] or line for line in text.splitlines())
        elif path.suffix == ".csv":
            for row in csv.reader(io.StringIO(text, newline="")):
                yield from row


@pytest.mark.parametrize(
    "name",
    [
        "bankfaqs",
        "banking77",
        "clinc150",
        "news_stream",
        "phrasebank",
        "sentfin",
        "twitter_fin_sentiment",
        "twitter_fin_topic",
    ],
)
def test_no_sample_repeats_a_row_of_a_public_set(name: str) -> None:
    folder = PROJECT_ROOT / get_settings().datasets / name
    if not folder.is_dir():
        pytest.skip(f"the data set {name} is not at {folder}")
    known = Neighbours(public_texts(folder))
    # Short labels and column names are no sentences.
    written = {value for path in SAMPLES for row in rows_of(path) for value in row.values() if " " in value}
    written -= {row["label"] for row in rows_of(PROJECT_ROOT / "data" / "samples" / "finance-topics.csv")}
    assert len(known.sets) > 1000
    assert {text: near for text in written if (near := known.of(text))} == {}
