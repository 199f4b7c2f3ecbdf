"""Colour and blur against loops over pixels and closed formulas."""

import colorsys
import math

import numpy as np
import pytest

from ppose.transforms import ColorJitter, GaussianBlur
from ppose.transforms.appearance import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
)


@pytest.fixture
def image(make_sample):
    return make_sample()["image"]


def naive_colour(image, change):
    """change(r, g, b) of every pixel, values in 0 to 255, cut off at both ends."""
    out = np.empty_like(image)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            values = change(*(float(v) for v in image[row, column]))
            out[row, column] = [min(255, max(0, round(v))) for v in values]
    return out


def grey(r, g, b):
    return 0.299 * r + 0.587 * g + 0.114 * b


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.7])
def test_colour_changes_are_what_a_loop_over_pixels_gives(image, factor):
    mean = sum(grey(*pixel) for row in image.tolist() for pixel in row) / (64 * 48)
    for adjust, change in (
        (adjust_brightness, lambda *rgb: [v * factor for v in rgb]),
        (adjust_contrast, lambda *rgb: [mean + (v - mean) * factor for v in rgb]),
        (adjust_saturation, lambda *rgb: [grey(*rgb) + (v - grey(*rgb)) * factor for v in rgb]),
    ):
        difference = np.abs(adjust(image, factor).astype(int) - naive_colour(image, change))
        assert difference.max() <= 1, adjust.__name__
        assert difference.mean() < 0.1, adjust.__name__


@pytest.mark.parametrize("turn", [-0.5, -0.2, 0.0, 1 / 3, 0.45])
def test_hue_turns_the_colour_circle(image, turn):
    def change(r, g, b):
        h, s, v = colorsys.rgb_to_hsv(r / 255, g / 255, b / 255)
        return [255 * value for value in colorsys.hsv_to_rgb((h + turn) % 1, s, v)]

    difference = np.abs(adjust_hue(image, turn).astype(int) - naive_colour(image, change))
    assert difference.max() <= 6  # hue is in steps of 2 degrees there
    assert difference.mean() < 1.5
    red = np.full((2, 2, 3), [200, 0, 0], np.uint8)
    assert adjust_hue(red, 1 / 3)[0, 0].tolist() == [0, 200, 0]


def test_color_jitter_draws_each_factor_from_its_range(make_sample):
    """On a flat picture each factor can be read off the result."""
    image = np.full((8, 8, 3), [120, 100, 80], np.uint8)
    rng = np.random.default_rng(0)

    def values(**widths):
        options = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0) | widths
        jitter = ColorJitter(p=1.0, **options)
        outs = [jitter(make_sample(image=image, generator=rng))["image"][0, 0] for _ in range(1000)]
        return np.array(outs, float)

    factors = values(brightness=0.5)[:, 0] / 120
    assert factors.min() == pytest.approx(0.5, abs=0.02)
    assert factors.max() == pytest.approx(1.5, abs=0.02)
    assert factors.mean() == pytest.approx(1, abs=0.03)
    colours = values(saturation=1.5)
    spread = (colours[:, 0] - colours[:, 2]) / 40
    assert spread.min() == pytest.approx(0, abs=0.05)  # max(0, 1 - 1.5)
    assert spread.max() == pytest.approx(2.5, abs=0.05)
    assert np.ptp(values(contrast=0.5), axis=0).max() == pytest.approx(23.7, abs=1)  # blue, off grey
    hues = [colorsys.rgb_to_hsv(*colour)[0] for colour in values(hue=0.25)]
    turns = (np.array(hues) - colorsys.rgb_to_hsv(120, 100, 80)[0] + 0.5) % 1 - 0.5
    assert turns.min() == pytest.approx(-0.25, abs=0.02)
    assert turns.max() == pytest.approx(0.25, abs=0.02)
    assert np.ptp(values(), axis=0).max() == 0


def test_color_jitter_takes_its_steps_in_random_order(image, make_sample):
    jitter = ColorJitter(0.5, 0.6, 0.7, 0.1, p=1.0)
    steps = [(adjust_brightness, 0.5, 1.5), (adjust_contrast, 0.4, 1.6), (adjust_saturation, 0.3, 1.7)]
    steps.append((adjust_hue, -0.1, 0.1))
    orders = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rng.random()
        order = rng.permutation(4)
        expected = image
        for adjust, low, high in (steps[index] for index in order):
            expected = adjust(expected, rng.uniform(low, high))
        np.testing.assert_array_equal(jitter(make_sample(seed))["image"], expected)
        orders.add(tuple(order))
    assert len(orders) > 12


@pytest.mark.parametrize("sigma", [0.8, 2.0, 3.0])
def test_blur_has_the_deviation_in_pixels(make_sample, sigma):
    """A step edge becomes the normal distribution's curve."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 30:] = 240
    out = GaussianBlur([sigma, sigma], p=1.0)(make_sample(image=image))["image"]
    expected = [240 * 0.5 * (1 + math.erf((x - 29.5) / sigma / math.sqrt(2))) for x in range(60)]
    np.testing.assert_allclose(out[20, :, 0], expected, atol=4)
    assert (image[:, 30:] == 240).all()
