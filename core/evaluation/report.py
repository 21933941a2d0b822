"""The model card: what was tuned, on what, how well, and what nobody measured; metrics as JSON and table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.evaluation import card_text as text
from core.evaluation.files import jsonable, write_json, write_text

MANY_CLASSES = 30  # beyond this the card shows only the worst and the best classes
IMAGES = {
    "history.png": "Loss and validation metrics during training",
    "confusion.png": "Confusion matrix on the test rows",
    "reliability.png": "Reliability before and after temperature scaling",
}


@dataclass(frozen=True)
class DataSource:
    """Labelled text a model was tuned or tested on."""

    name: str
    licence: str | None = None
    part: str | None = None
    rows: int | None = None
    url: str | None = None


@dataclass(frozen=True)
class Card:
    """Everything a model card states. ``created`` is an aware UTC datetime from the caller's clock.

    ``metrics`` maps a name to ``{"value", "low", "high"}``; ``per_class`` rows, ``calibration``
    and ``robustness`` are the ``to_dict()`` of their results; ``findings`` those of the data checks; ``history``
    the trainer's log.
    """

    name: str
    task: str
    method: str
    backbone: str
    backbone_licence: str | None
    created: datetime
    metrics: Mapping[str, Mapping[str, float | None]]
    recipe_toml: str
    intended_use: str = ""
    sources: Sequence[DataSource] = ()
    fingerprint: str | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    labels: Sequence[str] = ()
    findings: Sequence[Mapping[str, Any]] = ()
    per_class: Sequence[Mapping[str, Any]] = ()
    calibration: Mapping[str, Any] | None = None
    robustness: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    trainable_parameters: int | None = None
    total_parameters: int | None = None
    train_seconds: float | None = None
    examples_per_second: float | None = None
    hardware: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    limits: Sequence[str] = ()
    languages: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(jsonable(vars(self)))


def write_card(folder: str | Path, card: Card) -> Path:
    """Write ``README.md`` in the model's folder; links those plots of ``IMAGES`` that already lie there."""
    folder = Path(folder)
    images = {name: caption for name, caption in IMAGES.items() if (folder / name).is_file()}
    return write_text(folder / "README.md", render_card(card, images))


def write_metrics(folder: str | Path, metrics: Mapping[str, Any]) -> Path:
    """Write ``metrics.json``: results become plain values, what is not a finite number becomes null."""
    return write_json(Path(folder) / "metrics.json", metrics)


def render_card(card: Card, images: Mapping[str, str] | None = None) -> str:
    """The card as Markdown with the YAML front matter that model hubs read."""
    if card.created.tzinfo is None:
        raise ValueError("Card.created must carry its time zone; use datetime.now(UTC)")
    sections = [
        text.front_matter(card),
        f"# {card.name}",
        _summary(card),
        text.section("Intended use", card.intended_use or "Not stated by the recipe's author."),
        text.section("Results", _results(card)),
        text.section("By class", _by_class(card.per_class)) if card.per_class else "",
        text.section("Calibration", _calibration(card.calibration)) if card.calibration else "",
        text.section("Robustness", _robustness(card.robustness)) if card.robustness else "",
        text.section("Plots", "\n\n".join(f"![{c}]({n})" for n, c in images.items())) if images else "",
        text.section("Data", _data(card)),
        text.section("Training", _training(card)),
        text.section("Limits", _limits(card)),
        text.section("Recipe", text.fenced(card.recipe_toml, "toml")),
    ]
    return "\n\n".join(s.strip() for s in sections if s.strip()) + "\n"


def result_table(metrics: Mapping[str, Any]) -> str:
    """A plain-text table of metric, value and 95 % interval for the terminal."""
    rows = [_metric_row(name, values) for name, values in metrics.items()]
    header = ("metric", "value", "95 % interval")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in [header, *rows]]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def _metric_row(name: str, values: Any) -> tuple[str, str, str]:
    plain = jsonable(values)
    if not isinstance(plain, Mapping):
        return name, text.number(plain), ""
    low, high = plain.get("low"), plain.get("high")
    interval = "" if low is None or high is None else f"{text.number(low)} to {text.number(high)}"
    return name, text.number(plain.get("value")), interval


def _summary(card: Card) -> str:
    labels = f", {len(card.labels)} labels" if card.labels else ""
    return (
        f"A **{card.task}** model{labels}: backbone `{card.backbone}`, tuned by **{card.method}** "
        f"on {card.created.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
    )


def _results(card: Card) -> str:
    if not card.metrics:
        return "Nothing was measured: there were no test rows."
    rows = [_metric_row(name, values) for name, values in card.metrics.items()]
    table = text.table(("metric", "value", "95 % interval"), rows, right=(1, 2))
    n = card.rows.get("test")
    on = f"On {n:,} test rows. " if n else ""
    return f"{on}Intervals come from a bootstrap over the test rows.\n\n{table}"


def _by_class(per_class: Sequence[Mapping[str, Any]]) -> str:
    columns = [c for c in per_class[0] if c != "label"]
    worst = sorted(per_class, key=lambda row: (row.get("f1") or 0.0, str(row["label"])))
    # A class without a test row was not measured: it is neither among the worst nor among the best.
    measured = [row for row in worst if row.get("support") != 0]

    def rows(chosen: Sequence[Mapping[str, Any]]) -> str:
        cells = [[str(row["label"]), *(text.number(row.get(c)) for c in columns)] for row in chosen]
        return text.table(("label", *columns), cells, right=range(1, len(columns) + 1))

    if len(per_class) <= MANY_CLASSES:
        return rows(per_class)
    return (
        f"The 10 worst and the 10 best of {len(per_class)} classes by F1; all are in `metrics.json`.\n\n"
        f"**Worst**\n\n{rows(measured[:10])}\n\n"
        f"<details><summary>Best</summary>\n\n{rows(measured[-10:][::-1])}\n\n</details>"
    )


def _calibration(values: Mapping[str, Any]) -> str:
    where = "held-out rows" if values.get("held_out") else "the rows it was fitted on, which flatters it"
    rows = [
        (
            "expected calibration error",
            text.number(values.get("ece_before")),
            text.number(values.get("ece_after")),
        ),
        ("log-loss (nats)", text.number(values.get("nll_before")), text.number(values.get("nll_after"))),
    ]
    return (
        f"Temperature {text.number(values.get('temperature'))}, fitted on {values.get('fitted_on', 0):,} "
        f"validation rows; measured on {values.get('measured_n', 0):,} rows: {where}.\n\n"
        + text.table(("", "before", "after"), rows, right=(1, 2))
    )


def _robustness(found: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, values in found.items():
        accuracy = values["accuracy"]
        _, value, interval = _metric_row(name, accuracy)
        same = name == "unchanged"
        rows.append(
            (
                name,
                value,
                interval,
                "–" if same else f"{values['applied']:.0%}",
                "–" if same else f"{values['flipped']:.0%}",
            )
        )
    n = next(iter(found.values())).get("n")
    return (
        f"Accuracy when {'the texts of ' + text.number(n) + ' rows' if n else 'the texts'} are changed in a way after "
        "which a reader would give the same label (the changes are English).\n\n"
        + text.table(
            ("change", "accuracy", "95 % interval", "texts it touches", "of these get another label"),
            rows,
            right=(1, 2, 3, 4),
        )
    )


def _data(card: Card) -> str:
    parts = []
    if card.sources:
        rows = [
            (
                f"[{text.cell(s.name)}]({s.url})" if s.url else text.cell(s.name),
                text.cell(s.part or "–"),
                text.number(s.rows),
                text.cell(s.licence or "not stated"),
            )
            for s in card.sources
        ]
        parts.append(text.table(("source", "part", "rows", "licence"), rows, right=(2,), escape=False))
    if card.rows:
        used = ", ".join(f"{part} {n:,}" for part, n in card.rows.items() if n is not None)
        parts.append(f"Rows used after the checks: {used}.")
    if card.fingerprint:
        parts.append(f"Fingerprint of the rows (sha256): `{card.fingerprint}`")
    if card.findings:
        rows_found = [
            (
                str(f.get("kind", "")),
                str(f.get("action", "")),
                text.number(f.get("count")),
                str(f.get("message", "")),
            )
            for f in card.findings
        ]
        parts.append(
            "What the checks found:\n\n" + text.table(("kind", "action", "rows", "what"), rows_found, right=(2,))
        )
    return "\n\n".join(parts) or "No source was recorded."


def _training(card: Card) -> str:
    trained = text.number(card.trainable_parameters)
    if card.trainable_parameters and card.total_parameters:
        trained += f" of {card.total_parameters:,} ({100 * card.trainable_parameters / card.total_parameters:.2f} %)"
    epochs = [e for e in (row.get("epoch") for row in card.history) if isinstance(e, int | float) and math.isfinite(e)]
    facts = [
        ("trained parameters", trained if card.trainable_parameters is not None else None),
        ("epochs", f"{max(epochs):g}" if epochs else None),
        ("training time", text.duration(card.train_seconds)),
        (
            "speed",
            None if card.examples_per_second is None else f"{card.examples_per_second:,.1f} examples/s",
        ),
        ("hardware", card.hardware),
        ("libraries", ", ".join(f"{name} {version}" for name, version in card.versions.items()) or None),
    ]
    known = [(name, value) for name, value in facts if value]
    return text.table(("", ""), known) if known else "Nothing was recorded."


def _limits(card: Card) -> str:
    """The author's limits, then what the figures above leave unmeasured."""
    found = list(card.limits)
    absent = [str(row["label"]) for row in card.per_class if row.get("support") == 0]
    if absent:
        shown = ", ".join(absent[:10]) + (f" and {len(absent) - 10} more" if len(absent) > 10 else "")
        found.append(f"No test row carries these labels, so their recall was not measured: {shown}.")
    n = card.rows.get("test")
    if not card.metrics:
        found.append("No test rows: every quality figure is missing.")
    elif n is not None and n < 500:
        found.append(f"Only {n} test rows: read the intervals, not the values.")
    if card.task == "classification" and card.calibration is None:
        found.append("Calibration was not measured: a probability may not mean what it says.")
    if any(source.licence is None for source in card.sources):
        found.append("A data source has no stated licence: check it before passing the model on.")
    typos = "" if card.robustness else "typos or "
    found.append(
        "Not measured: text from other sources, periods or languages than the test rows, robustness to "
        f"{typos}hostile text, and fairness between groups of writers."
    )
    return "\n".join(f"- {text.line(limit)}" for limit in found)
