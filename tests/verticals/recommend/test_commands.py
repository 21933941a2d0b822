"""The commands: their JSON, their exit codes, and files in and out."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.cli import main
from tests.verticals.recommend.conftest import event_rows, item_rows
from verticals.recommend.settings import RecommendSettings

Captured = pytest.CaptureFixture[str]


def run(capfd: Captured, *words: str) -> tuple[int, str, str]:
    code = main(["recommend", *words])
    out, err = capfd.readouterr()
    return code, out, err


def answer(capfd: Captured, *words: str) -> Any:
    code, out, err = run(capfd, *words, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.fixture
def candidates(tmp_path: Path) -> Path:
    path = tmp_path / "candidates.txt"
    path.write_text("home-1\ntravel-2\n\ninvest-3\n", encoding="utf-8")
    return path


def test_score_answers_by_the_contract(trained: RecommendSettings, candidates: Path, capfd: Captured) -> None:
    found = answer(capfd, "score", "--user", "u00", "--candidates", str(candidates))
    assert [row["rank"] for row in found["candidates"]] == [1, 2, 3]
    first = found["candidates"][0]
    assert first["item"] == "home-1" and first["reason"]["closest"] and "click" in first["probabilities"]
    assert {"user", "basis", "ranker", "weights", "rules", "notes", "latency_ms"} <= found.keys()


def test_score_writes_a_table(trained: RecommendSettings, candidates: Path, tmp_path: Path, capfd: Captured) -> None:
    for name in ("out.csv", "out.parquet"):
        out = tmp_path / name
        answer(capfd, "score", "--user", "u00", "--candidates", str(candidates), "--out", str(out))
        frame = pd.read_csv(out) if name.endswith("csv") else pd.read_parquet(out)
        assert frame["item"].tolist()[0] == "home-1" and frame["rank"].tolist() == [1, 2, 3]
    code, _, err = run(capfd, "score", "--candidates", str(candidates), "--out", str(tmp_path / "out.xls"))
    assert code == 2 and ".csv or .parquet" in err


def test_candidates_of_a_table_are_its_ids(trained: RecommendSettings, tmp_path: Path, capfd: Captured) -> None:
    path = tmp_path / "c.csv"
    path.write_text("item_id,price\nhome-2,3\ninvest-1,4\n", encoding="utf-8")
    found = answer(capfd, "score", "--interest", "fund shares", "--candidates", str(path))
    assert {row["item"] for row in found["candidates"]} == {"home-2", "invest-1"}
    path.write_text("name\nhome-2\n", encoding="utf-8")
    code, _, err = run(capfd, "score", "--candidates", str(path))
    assert code == 2 and "id, item, item_id" in err


def test_recommend_and_similar(trained: RecommendSettings, capfd: Captured) -> None:
    found = answer(capfd, "recommend", "--user", "u01", "-k", "4", "--variety", "0.3", "--weight", "text=2")
    assert len(found["candidates"]) == 4 and found["variety"] == 0.3 and found["weights"]["text"] == 2
    near = answer(capfd, "similar", "travel-1", "-k", "3")
    assert len(near) == 3 and all(row["item"] != "travel-1" for row in near)
    assert answer(capfd, "similar", "travel-1", "-k", "3", "--by", "behaviour")[0]["item"].startswith("travel")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["recommend", "--weight", "text"], "NAME=NUMBER"),
        (["recommend", "--variety", "2"], "variety"),
        (["similar", "gone"], "'gone'"),
        (["load"], "--items FILE"),
    ],
)
def test_wrong_use_is_one_sentence_and_code_2(
    trained: RecommendSettings, words: list[str], message: str, capfd: Captured
) -> None:
    code, out, err = run(capfd, *words)
    assert code == 2 and message in err and out == ""


def test_load_checks_and_tells(settings: RecommendSettings, tmp_path: Path, capfd: Captured) -> None:
    items, events = tmp_path / "items.csv", tmp_path / "events.csv"
    rows = [{**row, "tags": "|".join(row["tags"])} for row in item_rows()]
    pd.DataFrame(rows).to_csv(items, index=False)
    odd = {"user": "u1", "item": "gone", "event": "click", "time": "2026-02-01T00:00Z"}
    pd.DataFrame([*event_rows(), odd]).to_csv(events, index=False)
    code, _, err = run(capfd, "load", "--events", str(events))
    assert code == 2 and "load the items" in err
    found = answer(capfd, "load", "--items", str(items), "--events", str(events))
    assert found["items"]["added"] == 30 and found["events"]["added"] == 240
    assert [finding["kind"] for finding in found["validation"]["findings"]] == ["unknown_item"]
    told = answer(capfd, "train", "--note", "first")
    assert told["version"] == 1 and told["items"] == 30 and told["note"] == "first"


def test_rules_are_checked_against_the_items(trained: RecommendSettings, tmp_path: Path, capfd: Captured) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('[[rules]]\nkind = "boost"\ncategory = "home"\n', encoding="utf-8")
    assert answer(capfd, "rules", str(path)) == {"rules": [{"label": "boost home", "kind": "boost", "items": 10}]}
    path.write_text('[[rules]]\nkind = "quota"\ncategory = "moon"\ncount = 2\n', encoding="utf-8")
    code, _, err = run(capfd, "rules", str(path))
    assert code == 2 and "only 0 items" in err


def test_evaluate_has_every_baseline_with_intervals(trained: RecommendSettings, capfd: Captured) -> None:
    found = answer(capfd, "evaluate", "--resamples", "50")
    assert {"popular", "item-knn", "ease", "untuned text", "blend"} <= found["systems"].keys()
    ours = found["systems"]["blend"]
    assert ours["ndcg@10"]["low"] <= ours["ndcg@10"]["value"] <= ours["ndcg@10"]["high"]
    assert ours["ndcg@10"]["value"] > found["systems"]["popular"]["ndcg@10"]["value"]
    assert found["split"]["test_users"] == 30 and {"history", "category", "age"} <= found["cohorts"].keys()
    difference = found["comparisons"]["blend - popular"]
    assert difference["difference"]["value"] > 0 and difference["n"] == 30
