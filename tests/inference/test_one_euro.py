"""The One Euro filter."""

import math

import numpy as np

from ppose.inference.one_euro import OneEuroFilter


def one_euro_by_the_paper(values, times, min_cutoff, beta, d_cutoff):
    """Algorithm 1 and its low-pass filter in Casiez et al. (CHI 2012), a number at a time."""

    def alpha(rate, cutoff):
        tau = 1.0 / (2 * math.pi * cutoff)
        te = 1.0 / rate
        return 1.0 / (1.0 + tau / te)

    result, hat_x, hat_dx = [values[0]], values[0], 0.0
    for index in range(1, len(values)):
        rate = 1.0 / (times[index] - times[index - 1])
        dx = (values[index] - hat_x) * rate
        a = alpha(rate, d_cutoff)
        hat_dx = a * dx + (1 - a) * hat_dx
        a = alpha(rate, min_cutoff + beta * abs(hat_dx))
        hat_x = a * values[index] + (1 - a) * hat_x
        result.append(hat_x)
    return result


def test_one_euro_is_the_papers():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.08, 50))
    values = np.cumsum(rng.normal(0, 3, (50, 2)), axis=0)
    smooth = OneEuroFilter(1.2, 0.3, 0.9)
    found = np.array([smooth(value, time) for value, time in zip(values, times, strict=True)])
    for column in range(2):
        expected = one_euro_by_the_paper(values[:, column], times, 1.2, 0.3, 0.9)
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-12)


def test_one_euro_treats_large_people_as_small_ones():
    rng = np.random.default_rng(1)
    values = np.cumsum(rng.normal(0, 1, (20, 3)), axis=0)
    near, far = OneEuroFilter(), OneEuroFilter()
    for index, value in enumerate(values):
        np.testing.assert_allclose(near(5 * value, index / 25, 500), 5 * far(value, index / 25, 100))


def test_one_euro_calms_rest_and_follows_motion():
    rng = np.random.default_rng(2)
    smooth = OneEuroFilter()
    still = [
        float(smooth(np.array(100 + noise), i / 30, 200)) for i, noise in enumerate(rng.normal(0, 1, 90))
    ]
    assert np.std(still[30:]) < 0.6
    moving = [float(smooth(np.array(100 + 20.0 * i), 3 + i / 30, 200)) for i in range(30)]
    assert moving[-1] > 100 + 20 * 29 - 20  # less than a frame behind
