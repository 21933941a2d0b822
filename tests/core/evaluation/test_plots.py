"""Plots are drawn from results, as files of their own, without pyplot's global state."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import figure, image

from core.evaluation import plots
from core.evaluation.calibration import calibrate


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[figure.Figure]:
    """The figures that were saved, to look at what they show."""
    kept: list[figure.Figure] = []
    save = plots._save

    def keep(drawing: figure.Figure, path: Path) -> Path:
        kept.append(drawing)
        return save(drawing, path)

    monkeypatch.setattr(plots, "_save", keep)
    return kept


def ink(path: Path) -> float:
    """Share of pixels that are not white."""
    return float((image.imread(path)[..., :3].min(axis=2) < 0.99).mean())


def test_history_splits_losses_and_metrics_and_skips_bookkeeping(tmp_path: Path, drawn: list) -> None:
    history = [
        {"loss": 1.0, "learning_rate": 1e-4, "grad_norm": 2.0, "epoch": 0.5, "step": 5},
        {"loss": 0.5, "learning_rate": 1e-5, "grad_norm": 2.0, "epoch": 1.0, "step": 10},
        {
            "eval_loss": 0.7,
            "eval_accuracy": 0.8,
            "eval_runtime": 3.0,
            "eval_samples_per_second": 9.0,
            "epoch": 1.0,
        },
        {"eval_loss": float("nan"), "eval_accuracy": 0.9, "epoch": 2.0},
        {"train_runtime": 9.0, "train_loss": 0.6, "epoch": 2.0},
    ]
    path = plots.plot_history(history, tmp_path / "history.png")
    left, right = drawn[0].axes
    shown = {line.get_label(): [list(xy) for xy in line.get_xydata()] for line in left.lines + right.lines}
    assert shown == {
        "training": [[0.5, 1.0], [1.0, 0.5]],
        "validation": [[1.0, 0.7]],
        "accuracy": [[1.0, 0.8], [2.0, 0.9]],
    }
    assert (left.get_xlabel(), left.get_ylabel()) == ("epoch", "loss (nats)")
    assert ink(path) > 0.01 and list(tmp_path.iterdir()) == [path]


def test_an_empty_history_still_gives_a_picture(tmp_path: Path) -> None:
    assert ink(plots.plot_history([], tmp_path / "h.png")) > 0.005


def test_a_small_confusion_matrix_shows_every_count(tmp_path: Path, drawn: list) -> None:
    plots.plot_confusion([[5, 1, 0], [0, 7, 2], [3, 0, 9]], ["a", "b", "c"], tmp_path / "c.png")
    assert sorted(int(t.get_text()) for t in drawn[0].axes[0].texts) == [1, 2, 3, 5, 7, 9]


def test_a_large_one_shows_the_most_confused_classes_and_accounts_for_the_rest(tmp_path: Path, drawn: list) -> None:
    matrix = np.diag(np.full(77, 30))
    matrix[10, 60], matrix[60, 10], matrix[3, 4], matrix[10, 5] = 9, 4, 6, 1
    path = plots.plot_confusion(matrix, [f"class {i}" for i in range(77)], tmp_path / "c.png")
    axes = drawn[0].axes[0]
    rows = [t.get_text() for t in axes.get_yticklabels()]
    assert rows == ["class 10 (40)", "class 60 (34)", "class 3 (36)", "class 4 (30)", "class 5 (30)"]
    assert axes.get_xticklabels()[-1].get_text() == "(all others)"
    assert sum(int(t.get_text()) for t in axes.texts) == 40 + 34 + 36 + 30 + 30
    height, width = image.imread(path).shape[:2]
    assert max(height, width) < 2500


def test_a_large_matrix_without_errors_and_other_scripts(tmp_path: Path) -> None:
    labels = [f"very_long_label_name_that_goes_on_and_on_{i}" for i in range(30)]
    assert ink(plots.plot_confusion(np.diag(np.full(30, 2)), labels, tmp_path / "a.png")) > 0.01
    assert ink(plots.plot_confusion([[0, 0], [0, 0]], ["empty", "$x_1$"], tmp_path / "b.png")) > 0.01
    with pytest.raises(ValueError, match="labels"):
        plots.plot_confusion([[1]], ["a", "b"], tmp_path / "c.png")


@pytest.mark.parametrize("multi_label", [False, True])
def test_reliability_bars_reach_the_measured_accuracy(tmp_path: Path, drawn: list, multi_label: bool) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (200, 3)) if multi_label else rng.integers(0, 3, 200)
    made = calibrate(rng.normal(size=(200, 3)) * 3, truth)
    path = plots.plot_reliability(made, tmp_path / "r.png")
    before, after, counts, _ = drawn[0].axes
    assert sum(bar.get_height() for bar in counts.patches) == (600 if multi_label else 200)
    filled = [b for b in made.bins_before if b.count]
    accuracy = [sum(bar.get_height() for bar in group) for group in zip(*before.containers[::2], strict=True)]
    assert accuracy == pytest.approx([b.accuracy for b in filled])
    assert f"{made.ece_after:.3f}" in after.get_title()
    assert ink(path) > 0.05


def test_neither_pyplot_nor_torch_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from core.evaluation import plots, report, compare, retrieval, generation, selective\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"plots.plot_history([{{'loss': 1.0}}], {str(tmp_path / 'h.png')!r})\n"
        "assert not {'matplotlib.pyplot', 'torch', 'transformers', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
