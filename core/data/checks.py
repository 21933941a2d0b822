"""Check the parts of a data set against each other and report everything: nothing is mended in silence."""

from collections.abc import Collection

import pandas as pd

from core.data.keys import label_counts, label_keys, text_keys
from core.data.repairs import Job, Parts, within
from core.data.sources import Checks
from core.data.table import EXAMPLES_SHOWN, Finding, Task, counted, place, places
from core.errors import InputError

__all__ = ["Finding", "Job", "check", "leakage", "trainable", "unseen_labels", "within"]

JUDGING = ("validation", "test")


def check(
    parts: dict[str, pd.DataFrame], task: Task, checks: Checks, multi_label: bool = False
) -> tuple[dict[str, pd.DataFrame], list[Finding]]:
    """Apply every rule to the parts ``train``, ``validation`` and ``test`` (the last two may be absent).

    Returns new frames with a fresh index, and what was found. Raises InputError for what ``checks`` refuses,
    for training data with one class and for a part left without rows.
    """
    job = Job(task, checks, multi_label)
    parts, findings = within({name: frame.reset_index(drop=True) for name, frame in parts.items()}, job)
    for rule in (leakage, unseen_labels, trainable):
        parts, found = rule(parts, job)
        findings += found
    return parts, findings


def leakage(parts: Parts, job: Job, against: Collection[str] = JUDGING) -> tuple[Parts, list[Finding]]:
    """Texts shared by train and a part in ``against`` leave train; those of validation and test are told."""
    findings: list[Finding] = []
    result = dict(parts)
    keys = {name: text_keys(frame, job.task) for name, frame in parts.items()}
    for part in JUDGING:
        if part not in against or part not in parts or "train" not in result:
            continue
        train = result["train"]
        shared = keys["train"].isin(set(keys[part]))
        if not shared.any():
            continue
        where = places(train[shared], job.main_text)
        told = f"train: {counted(shared.sum(), 'row')} with a text that is also in {part}"
        if job.checks.leakage == "refuse":
            raise InputError(
                f"{where[0]}: this text is also in {part} ({shared.sum()} such rows); remove it or set "
                'checks.leakage = "drop-from-train".'
            )
        if job.checks.leakage == "report":
            findings.append(Finding("leakage", "kept", int(shared.sum()), where, f"{told}, kept."))
            continue
        findings.append(Finding("leakage", "dropped", int(shared.sum()), where, f"{told}, dropped from train."))
        result["train"] = train[~shared].reset_index(drop=True)
        keys["train"] = keys["train"][~shared].reset_index(drop=True)
    if "validation" in parts and "test" in parts and set(against) & set(JUDGING):
        shared = keys["validation"].isin(set(keys["test"]))
        if shared.any():
            message = f"validation: {counted(shared.sum(), 'row')} with a text that is also in test, kept."
            where = places(parts["validation"][shared], job.main_text)
            findings.append(Finding("leakage", "kept", int(shared.sum()), where, message))
    return result, findings


def unseen_labels(parts: Parts, job: Job) -> tuple[Parts, list[Finding]]:
    """Labels of validation or test that train never has are refused, or their rows dropped."""
    if job.task != "classification" or "train" not in parts:
        return parts, []
    known = set(label_counts(parts["train"]["label"], job.multi_label))
    findings = []
    result = dict(parts)
    for part in JUDGING:
        if part not in parts:
            continue
        frame = parts[part]
        if job.multi_label:
            unseen = pd.Series([not known.issuperset(names) for names in frame["label"]], index=frame.index, dtype=bool)
        else:
            unseen = ~frame["label"].isin(list(known))
        if not unseen.any():
            continue
        names = sorted(set(label_counts(frame.loc[unseen, "label"], job.multi_label)) - known)
        if job.checks.unseen_labels == "refuse":
            first = frame[unseen].iloc[0]
            name = next(n for n in label_counts([first["label"]], job.multi_label) if n not in known)
            raise InputError(
                f"{place(first['file'], first['row'], 'label')}: {name!r} is in {part} but never in train; "
                'add training rows, relabel it or set checks.unseen_labels = "drop".'
            )
        n_rows = counted(unseen.sum(), "row")
        message = f"{part}: {n_rows} with labels unknown to train, dropped ({_shorten(names)})."
        examples = places(frame[unseen], "label")
        findings.append(Finding("unseen_label", "dropped", int(unseen.sum()), examples, message))
        result[part] = frame[~unseen].reset_index(drop=True)
    return result, findings


def trainable(parts: Parts, job: Job) -> tuple[Parts, list[Finding]]:
    """Refuse parts without rows and training data with one class; tell of classes with a single example."""
    for part in ("train", "test"):
        if part in parts and parts[part].empty:
            raise InputError(f"data.{part}: no usable row is left after the checks; give more labelled examples.")
    if "train" not in parts or job.task not in ("classification", "ranking"):
        return parts, []
    train = parts["train"]
    if label_keys(train["label"], job.multi_label).nunique() < 2:
        first = train.iloc[0]
        raise InputError(
            f"data.train: every usable row has the label {first['label']!r} "
            f"(the first is {place(first['file'], first['row'], 'label')}); give examples of at least two."
        )
    if job.task != "classification":
        return parts, []
    single = {name for name, count in label_counts(train["label"], job.multi_label).items() if count == 1}
    if not single:
        return parts, []
    rare = pd.Series(
        [bool(single.intersection(names if job.multi_label else (names,))) for names in train["label"]],
        index=train.index,
        dtype=bool,
    )
    message = f"train: {len(single)} labels have a single example ({_shorten(sorted(single))}); it stays there."
    return parts, [Finding("rare_class", "kept", len(single), places(train[rare], "label"), message)]


def _shorten(names: list[str]) -> str:
    return ", ".join(names[:EXAMPLES_SHOWN]) + (", …" if len(names) > EXAMPLES_SHOWN else "")
