"""Ranges of inputs against numpy over all values at once, and against the published pseudo-code as loops."""

import math

import numpy as np
import pytest

from ppose.quantization.input_range import (
    CHOICES,
    InputRange,
    choose_entropy,
    choose_minmax,
    choose_mse,
    choose_percentile,
)


def observe(*batches):
    observed = InputRange()
    for batch in batches:
        observed.observe(np.asarray(batch, np.float32))
    return observed


@pytest.fixture(scope="module")
def batches():
    """Long tails, and each batch with larger values than the one before."""
    rng = np.random.default_rng(0)
    return [(rng.laplace(size=(4, 3, 50, 40)) * size).astype(np.float32) for size in (0.01, 1.0, 2.3)]


def test_one_pass_counts_what_a_histogram_of_all_values_does(batches):
    observed = observe(*batches)
    values = np.abs(np.concatenate(batches)).astype(np.float64)
    assert observed.counts.sum() == values.size
    edges = np.arange(len(observed.counts) + 1) * observed.width
    off = np.cumsum(observed.counts) - np.cumsum(np.histogram(values, edges)[0])
    assert np.abs(off).max() <= 2  # a value at an edge may be on either side of it
    assert values.max() / len(observed.counts) <= observed.width < 2 * values.max() / 2048
    assert observed.highest == np.concatenate(batches).max()
    assert observed.lowest == np.concatenate(batches).min()


def test_minmax_covers_every_value(batches):
    values = np.concatenate(batches)
    chosen = choose_minmax(observe(*batches))
    assert chosen.largest == np.abs(values).max()
    assert chosen.signed
    positive = choose_minmax(observe(*map(np.abs, batches)))
    assert positive.largest == chosen.largest
    assert not positive.signed
    assert positive.step == pytest.approx(chosen.step * 127 / 255)


def test_percentile_covers_all_but_the_outliers(batches):
    observed = observe(*batches)
    values = np.abs(np.concatenate(batches))
    expected = np.percentile(values, 99.99, method="inverted_cdf")
    assert expected < 0.9 * values.max()
    assert choose_percentile(observed).largest == pytest.approx(expected, abs=1.01 * observed.width)


def loop_of_the_slides(counts, end, levels):
    """The divergence of Migacz' pseudo-code (GTC 2017), bin by bin."""
    reference = [float(count) for count in counts[:end]]
    candidate = [0.0] * end
    for level in range(levels):
        bins = range(level * end // levels, (level + 1) * end // levels)
        filled = [i for i in bins if counts[i] > 0]
        for i in filled:
            candidate[i] = sum(float(counts[k]) for k in bins) / len(filled)
    reference[-1] += sum(counts[end:])
    total, candidates = sum(reference), sum(candidate)
    divergence = 0.0
    for p, q in zip(reference, candidate, strict=True):
        if p > 0:
            divergence += math.inf if q == 0 else p / total * math.log((p / total) / (q / candidates))
    return divergence


@pytest.mark.parametrize("sign", ["signed", "unsigned"])
def test_entropy_takes_the_cut_that_loses_least(sign):
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(size=40_000), rng.normal(size=40) * 10])
    # The first batch makes bins so wide that few, and loops over few, are used in the end.
    observed = observe([0.4995 * np.abs(values).max()], values if sign == "signed" else values.clip(0))
    counts = observed.counts.copy()
    counts[0] = counts[1]
    levels = 128 if sign == "signed" else 256
    used = max(np.flatnonzero(observed.counts)) + 1
    losses = {end: loop_of_the_slides(counts, end, levels) for end in range(used, levels, -8)}
    best = min(losses, key=losses.get)
    before = observed.counts.copy()
    chosen = choose_entropy(observed)
    np.testing.assert_array_equal(observed.counts, before)
    assert chosen.largest == pytest.approx(best * observed.width)
    assert chosen.largest < 0.5 * observed.largest


@pytest.mark.parametrize("sign", ["signed", "unsigned"])
def test_mse_changes_the_values_least(sign):
    values = np.append(np.random.default_rng(3).normal(size=600_000), [20]).astype(np.float32)
    if sign == "signed":
        values[::2] *= -1
    else:
        values = np.abs(values)
    levels = 127 if sign == "signed" else 255

    def loss(largest):
        step = largest / levels
        return float(((np.clip(np.round(values / step), -levels, levels) * step - values) ** 2).mean())

    chosen = choose_mse(observe(values)).largest
    losses = [loss(largest) for largest in np.linspace(0.1, 1, 19) * np.abs(values).max()]
    assert loss(chosen) <= 1.01 * min(losses)
    assert loss(chosen) < 0.6 * loss(np.abs(values).max())


@pytest.mark.parametrize("choose", CHOICES.values(), ids=CHOICES.keys())
@pytest.mark.parametrize(
    "values", [np.zeros(10), np.full(10, 1e-44), np.full(10, 3.0), np.float32([0, 1e-3, 5e37]), [-1.0]]
)
def test_odd_inputs_have_a_step(choose, values):
    chosen = choose(observe(np.zeros(7), values))
    assert np.isfinite(np.float32(1 / chosen.step))
    assert chosen.step > 0
    assert chosen.signed == (np.min(values) < 0)
