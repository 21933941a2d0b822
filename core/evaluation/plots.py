"""Pictures for a model's folder: curves, confusion, reliability. PNG files, written whole or not at all."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from core.evaluation.calibration import Calibration, ReliabilityBin
from core.evaluation.files import write_bytes

INK, BLUE, LIGHT_BLUE, ORANGE, GREY = "#22303c", "#2b6cb0", "#90cdf4", "#ed8936", "#a0aec0"
SERIES = (BLUE, "#dd6b20", "#2f855a", "#805ad5", "#b83280", "#718096")
FULL_MATRIX = 25  # classes up to which a whole confusion matrix stays readable
BLOCK = 16  # classes shown of a larger one
BOOKKEEPING = {"epoch", "step", "learning_rate", "grad_norm", "total_flos", "num_input_tokens_seen"}
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Microsoft YaHei",
)


def plot_history(history: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """Draw loss (left) and validation metrics (right) over training.

    ``history`` rows are those of a trainer's log: ``loss`` is the training loss, ``eval_loss`` the
    validation loss, any other number but bookkeeping a metric. The x axis is ``epoch``, else ``step``, else
    the row's number.
    """
    losses, metrics = _series(history)
    unit = next((u for u in ("epoch", "step") if any(u in row for row in history)), "log entry")
    figure, (left, right) = _figure((10.5, 4.0), columns=2)
    _lines(left, losses, {"loss": "training", "eval_loss": "validation", "validation_loss": "validation"})
    _lines(right, metrics, {name: name.removeprefix("eval_").replace("_", " ") for name in metrics})
    left.set(title="Loss", xlabel=unit, ylabel="loss (nats)")
    right.set(title="Validation metrics", xlabel=unit, ylabel="value")
    if losses and min(min(ys) for _, ys in losses.values()) >= 0:
        left.set_ylim(bottom=0)
    values = [y for _, ys in metrics.values() for y in ys]
    if values and min(values) >= 0 and max(values) <= 1:
        right.set_ylim(0, 1.02)
    return _save(figure, path)


def plot_confusion(matrix: ArrayLike, labels: Sequence[str], path: str | Path) -> Path:
    """Draw true class (down) by predicted class (across); colour: share of the true class, figures: rows.

    Beyond 25 classes only the block of the most confused ones is drawn, with all others summed in a last
    column.
    """
    from matplotlib.colors import PowerNorm

    counts = np.asarray(matrix, dtype=np.int64)
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(f"the matrix is {counts.shape}, there are {len(labels)} labels")
    title = "Confusion matrix"
    columns = [_short(label) for label in labels]
    rows = list(columns)
    support = counts.sum(axis=1)
    shown = counts
    if len(labels) > FULL_MATRIX:
        chosen = _most_confused(counts)
        block = counts[np.ix_(chosen, chosen)]
        shown = np.column_stack([block, support[chosen] - block.sum(axis=1)])
        errors, inside = counts.sum() - np.trace(counts), block.sum() - np.trace(block)
        title = f"The {len(chosen)} most confused of {len(labels)} classes: {inside} of {errors} errors"
        rows, columns = [rows[i] for i in chosen], [columns[i] for i in chosen] + ["(all others)"]
        support = support[chosen]
    share = shown / np.maximum(support, 1)[:, None]
    # A linear scale would leave confusions of a few per cent white.
    norm = PowerNorm(0.5, vmin=0, vmax=1)
    longest = max(len(label) for label in columns)
    side = max(2.4, 0.42 * len(rows))
    figure, (axes,) = _figure((side * len(columns) / len(rows) + 0.085 * longest + 1.9, side + 0.085 * longest + 1.2))
    image = axes.imshow(share, cmap="Blues", norm=norm)
    axes.set_xticks(range(len(columns)), columns, rotation=90 if longest > 3 and len(rows) > 3 else 0)
    axes.set_yticks(range(len(rows)), [f"{label} ({n})" for label, n in zip(rows, support, strict=True)])
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (rows)")
    axes.set_title(title, loc="left" if len(rows) > 8 else "center")
    axes.grid(False)
    for (i, j), count in np.ndenumerate(shown):
        if count:
            colour = "white" if norm(share[i, j]) > 0.55 else INK
            axes.text(j, i, str(count), ha="center", va="center", fontsize=8, color=colour)
    if len(columns) > len(rows):
        axes.axvline(len(rows) - 0.5, color=INK, linewidth=1)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    return _save(figure, path)


def plot_reliability(calibration: Calibration, path: str | Path) -> Path:
    """Draw accuracy by confidence before and after temperature scaling, with the rows in each bin below."""
    figure, axes = _figure((9.6, 5.2), columns=2, rows=2, heights=(3, 1))
    rows = "held-out rows" if calibration.held_out else "fitting rows"
    sides = (
        ("Before", calibration.bins_before, calibration.ece_before),
        (f"After, temperature {calibration.temperature:.2f}", calibration.bins_after, calibration.ece_after),
    )
    unit = "decisions" if calibration.multi_label else "rows"
    most = max((b.count for _, bins, _ in sides for b in bins), default=1)
    for column, (name, bins, error) in enumerate(sides):
        top, below = axes[column], axes[2 + column]
        _reliability_bars(top, bins)
        top.set_title(f"{name}: ECE {error:.3f}", fontsize=11)
        below.bar(*_bars(bins, [b.count for b in bins]), color=GREY, edgecolor="white", linewidth=0.5)
        # Most confidences sit near 1; on a linear axis the other bins would vanish.
        below.set(yscale="symlog", ylim=(0, most * 1.6), xlim=(0, 1), xlabel="confidence (probability)")
        for axis in (top, below):
            axis.set_xticks(np.linspace(0, 1, 6))
    axes[0].set_ylabel("share of positives" if calibration.multi_label else "accuracy (share)")
    axes[2].set_ylabel(f"{unit} (log)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(f"Reliability on {calibration.measured_n} {rows}", fontsize=12, color=INK)
    return _save(figure, path)


def _reliability_bars(axes: Any, bins: Sequence[ReliabilityBin]) -> None:
    filled = [b for b in bins if b.count]
    right = np.array([b.accuracy or 0.0 for b in filled])
    sure = np.array([b.confidence or 0.0 for b in filled])
    shared = np.minimum(right, sure)
    for heights, bottom, colour, label in (
        (shared, 0 * shared, BLUE, "accuracy"),
        (np.maximum(sure - right, 0), shared, ORANGE, "confidence above accuracy"),
        (np.maximum(right - sure, 0), shared, LIGHT_BLUE, "accuracy above confidence"),
    ):
        axes.bar(*_bars(filled, heights), bottom=bottom, color=colour, edgecolor="white", label=label)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", label="perfect calibration", zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1))


def _bars(bins: Sequence[ReliabilityBin], heights: Any) -> tuple[list[float], Any, list[float]]:
    return [(b.low + b.high) / 2 for b in bins], heights, [b.high - b.low for b in bins]


def _series(history: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Loss curves and metric curves, each name -> (xs, ys), from the numbers a trainer logs."""
    losses: dict[str, tuple[list[float], list[float]]] = {}
    metrics: dict[str, tuple[list[float], list[float]]] = {}
    for number, row in enumerate(history):
        x = row.get("epoch", row.get("step", number))
        # The closing summary of a trainer repeats its means; it is no point of a curve.
        if "train_runtime" in row:
            continue
        for name, value in row.items():
            if name in BOOKKEEPING or name.endswith(("_runtime", "_per_second", "_time")):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
                continue
            xs, ys = (losses if name.endswith("loss") and "log" not in name else metrics).setdefault(name, ([], []))
            xs.append(float(x))
            ys.append(float(value))
    return losses, metrics


def _lines(axes: Any, series: Mapping[str, tuple[list[float], list[float]]], names: Mapping[str, str]) -> None:
    for i, (name, (xs, ys)) in enumerate(series.items()):
        marker = "o" if len(xs) <= 30 else None
        colour = SERIES[i % len(SERIES)]
        axes.plot(xs, ys, color=colour, marker=marker, markersize=4, linewidth=1.8, label=names.get(name, name))
    if series:
        axes.legend(frameon=False, fontsize=8)
    else:
        axes.text(0.5, 0.5, "nothing was logged", transform=axes.transAxes, ha="center", color=GREY)


def _most_confused(counts: Any) -> list[int]:
    """Classes of the largest off-diagonal cells, each beside its counterpart, at most ``BLOCK``."""
    errors = counts - np.diag(np.diag(counts))
    pairs = errors + errors.T
    first, second = np.triu_indices(len(pairs), k=1)
    order = np.argsort(-pairs[first, second], kind="stable")
    chosen: list[int] = []
    for i, j in zip(first[order], second[order], strict=True):
        fresh = [int(c) for c in (i, j) if c not in chosen]
        if len(chosen) + len(fresh) > BLOCK or (pairs[i, j] == 0 and chosen):
            break
        chosen += fresh
    return chosen


def _short(label: str, limit: int = 36) -> str:
    # Names of neighbouring classes often differ only at the end: leave out the middle.
    return label if len(label) <= limit else f"{label[: limit // 2 - 1]}…{label[-limit // 2 :]}"


def plot_comparison(rows: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """Draw accuracy (with its interval) over the minutes each method took; one point per row of a comparison."""
    figure, (axes,) = _figure((7.5, 4.5))
    for number, method in enumerate(dict.fromkeys(row["method"] for row in rows)):
        own = [row for row in rows if row["method"] == method]
        minutes = [max(row["minutes"], 1e-3) for row in own]
        values = [row["metrics"]["accuracy"] for row in own]
        middle = [v["value"] for v in values]
        reach = [[v["value"] - v["low"] for v in values], [v["high"] - v["value"] for v in values]]
        colour = SERIES[number % len(SERIES)]
        axes.errorbar(minutes, middle, yerr=reach, fmt="o-", color=colour, label=method, capsize=3, linewidth=1)
        for x, y, row in zip(minutes, middle, own, strict=True):
            axes.annotate(f"{row['rows']:,}", (x, y), textcoords="offset points", xytext=(5, 5), fontsize=7)
    axes.set_xscale("log")
    axes.set_xlabel("minutes of tuning (numbers: labelled rows)")
    axes.set_ylabel("accuracy, 95% interval")
    axes.legend(frameon=False, fontsize=8)
    return _save(figure, path)


def _figure(
    size: tuple[float, float], columns: int = 1, rows: int = 1, heights: tuple[int, ...] | None = None
) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False, height_ratios=heights)
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, color="#e2e8f0", linewidth=0.8)
        axes.set_axisbelow(True)
    return figure, list(grid.flat)


def _save(figure: Any, path: str | Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.font_manager import get_font_names
    from matplotlib.text import Text

    installed = set(get_font_names())
    fonts = [name for name in _FONTS if name in installed] or ["sans-serif"]
    for text in figure.findobj(Text):
        text.set_fontfamily(fonts)
        if text.get_color() == "black":
            text.set_color(INK)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(buffer, format="png", dpi=130, bbox_inches="tight", pad_inches=0.15)
    return write_bytes(path, buffer.getvalue())
