"""Rules that look within each part: blanks, missing labels, spellings, conflicts, duplicates.

Every rule takes the parts and returns them with its findings; it never touches the frames it was given.
Rows are dropped only where that cannot make a result look better: the train part is repaired, while parts
that judge (validation, test) lose rows without a text or label and otherwise stay as they were published.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from core.data.keys import fold_label, label_counts, label_keys, text_keys
from core.data.sources import Checks
from core.data.table import LABELLED_TASKS, Finding, Task, counted, place, places, text_columns
from core.errors import InputError

Parts = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Job:
    """What the rules need to know."""

    task: Task
    checks: Checks
    multi_label: bool = False

    @property
    def main_text(self) -> str:
        """The column named when a whole row is meant."""
        return text_columns(self.task, ("text", "query", "prompt"))[0]


Rule = Callable[[Parts, Job], tuple[Parts, list[Finding]]]


def blank_text(parts: Parts, job: Job) -> tuple[Parts, list[Finding]]:
    """Rows without a visible character in a text column are dropped or refused."""
    findings = []
    result = dict(parts)
    for part, frame in parts.items():
        for column in text_columns(job.task, frame.columns):
            blank = pd.Series([_is_blank(text) for text in frame[column].tolist()], index=frame.index, dtype=bool)
            if not blank.any():
                continue
            if job.checks.blank_text == "refuse":
                raise _refusal(frame[blank], column, 'the text is blank; fill it or set checks.blank_text = "drop"')
            message = f"{part}: {counted(blank.sum(), 'row')} with a blank {column}, dropped."
            findings.append(Finding("blank_text", "dropped", int(blank.sum()), places(frame[blank], column), message))
            frame = frame[~blank]
        result[part] = frame.reset_index(drop=True)
    return result, findings


def missing_label(parts: Parts, job: Job) -> tuple[Parts, list[Finding]]:
    """Rows without a label are dropped or refused."""
    if job.task not in LABELLED_TASKS:
        return parts, []
    findings = []
    result = dict(parts)
    for part, frame in parts.items():
        if job.multi_label:
            missing = pd.Series(
                [not isinstance(names, list) for names in frame["label"]], index=frame.index, dtype=bool
            )
        else:
            missing = frame["label"].isna()
        if not missing.any():
            continue
        if job.checks.missing_label == "refuse":
            raise _refusal(frame[missing], "label", 'the label is missing; add it or set checks.missing_label = "drop"')
        message = f"{part}: {counted(missing.sum(), 'row')} without a label, dropped."
        examples = places(frame[missing], "label")
        findings.append(Finding("missing_label", "dropped", int(missing.sum()), examples, message))
        result[part] = frame[~missing].reset_index(drop=True)
    return result, findings


def label_spelling(parts: Parts, job: Job) -> tuple[Parts, list[Finding]]:
    """Labels that differ only in case, outer space or separators take the spelling most frequent in train."""
    if job.task != "classification":
        return parts, []
    counts = {part: Counter(label_counts(frame["label"], job.multi_label)) for part, frame in parts.items()}
    total: Counter[str] = sum(counts.values(), Counter())
    train = counts.get("train", Counter())
    spellings: dict[str, list[str]] = {}
    for name in total:
        spellings.setdefault(fold_label(name), []).append(name)
    repair: dict[str, str] = {}
    for names in spellings.values():
        best = min(names, key=lambda name: (-train[name], -total[name], name))
        # Outer space is never part of a name, even where it is the commoner spelling.
        repair.update({name: best.strip() for name in names if name != best.strip()})
    if not repair:
        return parts, []
    findings = []
    result = dict(parts)
    for part, frame in parts.items():
        labels = frame["label"]
        if job.multi_label:
            wrong = pd.Series([any(n in repair for n in names) for names in labels], index=frame.index, dtype=bool)
            mended = [list(dict.fromkeys(repair.get(n, n) for n in names)) for names in labels]
            labels = pd.Series(mended, index=frame.index, dtype=object)
        else:
            wrong = labels.isin(list(repair))
            labels = labels.map(lambda name: repair.get(name, name))
        if not wrong.any():
            continue
        shown = ", ".join(f"{a!r} -> {b!r}" for a, b in list(repair.items())[:5] if a in counts[part])
        message = f"{part}: {counted(wrong.sum(), 'label')} in another spelling, repaired ({shown})."
        examples = places(frame[wrong], "label")
        findings.append(Finding("label_typo", "repaired", int(wrong.sum()), examples, message))
        result[part] = frame.assign(label=labels)
    return result, findings


def conflicts(parts: Parts, job: Job) -> tuple[Parts, list[Finding]]:
    """The same text with different labels: train follows the majority (ties are dropped), others stay."""
    if job.task not in LABELLED_TASKS:
        return parts, []
    findings = []
    result = dict(parts)
    for part, frame in parts.items():
        texts = pd.factorize(text_keys(frame, job.task))[0]
        labels = pd.factorize(label_keys(frame["label"], job.multi_label))[0]
        table = pd.DataFrame({"text": texts, "label": labels}, index=frame.index)
        torn = table.groupby("text")["label"].transform("nunique") > 1
        if not torn.any():
            continue
        n_texts = int(table.loc[torn, "text"].nunique())
        if part != "train":
            message = f"{part}: {counted(n_texts, 'text')} with different labels ({torn.sum()} rows), kept."
            examples = places(frame[torn], "label")
            findings.append(Finding("conflict", "kept", int(torn.sum()), examples, message))
            continue
        if job.checks.conflicts == "refuse":
            raise _refusal(
                frame[torn],
                "label",
                "the same text has another label elsewhere; settle it or set checks.conflicts = 'majority'",
            )
        dropped = torn if job.checks.conflicts == "drop" else torn & ~_in_majority(table[torn], table.index)
        rule = "all their rows" if job.checks.conflicts == "drop" else "rows outside a majority"
        message = f"train: {counted(n_texts, 'text')} with different labels; {rule} dropped ({dropped.sum()})."
        findings.append(Finding("conflict", "dropped", int(dropped.sum()), places(frame[dropped], "label"), message))
        result[part] = frame[~dropped].reset_index(drop=True)
    return result, findings


def duplicates(parts: Parts, job: Job) -> tuple[Parts, list[Finding]]:
    """Rows equal in every text and the label: train keeps the first, other parts stay.

    Without labels texts that differ in case or space are equal, and never stay in train: each would be a negative
    of the other.
    """
    findings = []
    result = dict(parts)
    for part, frame in parts.items():
        content = frame[text_columns(job.task, frame.columns)]
        if job.task in LABELLED_TASKS:
            content = content.assign(label=pd.factorize(label_keys(frame["label"], job.multi_label))[0])
        unlabelled = job.task == "unlabelled"
        again = text_keys(frame, job.task).duplicated() if unlabelled else content.duplicated()
        if not again.any():
            continue
        drop = part == "train" and (unlabelled or job.checks.duplicates == "drop")
        done = "dropped" if drop else "kept"
        repeat = "repeat" if unlabelled else "exact repeat"
        message = f"{part}: {counted(again.sum(), repeat)} of an earlier row, {done}."
        examples = places(frame[again], job.main_text)
        findings.append(Finding("duplicate", "dropped" if drop else "kept", int(again.sum()), examples, message))
        if drop:
            result[part] = frame[~again].reset_index(drop=True)
    return result, findings


# Conflicts before duplicates: a label given twice to a text must count as two votes.
WITHIN: tuple[Rule, ...] = (blank_text, missing_label, label_spelling, conflicts, duplicates)


def within(parts: Parts, job: Job) -> tuple[Parts, list[Finding]]:
    """All rules of this file, in their order."""
    findings: list[Finding] = []
    for rule in WITHIN:
        parts, found = rule(parts, job)
        findings += found
    return parts, findings


def _is_blank(text: object) -> bool:
    # Zero-width characters and a stray byte-order mark show nothing either.
    return not isinstance(text, str) or not text.strip().strip("\u200b\u2060\ufeff").strip()


def _in_majority(table: pd.DataFrame, index: pd.Index) -> pd.Series:
    """Which rows carry their text's most frequent label, where that is a single one."""
    votes = table.groupby(["text", "label"]).size().rename("votes").reset_index()
    votes["top"] = votes["votes"] == votes.groupby("text")["votes"].transform("max")
    votes["single"] = votes.groupby("text")["top"].transform("sum") == 1
    winners = votes.loc[votes["top"] & votes["single"]].set_index("text")["label"]
    return (table["text"].map(winners) == table["label"]).reindex(index, fill_value=False)


def _refusal(bad: pd.DataFrame, column: str, what: str) -> InputError:
    first = bad.iloc[0]
    more = f" ({len(bad)} such rows)" if len(bad) > 1 else ""
    return InputError(f"{place(first['file'], first['row'], column)}: {what}{more}.")
