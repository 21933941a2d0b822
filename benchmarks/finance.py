"""The finance monitor: NAB, labels and stories of the sample, headlines a second, and the replay of an archive.

``python -m benchmarks.finance``. Detectors are compared on NAB's labelled tweet counts; stories, companies and labels
are judged on the shipped sample, which is synthetic and was labelled by its authors; speed and replay are measured on
the Reuters headlines. A finished part is not measured again.
"""

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import finance_nab, store
from core.settings import PROJECT_ROOT, get_settings

PARTS = ("nab", "companies", "stories", "labels", "speed", "replay")
SAMPLE = PROJECT_ROOT / "data" / "finance"
REUTERS = "news_stream/reuters_headlines.csv"
CRASH = datetime(2020, 2, 24, tzinfo=UTC)  # the first day on which the S&P 500 lost more than 3%
RAISED_BY = datetime(2020, 2, 28, tzinfo=UTC)  # no later than 27 February
THRESHOLDS = (0.60, 0.64, 0.68, 0.72, 0.76, 0.80)


def sample() -> list[dict[str, Any]]:
    """The shipped articles with their gold labels, oldest first."""
    text = (SAMPLE / "articles.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def companies() -> dict[str, Any]:
    """Companies found in the sample's articles against those that the authors named."""
    from verticals.finance.entities import AliasTable, common_words, read_companies

    table = AliasTable(read_companies(SAMPLE / "companies.csv"), common_words())
    counts: Counter[str] = Counter()
    for row in sample():
        gold = set(row["companies"])
        found = {mention.code for mention in table.find(f"{row['title']}\n{row['body']}")}
        counts.update(right=len(gold & found), wrong=len(found - gold), missed=len(gold - found))
    precision = counts["right"] / max(1, counts["right"] + counts["wrong"])
    recall = counts["right"] / max(1, counts["right"] + counts["missed"])
    return {**counts, "precision": precision, "recall": recall}


def stories() -> dict[str, Any]:
    """Stories of the sample at several thresholds: F1 of pairs, and B-cubed (Bagga and Baldwin, 1998)."""
    from core.serving.encoder import load_encoder
    from verticals.finance import stories as module
    from verticals.finance.labels import Plain, headline_of

    rows = [row for row in sample() if row["language"] == "en"]
    texts = [headline_of(Plain(row["title"], row["summary"])) for row in rows]
    vectors = load_encoder("minilm").encode(texts)
    moment = datetime(2024, 1, 2, 14, tzinfo=UTC)
    gold = [row["story"] for row in rows]
    found = {}
    for threshold in THRESHOLDS:
        points = [
            module.StoryPoint(number, moment - timedelta(minutes=row["minutes_ago"]), vectors[number], row["title"])
            for number, row in enumerate(rows)
        ]
        joined = module.assign(points, (), threshold=threshold)
        found[f"{threshold:.2f}"] = agreement(gold, [one.lead for one in joined])
    return {"articles": len(rows), "stories": len(set(gold)), "used": module.THRESHOLD, "thresholds": found}


def agreement(gold: Sequence[Hashable], found: Sequence[Hashable]) -> dict[str, float]:
    """How well two groupings of the same articles agree."""
    both, first, second = Counter(zip(gold, found, strict=True)), Counter(gold), Counter(found)

    def pairs(groups: Counter[Any]) -> int:
        return sum(n * (n - 1) // 2 for n in groups.values())

    shared = pairs(both)
    precision, recall = shared / max(1, pairs(second)), shared / max(1, pairs(first))
    n = len(gold)
    exact = sum(count * count / second[key[1]] for key, count in both.items()) / n
    whole = sum(count * count / first[key[0]] for key, count in both.items()) / n
    return {
        "pair_precision": precision,
        "pair_recall": recall,
        "pair_f1": 2 * precision * recall / max(1e-9, precision + recall),
        "b_cubed_f1": 2 * exact * whole / max(1e-9, exact + whole),
    }


def labels() -> dict[str, Any]:
    """What the shipped models say about the sample's articles; synthetic texts, so no measure of real news."""
    from verticals.finance.labels import Labeller, Plain

    rows = sample()
    made = Labeller.open().label([Plain(r["title"], r["summary"], r["body"], r["language"]) for r in rows])
    right: dict[str, list[bool]] = defaultdict(list)
    for row, label in zip(rows, made, strict=True):
        if label.state == "language":
            right["language"].append(False)
            continue
        right["sentiment"].append(label.sentiment == row["sentiment"])
        right["topic"].append(label.topic == row["topic"])
    found: dict[str, Any] = {name: sum(v) / len(v) for name, v in right.items() if name != "language"}
    return {**found, "articles": len(rows), "not_labelled": len(right["language"])}


def speed(archive: Path, rows: int) -> dict[str, Any]:
    """Headlines a second through reading, dedupe, labels, stories and counts; the models are open before the clock."""
    from verticals.finance import replay
    from verticals.finance.labels import Labeller
    from verticals.finance.rollup import count

    labeller = Labeller.open(engine="onnx")
    labeller.label(replay.read_items(archive, datetime.now(UTC))[:64])
    started = time.perf_counter()
    items = replay.read_items(archive, datetime.now(UTC))[:rows]
    new, _ = replay.deduplicated(items)
    begun = time.perf_counter()
    labelled = list(replay.labelled(new, labeller))
    ended = time.perf_counter()
    told = replay.tell(labelled, timedelta(days=1))
    buckets = count(told)
    seconds = time.perf_counter() - started
    return {
        "headlines": len(items),
        "stories": len(told),
        "buckets": len(buckets),
        "headlines_per_second": len(items) / seconds,
        "label_share": (ended - begun) / seconds,
    }


def replayed(archive: Path) -> dict[str, Any]:
    """The shipped rules over the archive, as ``headwater finance replay`` runs them."""
    from verticals.finance.replay import replay

    started = time.perf_counter()
    result = replay(archive, SAMPLE / "rules.toml")
    return {"seconds": time.perf_counter() - started, **summary(result)}


def summary(result: Any) -> dict[str, Any]:
    """The figures that are aimed at: alerts a week by year, and which alert raised the crash when."""
    years = {}
    for year in (2018, 2019, 2020):
        since, until = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
        years[str(year)] = result.per_week(max(since, result.since), min(until, result.until))
    raised = [
        {key: alert[key] for key in ("rule", "topic", "start", "fired", "reason")}
        for alert in result.alerts
        if not alert["muted"] and CRASH <= datetime.fromisoformat(alert["fired"]) <= RAISED_BY
    ]
    counts = {"articles": result.articles, "duplicates": result.duplicates, "stories": result.stories}
    return {**counts, "alerts_per_week": years, "raised_by_27_february": raised}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finance", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rows", type=int, default=4000, help="headlines for the measure of speed")
    parser.add_argument("--out", type=Path, default=store.RESULTS / "finance.json")
    parser.add_argument("--fresh", action="store_true", help="measure finished parts again")
    chosen = parser.parse_args(arguments)
    datasets = get_settings().datasets
    nab, archive = datasets / "nab_tweets", datasets / REUTERS
    jobs: dict[str, tuple[Path, Callable[[], dict[str, Any]]]] = {
        "nab": (nab / "windows.json", partial(finance_nab.measure, nab)),
        "companies": (SAMPLE / "companies.csv", companies),
        "stories": (SAMPLE / "articles.jsonl", stories),
        "labels": (SAMPLE / "articles.jsonl", labels),
        "speed": (archive, partial(speed, archive, chosen.rows)),
        "replay": (archive, partial(replayed, archive)),
    }
    for name in chosen.parts:
        needed, run = jobs[name]
        if not needed.is_file():
            store.skip(chosen.out, name, f"{needed.name} is missing; fetch the data sets or set HEADWATER_DATASETS")
            continue
        key = store.key_of("finance 2", name, store.digest_files([needed, SAMPLE / "rules.toml"]), chosen.rows)
        if store.part(chosen.out, name, key, run, chosen.fresh):
            print(json.dumps({name: store.read(chosen.out)["parts"][name]}, default=str)[:2000], flush=True)


if __name__ == "__main__":
    main()
