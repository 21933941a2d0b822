"""From a recipe's [data] table to checked parts: read, relabel, check, cut, check across the cut."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from core.data.checks import JUDGING, leakage, trainable, unseen_labels
from core.data.formats import find_format
from core.data.keys import label_counts
from core.data.readers import read
from core.data.repairs import Job, Parts, within
from core.data.sources import Source
from core.data.splits import limit_per_class, split
from core.data.table import Finding, Table, Task, text_columns
from core.data.views import HELD_OUT, with_views
from core.errors import InputError

if TYPE_CHECKING:
    from core.tuning.recipe import DataConfig


@dataclass(frozen=True)
class Dataset:
    """Checked parts in canonical columns.

    ``validation`` has no rows when the data are too few to spare one; ``labels`` is sorted, and empty for
    tasks without classes; ``licences`` maps official formats to theirs; ``fingerprint`` is the SHA-256 of
    what the rows of all parts say, whatever file they came from.
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame | None
    labels: list[str]
    findings: list[Finding]
    licences: dict[str, str]
    fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        """Sizes and findings, without the rows."""
        return {
            "rows": {
                "train": len(self.train),
                "validation": len(self.validation),
                "test": None if self.test is None else len(self.test),
            },
            "labels": self.labels,
            "findings": [finding.to_dict() for finding in self.findings],
            "licences": self.licences,
            "fingerprint": self.fingerprint,
        }


def load(data: "DataConfig", task: Task, seed: int) -> Dataset:
    """Read, check and cut the data of a recipe.

    Order: every source is read, relabelled and joined to its part; each part is checked, and train against
    the parts that have their own source; then a test fraction is cut from train, ``limit_per_class`` applied
    to what is left (so that runs with different limits share one test part), and the validation fraction cut;
    at last the parts are checked against each other. Rows without labels then get their second view as ``positive``.
    Raises InputError.
    """
    if data.multi_label and task != "classification":
        raise InputError(f"data.multi_label is for classification; remove it for {task}.")
    if data.limit_per_class is not None and task != "classification":
        raise InputError(f"data.limit_per_class is for classification; remove it for {task}.")
    if data.unlabelled and task != "matching":
        raise InputError(f'data.unlabelled is for task = "matching"; remove it for {task}.')
    if data.word_deletion and not data.unlabelled:
        raise InputError("data.word_deletion makes views of unlabelled text; remove it, or set data.unlabelled = true.")
    kind: Task = "unlabelled" if data.unlabelled else task
    job = Job(kind, data.checks, data.multi_label)
    sources = {"train": data.train, "validation": data.validation, "test": data.test}
    parts: Parts = {}
    findings: list[Finding] = []
    licences: dict[str, str] = {}
    for name, given in sources.items():
        if isinstance(given, list):
            tables = [_read(source, data, kind) for source in given]
            parts[name] = _join(tables)
            findings += [finding for table in tables for finding in table.findings]
            licences |= {find_format(t.source).name: t.licence for t in tables if t.licence is not None}
    parts, found = within(parts, job)
    findings += found
    for name, frame in parts.items():
        if frame.empty:
            raise InputError(f"data.{name}: no usable row is left after the checks; give more labelled examples.")
    parts, found = leakage(parts, job)
    findings += found
    parts = _cut(parts, data, seed)
    cut = [name for name in JUDGING if isinstance(sources[name], float)]
    for rule in (lambda p, j: leakage(p, j, against=cut), unseen_labels, trainable):
        parts, found = rule(parts, job)
        findings += found
    counts = label_counts(parts["train"]["label"], data.multi_label) if task == "classification" else {}
    findings += _small_validation(parts["validation"], sorted(counts), data.multi_label)
    if data.unlabelled:
        shares = {name: data.word_deletion if name == "train" else HELD_OUT for name in parts}
        parts = {name: with_views(frame, shares[name], seed) for name, frame in parts.items()}
    return Dataset(
        train=parts["train"],
        validation=parts["validation"],
        test=parts.get("test"),
        labels=sorted(counts),
        findings=findings,
        licences=licences,
        fingerprint=fingerprint(parts, task),
    )


def fingerprint(parts: Parts, task: Task) -> str:
    """SHA-256 over the texts and labels of all parts, row by row."""
    digest = hashlib.sha256()
    for name in ("train", "validation", "test"):
        if name not in parts:
            continue
        frame = parts[name]
        columns = text_columns(task, frame.columns) + (["label"] if "label" in frame.columns else [])
        digest.update(json.dumps([name, columns, len(frame)]).encode())
        for values in zip(*(frame[column].tolist() for column in columns), strict=True):
            digest.update(json.dumps(values, ensure_ascii=False).encode("utf-8"))
    return digest.hexdigest()


def _read(source: Source, data: "DataConfig", task: Task) -> Table:
    table = read(source, task, data.columns, data.multi_label)
    if not source.relabel:
        return table
    if task != "classification":
        raise InputError(f"{source.path}: relabel is for classification; remove it for {task}.")
    frame = table.frame
    found: set[str] = set()
    if data.multi_label:
        given = [names if isinstance(names, list) else None for names in frame["label"]]
        found = {name for names in given if names for name in names}
        mended = [None if n is None else list(dict.fromkeys(source.relabel.get(x, x) for x in n)) for n in given]
        frame = frame.assign(label=pd.Series(mended, index=frame.index, dtype=object))
    else:
        found = set(frame["label"].dropna())
        frame = frame.assign(label=frame["label"].map(lambda n: source.relabel.get(n, n)))
    findings = list(table.findings)
    if idle := sorted(set(source.relabel) - found):
        message = f"{source.path}: relabel names {', '.join(map(repr, idle))}, which no row has."
        findings.append(Finding("relabel", "kept", len(idle), (str(source.path),), message))
    return Table(frame, source, findings, table.licence)


def _join(tables: Sequence[Table]) -> pd.DataFrame:
    first = tables[0]
    for other in tables[1:]:
        if differing := sorted(set(first.frame.columns) ^ set(other.frame.columns)):
            raise InputError(
                f"{first.source.path} and {other.source.path} cannot be joined: "
                f"only one has {', '.join(differing)}; name the same columns for both."
            )
    return pd.concat([table.frame for table in tables], ignore_index=True)


def _cut(parts: Parts, data: "DataConfig", seed: int) -> Parts:
    result = dict(parts)
    if isinstance(data.test, float):
        result["train"], result["test"] = split(result["train"], data.test, data.split, seed)
    if data.limit_per_class is not None:
        result["train"] = limit_per_class(result["train"], data.limit_per_class, seed)
    if isinstance(data.validation, float):
        result["train"], result["validation"] = split(result["train"], data.validation, data.split, seed)
    return result


def _small_validation(validation: pd.DataFrame, labels: list[str], multi_label: bool) -> list[Finding]:
    if validation.empty:
        message = "validation: no row could be spared for it; give a larger train part or a validation source."
        return [Finding("small_validation", "kept", 0, (), message)]
    present = label_counts(validation["label"], multi_label) if labels else {}
    absent = [name for name in labels if name not in present]
    if not absent:
        return []
    message = f"validation: {len(absent)} of {len(labels)} labels have no row in it."
    return [Finding("small_validation", "kept", len(absent), tuple(absent[:5]), message)]
