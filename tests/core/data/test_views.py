"""Second views of unlabelled texts: what is left out, what stays, and when two views are one."""

from pathlib import Path

import pandas as pd
import pytest

from core.data.load import load
from core.data.views import with_views, without_words
from core.errors import InputError
from core.tuning.recipe import DataConfig

TEXT = "profit of the old bank fell again on Monday, its board said"


def test_the_words_that_stay_keep_their_order() -> None:
    words = TEXT.split()
    left = without_words(TEXT, 0.5, 7).split()
    assert len(left) == len(words) - 6
    rest = iter(words)
    assert all(word in rest for word in left)


def test_repeats_of_a_text_have_one_view_and_another_seed_gives_another() -> None:
    assert without_words(TEXT, 0.5, 7) == without_words(TEXT, 0.5, 7)
    assert without_words(f" {TEXT.upper()} ", 0.5, 7) == without_words(TEXT, 0.5, 7).upper()
    assert len({without_words(TEXT, 0.5, seed) for seed in range(10)}) > 5


@pytest.mark.parametrize(("text", "share", "left"), [("profit", 0.9, 1), ("profit fell", 0.9, 1), (TEXT, 0.0, 12)])
def test_a_word_always_stays(text: str, share: float, left: int) -> None:
    assert len(without_words(text, share, 1).split()) == left


def test_signs_written_without_spaces_are_words() -> None:
    view = without_words("这家酒店的服务很好", 0.5, 7)
    assert len(view) == 5 and set(view) < set("这家酒店的服务很好")


def test_every_row_gets_its_view() -> None:
    rows = pd.DataFrame({"text": [TEXT, "profit"]}, index=[4, 9])
    assert with_views(rows, 0.5, 7)["positive"].to_dict() == {4: without_words(TEXT, 0.5, 7), 9: "profit"}


def test_repeats_leave_train_so_that_none_is_a_negative_of_the_other(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    texts = [f"headline number {word} of today" for word in ("one", "two", "three", "four", "five", "six")]
    path.write_text("\n".join(["text", *texts, *(text.upper() for text in texts), texts[0] + " "]))
    found = load(
        DataConfig.model_validate({"train": {"path": path}, "unlabelled": True, "checks": {"duplicates": "keep"}}),
        "matching",
        7,
    )
    assert sorted([*found.train["text"], *found.validation["text"]]) == sorted(texts)
    assert [(f.kind, f.action, f.count) for f in found.findings] == [("duplicate", "dropped", 7)]


def test_training_views_follow_the_recipe_and_judging_views_do_not(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("\n".join(["text,label", *(f"one two three four five six seven {i},x" for i in range(10))]))
    for deletion, left in ((0.0, 8), (0.25, 6)):
        data = DataConfig.model_validate({"train": {"path": path}, "unlabelled": True, "word_deletion": deletion})
        found = load(data, "matching", 7)
        assert {len(view.split()) for view in found.train["positive"]} == {left}
        assert {len(view.split()) for view in found.validation["positive"]} == {4}
        assert "label" not in found.train


def test_official_files_lend_their_texts(tmp_path: Path) -> None:
    path = tmp_path / "phrases.txt"
    path.write_text("\n".join(f"Profit number {i} rose@positive" for i in range(10)))
    given = {"train": {"path": path, "format": "phrasebank"}, "unlabelled": True}
    found = load(DataConfig.model_validate(given), "matching", 7)
    assert len(found.train) == 9 and list(found.train["positive"]) == list(found.train["text"])
    assert "phrasebank" in found.licences


@pytest.mark.parametrize(
    ("values", "task", "what"),
    [
        ({"unlabelled": True}, "classification", 'data.unlabelled is for task = "matching"'),
        ({"word_deletion": 0.1}, "matching", "set data.unlabelled = true"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, values: dict[str, object], task: str, what: str) -> None:
    data = DataConfig.model_validate({"train": {"path": tmp_path / "none.csv"}, **values})
    with pytest.raises(InputError, match=what):
        load(data, task, 7)  # type: ignore[arg-type]
