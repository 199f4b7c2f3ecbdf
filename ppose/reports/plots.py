"""The plots of reports."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ppose.reports.analysis import PCK_THRESHOLDS, SIMILARITIES, Calibration
from ppose.reports.curves import plain_label
from ppose.reports.error_kinds import KINDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KIND_COLOURS = ("#4caf50", "#fbc02d", "#f57c00", "#7b1fa2", "#c62828")
_MOST_KEYPOINTS = 30  # in one plot


def new_figure(width: float, height: float, columns: int = 1) -> "tuple[Figure, list[Axes]]":
    """A figure of this size in inches, and its panels side by side."""
    from matplotlib.figure import Figure  # without pyplot it needs no display and keeps no state

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def plot_kinds(counts: np.ndarray, names: Sequence[str]) -> "Figure":
    """Shares of the kinds (K, 5), one bar per keypoint."""
    counts = counts[:_MOST_KEYPOINTS]
    figure, (axes,) = new_figure(9, 1 + 0.26 * len(counts))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left = np.zeros(len(counts))
    for kind, colour in enumerate(_KIND_COLOURS):
        axes.barh(np.arange(len(counts)), shares[:, kind], left=left, color=colour, label=KINDS[kind])
        left += shares[:, kind]
    axes.set_yticks(np.arange(len(counts)), [plain_label(name) for name in names[: len(counts)]])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the labelled keypoints of found people")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def plot_costs(costs: Mapping[str, float]) -> "Figure":
    """The AP that each kind of error costs, one bar each."""
    figure, (axes,) = new_figure(7, 0.8 + 0.3 * len(costs))
    bars = axes.barh(list(costs), [100 * value for value in costs.values()], color="#5c6bc0")
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.invert_yaxis()
    axes.set_xlabel("AP points gained without this kind of error")
    axes.margins(x=0.12)
    return figure


def plot_keypoints(pck: np.ndarray, similar: np.ndarray, names: Sequence[str]) -> "Figure":
    """PCK (61, K) and shares by similarity (61, K), one line per keypoint, up to 30, and their mean."""
    figure, (left, right) = new_figure(11, 4.2, columns=2)
    _plot_shares(left, PCK_THRESHOLDS, pck, names)
    left.set(xlabel="distance, in longer sides of the person's box", ylabel="share of keypoints within it")
    _plot_shares(right, SIMILARITIES, similar, names)
    right.set(xlabel="similarity with the true keypoint", ylabel="share of keypoints at or above it")
    right.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=7)
    return figure


def _plot_shares(axes: "Axes", limits: np.ndarray, shares: np.ndarray, names: Sequence[str]) -> None:
    known = np.isfinite(shares).all(axis=0)
    colours = _spread_colours(min(shares.shape[1], _MOST_KEYPOINTS))
    for column, colour in enumerate(colours):
        if known[column]:
            axes.plot(limits, shares[:, column], lw=1, color=colour, label=plain_label(names[column]))
    if known.any():
        axes.plot(limits, shares[:, known].mean(axis=1), lw=2.5, color="black", label="mean")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)


def plot_calibration(found: Calibration) -> "Figure":
    """The share of correct people over their score, and precision over recall with the best F1."""
    figure, (left, right) = new_figure(9, 3.6, columns=2)
    left.plot([0, 1], [0, 1], color="#999", lw=1, ls="--")
    left.plot(found.mean_scores, found.shares, marker="o", color="#5c6bc0")
    left.set(xlabel="score", ylabel="share with OKS >= 0.5", xlim=(0, 1), ylim=(0, 1.02))
    right.plot(found.recall, found.precision, color="#5c6bc0")
    right.plot(found.recall[found.best], found.precision[found.best], "o", color="#c62828")
    right.set(xlabel="recall at OKS 0.5", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def _spread_colours(count: int) -> list[tuple[float, ...]]:
    from matplotlib import colormaps

    return [tuple(colormaps["turbo"](value)) for value in np.linspace(0.05, 0.95, count)]
