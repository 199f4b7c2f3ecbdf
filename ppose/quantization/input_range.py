"""Histograms of a convolution's input, and the choice of the range that int8 covers."""

from collections.abc import Callable

import numpy as np

from ppose.quantization.scheme import InputQuantization

_BINS = 4096
# Share of the values that `choose_percentile` covers.
_COVERED = 0.9999
# `choose_entropy` tries every range of this many bins.
_STRIDE = 8
# Shares of the largest magnitude that `choose_mse` tries, the whole first.
_PARTS = np.arange(100, 9, -1) / 100
# Smaller steps are denormal in float32, with fewer digits.
_SMALLEST = 255 * float(np.finfo(np.float32).tiny)


class InputRange:
    """A histogram of the magnitudes of a tensor's values, filled batch by batch.

    Its bins are equal and start at 0; their width doubles if a value lies beyond, so that one pass suffices.
    Bin i counts magnitudes from i * width to (i + 1) * width. The largest magnitude lies in the upper half of
    the bins, so a bin is 1/2048 of the range or finer. ``is_vector``: all tensors (N, C, H, W) were 1x1.
    """

    def __init__(self) -> None:
        self.lowest = self.highest = 0.0
        self.width = 0.0
        self.counts = np.zeros(_BINS, np.int64)
        self.is_vector = True

    @property
    def largest(self) -> float:
        """The largest magnitude so far."""
        return max(-self.lowest, self.highest)

    def observe(self, values: np.ndarray) -> None:
        """Count the values of a tensor (N, C, H, W), which are finite."""
        lowest, highest = float(values.min()), float(values.max())
        self.is_vector &= values.shape[2:] == (1, 1)
        self.lowest, self.highest = min(self.lowest, lowest), max(self.highest, highest)
        self._widen()
        # In float64, where 1 / (smallest width) is finite.
        per_value = np.float64(1 / self.width if self.width else 0)
        bins = np.minimum((np.abs(values.ravel()) * per_value).astype(np.int32), _BINS - 1)
        self.counts += np.bincount(bins, minlength=_BINS)

    def _widen(self) -> None:
        if self.width == 0:
            self.width = self.largest / _BINS
        while self.largest > self.width * _BINS:
            self.counts = np.append(self.counts.reshape(-1, 2).sum(axis=1), np.zeros(_BINS // 2, np.int64))
            self.width *= 2


def choose_minmax(observed: InputRange) -> InputQuantization:
    """Cover all observed values."""
    return _quantization(observed, observed.largest)


def choose_percentile(observed: InputRange) -> InputQuantization:
    """Cover 99.99 % of the values by magnitude, to a bin's width; clip the outliers."""
    covered = np.cumsum(observed.counts) >= _COVERED * observed.counts.sum()
    return _quantization(observed, min((int(covered.argmax()) + 1) * observed.width, observed.largest))


def choose_entropy(observed: InputRange) -> InputQuantization:
    """Cover the range whose distribution loses least information by clipping and rounding.

    Of the ranges 0 .. i * width it takes the one with the least Kullback-Leibler divergence of the rounded
    histogram from the clipped one (Migacz, "8-bit inference with TensorRT", 2017). Clipped: values beyond
    count in the last bin. Rounded: bins are merged to the number of levels, and each merged bin is spread
    evenly over its nonempty bins. As in NVIDIA's pytorch-quantization, the first bin gets the count of its
    neighbour: ReLU's zeros are a level in any range, and so frequent that they would outweigh everything.
    """
    counts = np.trim_zeros(observed.counts, "b").copy()
    counts[:1] = counts[1:2].sum()
    levels = _quantization(observed, 1.0).levels[1] + 1
    ends = range(len(counts), levels, -_STRIDE)
    if not ends:
        return choose_minmax(observed)
    best = min(ends, key=lambda end: _divergence(counts, end, levels))
    return _quantization(observed, min(best * observed.width, observed.largest))


def choose_mse(observed: InputRange) -> InputQuantization:
    """Cover the range with the least mean squared error of clipping and rounding.

    As in Nagel et al., "A White Paper on Neural Network Quantization", 2021, section 3.1. Tries 10 % to 100 %
    of the largest magnitude; a bin's values count as its middle.
    """
    counts = np.trim_zeros(observed.counts, "b")
    values = (np.arange(len(counts)) + 0.5) * observed.width

    def loss(quantization: InputQuantization) -> float:
        step, top = quantization.step, quantization.levels[1]
        return float((counts * (np.minimum(np.rint(values / step), top) * step - values) ** 2).sum())

    return min((_quantization(observed, part * observed.largest) for part in _PARTS), key=loss)


CHOICES: dict[str, Callable[[InputRange], InputQuantization]] = {
    "minmax": choose_minmax,
    "percentile": choose_percentile,
    "entropy": choose_entropy,
    "mse": choose_mse,
}


def _divergence(counts: np.ndarray, end: int, levels: int) -> float:
    """The divergence of bins 0 .. end - 1, merged to ``levels`` and spread, from the clipped histogram."""
    cut = counts[:end].astype(np.float64)
    filled = cut > 0
    starts = np.arange(levels) * end // levels
    merged = np.add.reduceat(cut, starts)
    share = merged / np.maximum(np.add.reduceat(filled, starts, dtype=np.int64), 1)
    rounded = np.repeat(share, np.diff(starts, append=end))[filled]
    beyond = counts[end:].sum()
    if beyond and not filled[-1]:
        return np.inf  # the last bin is nonempty after clipping, and empty after rounding
    cut[-1] += beyond
    cut = cut[filled]
    return float((cut * np.log(cut / rounded)).sum() / cut.sum() + np.log(rounded.sum() / cut.sum()))


def _quantization(observed: InputRange, largest: float) -> InputQuantization:
    """Unsigned if no value was below 0. An input that is always 0 may have any step."""
    return InputQuantization(float(largest) if largest >= _SMALLEST else 1.0, signed=observed.lowest < 0)
