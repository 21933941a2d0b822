"""The model card, the metrics file and the terminal table."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.evaluation import card_text
from core.evaluation.intervals import Interval
from core.evaluation.report import Card, DataSource, render_card, result_table, write_card, write_metrics

CALIBRATION = {
    "temperature": 1.4,
    "ece_before": 0.08,
    "ece_after": 0.02,
    "nll_before": 0.5,
    "nll_after": 0.4,
    "fitted_on": 900,
    "measured_n": 1200,
    "held_out": True,
}


def per_class(count: int) -> list[dict[str, Any]]:
    return [
        {
            "label": f"class_{i:02}",
            "precision": 0.5,
            "recall": 0.5,
            "f1": i / 100,
            "support": 9,
            "predicted": 9,
        }
        for i in range(count)
    ]


@pytest.fixture
def card() -> Card:
    return Card(
        name="bank-intents",
        task="classification",
        method="lora",
        backbone="minilm",
        backbone_licence="Apache-2.0",
        created=datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
        metrics={
            "accuracy": {"value": 0.94, "low": 0.93, "high": 0.951},
            "map": {"value": None, "low": None, "high": None},
        },
        recipe_toml='name = "bank-intents"',
        sources=[
            DataSource("Intents", "CC BY 4.0", "train", 9000, "https://example.org/i"),
            DataSource("Own", None, "test"),
        ],
        rows={"train": 9000, "validation": 900, "test": 3080},
        labels=["class_00", "class_01"],
        findings=[
            {
                "kind": "duplicate",
                "action": "dropped",
                "count": 3,
                "message": "said | twice\n",
                "examples": ["a.csv:7"],
            }
        ],
        per_class=per_class(2),
        calibration=CALIBRATION,
        history=[{"epoch": 1.0}, {"epoch": 3.0}],
        trainable_parameters=300_000,
        total_parameters=22_700_000,
        train_seconds=251,
        versions={"torch": "2.13.0"},
        limits=["English only."],
    )


def front_matter(text: str) -> dict[str, Any]:
    return yaml.safe_load(text.split("---\n")[1])


def test_the_front_matter_is_what_model_hubs_read(card: Card) -> None:
    values = front_matter(render_card(card))
    assert values["license"] == "apache-2.0" and values["pipeline_tag"] == "text-classification"
    assert values["metrics"] == ["accuracy", "map"] and "lora" in values["tags"]
    measured = values["model-index"][0]["results"][0]["metrics"]
    assert measured == [{"type": "accuracy", "value": 0.94}]


@pytest.mark.parametrize(
    ("licence", "identifier", "name"),
    [
        ("CC BY-NC-SA 3.0", "cc-by-nc-sa-3.0", None),
        ("House: rule #1", "other", "House: rule #1"),
        (None, "other", "unknown"),
    ],
)
def test_licences_are_translated_or_named(card: Card, licence: str | None, identifier: str, name: str | None) -> None:
    values = front_matter(render_card(replace(card, backbone_licence=licence)))
    assert values["license"] == identifier and values.get("license_name") == name


def test_figures_with_intervals_data_and_training(card: Card) -> None:
    text = render_card(card)
    for expected in (
        "| accuracy | 0.9400 | 0.9300 to 0.9510 |",
        "| map | – |  |",
        "| [Intents](https://example.org/i) | train | 9,000 | CC BY 4.0 |",
        "| duplicate | dropped | 3 | said \\| twice |",
        "300,000 of 22,700,000 (1.32 %)",
        "4 min 11 s",
        "| expected calibration error | 0.0800 | 0.0200 |",
        "measured on 1,200 rows: held-out rows.",
        "2026-03-04 05:06 UTC",
        "| epochs | 3 |",
    ):
        assert expected in text, expected


def test_every_table_has_as_many_cells_in_each_row(card: Card) -> None:
    hostile = replace(card, per_class=[{**row, "label": "a|b\n<b>*c*`"} for row in per_class(2)])
    for block in re.findall(r"(?:^\|.*\n?)+", render_card(hostile), flags=re.MULTILINE):
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in block.strip().splitlines()}
        assert len(widths) == 1, block


def test_many_classes_show_only_the_worst_and_the_best(card: Card) -> None:
    rows = per_class(77)
    rows[5]["support"] = 0
    text = render_card(replace(card, per_class=rows))
    shown = re.findall(r"^\| (class_\d+) ", text, flags=re.MULTILINE)
    assert shown == [f"class_{i:02}" for i in [*range(5), *range(6, 11), *range(76, 66, -1)]]
    assert "recall was not measured: class_05." in text


def test_limits_say_what_was_not_measured(card: Card) -> None:
    def limits(changed: Card) -> str:
        return render_card(changed).split("## Limits")[1].split("## ")[0]

    assert "English only." in limits(card) and "no stated licence" in limits(card)
    assert "Not measured: text from other sources" in limits(card)
    assert "Calibration was not measured" not in limits(card)
    assert "Calibration was not measured" in limits(replace(card, calibration=None))
    assert "Only 80 test rows" in limits(replace(card, rows={"test": 80}))
    assert "every quality figure is missing" in limits(replace(card, metrics={}))


def test_only_plots_that_exist_are_linked(card: Card, tmp_path: Path) -> None:
    (tmp_path / "confusion.png").write_bytes(b"png")
    path = write_card(tmp_path, card)
    text = path.read_text(encoding="utf-8")
    assert path.name == "README.md" and "(confusion.png)" in text and "history.png" not in text


def test_a_card_with_the_least_can_be_written(tmp_path: Path) -> None:
    least = Card("x", "matching", "full", "minilm", None, datetime(2026, 1, 1, tzinfo=UTC), {}, "")
    text = write_card(tmp_path, least).read_text(encoding="utf-8")
    assert "Nothing was measured" in text and "None" not in text and "nan" not in text
    json.dumps(least.to_dict(), allow_nan=False)


def test_a_time_without_zone_is_refused(card: Card) -> None:
    with pytest.raises(ValueError, match="time zone"):
        render_card(replace(card, created=datetime(2026, 1, 1)))


def test_a_fence_in_the_recipe_cannot_end_the_block(card: Card) -> None:
    assert render_card(replace(card, recipe_toml="x = '''```'''")).rstrip().endswith("\n````")


def test_the_metrics_file_holds_null_for_nan(tmp_path: Path) -> None:
    path = write_metrics(tmp_path, {"metrics": {"map": Interval(float("nan"), 0.0, 1.0)}, "seconds": float("inf")})
    assert json.loads(path.read_text()) == {
        "metrics": {"map": {"value": None, "low": 0.0, "high": 1.0}},
        "seconds": None,
    }


def test_the_terminal_table_lines_up() -> None:
    table = result_table(
        {"accuracy": Interval(0.5, 0.25, 0.75), "n": 1200, "f1": {"value": 0.4, "low": None, "high": None}}
    )
    assert table.splitlines() == [
        "metric     value     95 % interval",
        "--------  ------  ----------------",
        "accuracy  0.5000  0.2500 to 0.7500",
        "n          1,200",
        "f1        0.4000",
    ]


def test_durations_and_numbers() -> None:
    assert [card_text.duration(s) for s in (8.26, 59.96, 250, 7500)] == [
        "8.3 s",
        "1 min 0 s",
        "4 min 10 s",
        "2 h 5 min",
    ]
    assert [card_text.number(v) for v in (None, float("nan"), 12345, 0.5, 12345.6)] == [
        "–",
        "–",
        "12,345",
        "0.5000",
        "12,345.6",
    ]


def test_what_changed_texts_cost_is_a_table_and_no_longer_unmeasured(card: Card) -> None:
    assert "robustness to typos" in render_card(card) and "## Robustness" not in render_card(card)
    accuracy = {"value": 0.9, "low": 0.85, "high": 0.95}
    found = {
        "unchanged": {"accuracy": accuracy, "applied": 0.0, "flipped": 0.0, "n": 200},
        "typos": {"accuracy": {**accuracy, "value": 0.86}, "applied": 0.75, "flipped": 0.06, "n": 200},
    }
    shown = render_card(replace(card, robustness=found))
    assert "the texts of 200 rows" in shown and "robustness to hostile text" in shown
    assert "| typos | 0.8600 | 0.8500 to 0.9500 | 75% | 6% |" in shown
