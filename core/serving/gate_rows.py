"""The validation rows of an int8 export, read from a file in the shape the model's task needs."""

import json
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.serving.gate import Gate, classification_gate, ranking_gate, retrieval_gate, vectors_gate
from core.serving.network import Network


def read_gate(
    network: Network, path: Path, format: str = "auto", text: str | None = None, label: str | None = None
) -> Gate:
    """Rows of ``path`` for the network's task; columns are the recipe's unless ``text`` or ``label`` name others.

    A backbone, which has no task, needs a column of texts; with ``label`` naming a column of what each text should
    find, it is judged by finding it. Raises InputError naming file, row and column.
    """
    from core.data.readers import read
    from core.data.sources import Columns, Source
    from core.tuning.recipe import Recipe

    source = Source(path=path, format=format)
    if not (network.folder / "recipe.toml").is_file():
        return _backbone_rows(source, network, text or "text", label)
    recipe = Recipe.load(network.folder / "recipe.toml")
    names = {"classification": ("text", "label"), "matching": ("text", "positive"), "ranking": ("query", "label")}
    if recipe.task not in names:
        raise InputError(f"a {recipe.task} model has no int8 export; leave --engine out.")
    first, second = names[recipe.task]
    given: dict[str, str] = {k: v for k, v in ((first, text), (second, label)) if v}
    columns: Columns = recipe.data.columns.model_copy(update=given)
    rows = read(source, recipe.task, columns, recipe.data.multi_label).frame
    rows = rows[~rows[[first, second]].isna().any(axis=1)].reset_index(drop=True)
    if len(rows) == 0:
        raise InputError(
            f"{path} has no row with both {first} and {second}; the int8 export needs some to be judged on."
        )
    if recipe.task == "matching":
        return retrieval_gate(list(rows["text"]), list(rows["positive"]), network.query_prefix, network.passage_prefix)
    if recipe.task == "ranking":
        return ranking_gate(list(rows["query"]), list(rows["document"]), rows["label"].to_numpy(dtype=float))
    from core.evaluation.judge import targets

    labels = json.loads((network.folder / "labels.json").read_text(encoding="utf-8"))
    truth = targets(rows, labels, recipe.data.multi_label)
    pairs = list(rows["text_pair"]) if "text_pair" in rows else None
    return classification_gate(list(rows["text"]), truth, pairs, network.query_prefix)


def _backbone_rows(source: Any, network: Network, text: str, found: str | None) -> Gate:
    from core.data.formats import find_format

    reader = find_format(source)
    text = reader.columns.text if reader.columns else text
    names = [text, *([found] if found else [])]
    columns = reader.read(source, names).columns
    rows = [
        row for row in zip(*(columns[name] for name in names), strict=True) if all(str(c or "").strip() for c in row)
    ]
    texts = [str(row[0]) for row in rows]
    if found is None or not rows:
        return vectors_gate(texts, network.query_prefix)
    return retrieval_gate(texts, [str(row[1]) for row in rows], network.query_prefix, network.passage_prefix)
