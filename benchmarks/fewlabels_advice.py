"""Is the advice of ``headwater compare`` on 200 rows right? Asked on three sets, as users ask, and judged on others.

The first 200 rows (drawn with a seed) are a user's CSV file: ``headwater compare`` cuts its own test rows from it. Then
the same methods learn from the same file and are judged on ``JUDGED`` rows that nobody used; the advice is right when
the advised method is not significantly worse there than the best one.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.recipes import filled
from core.errors import InputError

ROWS, JUDGED, SEED = 200, 1000, 7
SETS: dict[str, tuple[str, str, dict[str, str]]] = {
    "SEntFiN titles": ("{datasets}/sentfin/SEntFiN.csv", "sentfin", {}),
    "tweets on finance, topics": ("{datasets}/twitter_fin_topic/train.csv", "twitter_fin_topic", {}),
    "CLINC150, 20 intents": ("{datasets}/clinc150/data_full.json", "clinc150", {"split": "train"}),
}
MOST_LABELS = 20


def advice(name: str, datasets: Path, work: Path, minutes: float) -> dict[str, Any]:
    """What the command said within ``minutes``, and what the judged rows say."""
    asked, others = _rows(name, datasets)
    work.mkdir(parents=True, exist_ok=True)
    asked.to_csv(work / "rows.csv", index=False)
    others.to_csv(work / "others.csv", index=False)
    first = _recipe(work, "asked", None)
    began = time.monotonic()
    said = _command(first, minutes, work)
    taken = (time.monotonic() - began) / 60
    full = _command(_recipe(work, "judged", work / "others.csv"), 10 * minutes, work)
    right = said["advice"]["method"] in full["advice"]["not_worse"]
    best = _accuracy(full, full["advice"]["best"])
    return {
        "rows": len(asked),
        "labels": int(asked["label"].nunique()),
        "minutes": taken,
        "advised": said["advice"]["method"],
        "left_out": [skipped["method"] for skipped in said["skipped"]],
        "judged_on": full["test_rows"],
        "advised_there": full["advice"]["method"],
        "best_there": full["advice"]["best"],
        "not_worse_there": full["advice"]["not_worse"],
        "right": right,
        "loss": best - _accuracy(full, said["advice"]["method"]),
    }


def _accuracy(found: dict[str, Any], method: str) -> float:
    values = [row["metrics"]["accuracy"]["value"] for row in found["rows"] if row["method"] == method]
    return float(max(values, default=0.0))


def _rows(name: str, datasets: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    from core.data.readers import read
    from core.data.sources import Columns, Source

    path, format, more = SETS[name]
    file = filled(path, datasets)
    if not file.is_file():
        raise InputError(f"{file.name} is missing; fetch the data set or set HEADWATER_DATASETS.")
    source = Source(path=file, format=format, **more)
    frame = read(source, "classification", Columns(), False).frame
    frame = frame[["text", "label"]].dropna().drop_duplicates("text")
    kept = sorted(frame["label"].unique())[:MOST_LABELS]
    frame = frame[frame["label"].isin(kept)].sample(frac=1, random_state=SEED)
    asked, others = frame.head(ROWS), frame.iloc[ROWS:]
    # A label that the user's rows lack cannot be learnt by any method.
    return asked, others[others["label"].isin(asked["label"])].head(JUDGED)


def _recipe(work: Path, name: str, test: Path | None) -> Path:
    """A user's recipe: the file, and nothing else said."""
    lines = [f'name = "{name}"', 'task = "classification"', "[data]", f'train = {{ path = "{work / "rows.csv"}" }}']
    if test:
        lines.append(f'test = {{ path = "{test}" }}')
    path = work / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _command(recipe: Path, minutes: float, work: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "core.cli", "compare", str(recipe), "--minutes", str(minutes), "--json"]
    with tempfile.TemporaryDirectory(dir=work) as empty:  # where an earlier comparison stands, none would be run
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "HEADWATER_VAR": empty})
    if done.returncode:
        raise RuntimeError(f"headwater compare ended with {done.returncode}; see its message above")
    return dict(json.loads(done.stdout))
