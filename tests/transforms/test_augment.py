"""Random changes of crop and picture: how often, how much, by the sample's generator alone."""

import colorsys
import math
from statistics import NormalDist

import cv2
import numpy as np
import pytest

from ppose.data import SyntheticPeopleDataset
from ppose.errors import ConfigError
from ppose.keypoints import get_keypoint_set
from ppose.transforms import (
    CoarseDropout,
    ColorJitter,
    GaussianBlur,
    InformationDropping,
    RandomFlipHalfBodyTransform,
    RandomShift,
    TopDownAffine,
)
from ppose.transforms.appearance import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
)
from ppose.workspace import create

COCO17 = get_keypoint_set("coco17")
SIZE = [192, 256]
RNG = np.random.default_rng(0)
IMAGE = cv2.resize(RNG.integers(0, 256, (12, 9, 3), dtype=np.uint8), (48, 64), interpolation=cv2.INTER_CUBIC)
ALWAYS = {
    "AugmentationbyInformantionDropping": {"trainsize": [48, 64], "prob_cutout": 1.0},
    "CoarseDropout": {"p": 1.0},
    "ColorJitter": {"p": 1.0},
    "GaussianBlur": {"p": 1.0},
    "RandomShift": {"shift_prob": 1.0},
}
PROBABILITY_KEYS = {"AugmentationbyInformantionDropping": "prob_cutout", "RandomShift": "shift_prob"}


def make_sample(seed=0, image=IMAGE, **changes):
    return {
        "image": image,
        "keypoints": np.random.default_rng(1).uniform([8, 8], [40, 56], (17, 2)),
        "visible": np.ones(17, np.float32),
        "center": np.array([24.0, 32.0]), "scale": np.array([42.0, 56.0]),
        "generator": np.random.default_rng(seed),
        **changes,
    }  # fmt: skip


def is_changed(sample):
    return not (
        np.array_equal(sample["image"], IMAGE) and np.array_equal(sample["center"], make_sample()["center"])
    )


@pytest.mark.parametrize("name", ALWAYS)
def test_only_the_own_keys_change_and_nothing_in_place(name):
    """The dataset hands out the same image and center again: the next sample must find them as they were."""
    image, center = IMAGE.copy(), np.array([24.0, 32.0])
    image.flags.writeable = center.flags.writeable = False
    out = create({name: ALWAYS[name]}, {})(make_sample(image=image, center=center))
    before = make_sample()
    assert is_changed(out)
    assert out.keys() == before.keys()
    changed = "center" if name == "RandomShift" else "image"
    for key in before.keys() - {changed, "generator"}:
        np.testing.assert_array_equal(out[key], before[key])
    assert (out["image"].dtype, out["image"].shape) == (np.uint8, IMAGE.shape)


@pytest.mark.parametrize("name", ALWAYS)
def test_the_generator_alone_decides(name):
    transform = create({name: ALWAYS[name]}, {})
    np.random.seed(0)  # noqa: NPY002, a global state that must not matter
    first = transform(make_sample(5))
    np.random.seed(1)  # noqa: NPY002
    transform(make_sample(6))
    again, other = transform(make_sample(5)), transform(make_sample(6))
    for key in ("image", "center"):
        np.testing.assert_array_equal(first[key], again[key])
    assert any(not np.array_equal(first[key], other[key]) for key in ("image", "center"))


@pytest.mark.parametrize("name", ALWAYS)
def test_how_often(name):
    key = PROBABILITY_KEYS.get(name, "p")
    transform = create({name: {**ALWAYS[name], key: 0.3}}, {})
    rng = np.random.default_rng(0)
    changed = [is_changed(transform(make_sample(generator=rng))) for _ in range(1500)]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.04)
    with pytest.raises(ConfigError, match=rf"{name}\.{key}: got 1.5, expected a probability from 0 to 1"):
        create({name: {**ALWAYS[name], key: 1.5}}, {})


@pytest.mark.parametrize(("choice", "share"), [("fair", 0.5), ("published", 0.6915)])
def test_which_half_of_the_body(choice, share):
    """As published: a standard normal number below 0.5."""
    transform = RandomFlipHalfBodyTransform(
        SIZE, COCO17, scale=0, rot=0, prob_half_body=1.0, half_body_choice=choice
    )
    keypoints = np.random.default_rng(1).uniform([8, 8], [40, 28], (17, 2))
    keypoints[11:, 1] += 30
    rng = np.random.default_rng(0)
    outs = [transform(make_sample(generator=rng, keypoints=keypoints)) for _ in range(2000)]
    assert np.mean([out["center"][1] < 32 for out in outs]) == pytest.approx(share, abs=0.03)


def test_the_other_half_where_too_little_of_the_chosen_one_is_visible():
    transform = RandomFlipHalfBodyTransform(
        SIZE, COCO17, scale=0, rot=0, num_joints_half_body=4, prob_half_body=1.0
    )
    visible = np.isin(np.arange(17), [0, 1, *range(11, 17)])
    rng = np.random.default_rng(0)
    outs = [transform(make_sample(generator=rng, visible=visible)) for _ in range(50)]
    legs = make_sample()["keypoints"][11:].mean(axis=0)[1]
    np.testing.assert_allclose([out["center"][1] for out in outs], legs)


def test_shift_follows_the_truncated_normal_distribution():
    transform = RandomShift(shift_factor=0.2, shift_prob=1.0)
    rng = np.random.default_rng(0)
    outs = [transform(make_sample(generator=rng)) for _ in range(4000)]
    numbers = np.array([(out["center"] - [24, 32]) / [42, 56] / 0.2 for out in outs])
    assert np.abs(numbers).max() <= 1
    normal = NormalDist()
    for edge in (-0.7, -0.2, 0.4, 0.9):
        expected = (normal.cdf(edge) - normal.cdf(-1)) / (normal.cdf(1) - normal.cdf(-1))
        np.testing.assert_allclose((numbers < edge).mean(axis=0), expected, atol=0.025)
    assert abs(np.corrcoef(numbers.T)[0, 1]) < 0.05


def test_shift_moves_image_and_keypoints_together():
    """A bright spot on a keypoint is on it after the warp, and as far from the middle as the shift says."""
    y, x = np.mgrid[:400, :500]
    keypoints = np.full((17, 2), [260.0, 190.0])
    spot = np.exp(-((x - 260) ** 2 + (y - 190) ** 2) / 50) * 255
    image = np.repeat(spot[..., None], 3, axis=2).round().astype(np.uint8)
    for seed in range(5):
        sample = make_sample(
            seed, image, keypoints=keypoints, center=keypoints[0], scale=np.array([210.0, 280.0])
        )
        out = TopDownAffine(SIZE, COCO17)(RandomShift(shift_prob=1.0)(sample))
        patch = out["image"][..., 0].astype(float)
        patch[patch < 128] = 0
        y2, x2 = np.mgrid[:256, :192]
        found = np.array([(patch * x2).sum(), (patch * y2).sum()]) / patch.sum()
        np.testing.assert_allclose(found, out["keypoints"][0], atol=0.35)
        moved = (found - [96, 128]) * 210 / 192  # back to image pixels
        np.testing.assert_allclose(moved, [260, 190] - sample["center"], atol=0.5)
        assert np.abs(moved).max() > 2


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
def test_colour_changes_are_what_a_loop_over_pixels_gives(factor):
    mean = sum(grey(*pixel) for row in IMAGE.tolist() for pixel in row) / (64 * 48)
    for adjust, change in (
        (adjust_brightness, lambda *rgb: [v * factor for v in rgb]),
        (adjust_contrast, lambda *rgb: [mean + (v - mean) * factor for v in rgb]),
        (adjust_saturation, lambda *rgb: [grey(*rgb) + (v - grey(*rgb)) * factor for v in rgb]),
    ):
        difference = np.abs(adjust(IMAGE, factor).astype(int) - naive_colour(IMAGE, change))
        assert difference.max() <= 1, adjust.__name__
        assert difference.mean() < 0.1, adjust.__name__


@pytest.mark.parametrize("turn", [-0.5, -0.2, 0.0, 1 / 3, 0.45])
def test_hue_turns_the_colour_circle(turn):
    def change(r, g, b):
        h, s, v = colorsys.rgb_to_hsv(r / 255, g / 255, b / 255)
        return [255 * value for value in colorsys.hsv_to_rgb((h + turn) % 1, s, v)]

    difference = np.abs(adjust_hue(IMAGE, turn).astype(int) - naive_colour(IMAGE, change))
    assert difference.max() <= 6  # hue is in steps of 2 degrees there
    assert difference.mean() < 1.5
    red = np.full((2, 2, 3), [200, 0, 0], np.uint8)
    assert adjust_hue(red, 1 / 3)[0, 0].tolist() == [0, 200, 0]


def test_color_jitter_draws_each_factor_from_its_range():
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


def test_color_jitter_takes_its_steps_in_random_order():
    jitter = ColorJitter(0.5, 0.6, 0.7, 0.1, p=1.0)
    steps = [(adjust_brightness, 0.5, 1.5), (adjust_contrast, 0.4, 1.6), (adjust_saturation, 0.3, 1.7)]
    steps.append((adjust_hue, -0.1, 0.1))
    orders = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rng.random()
        order = rng.permutation(4)
        expected = IMAGE
        for adjust, low, high in (steps[index] for index in order):
            expected = adjust(expected, rng.uniform(low, high))
        np.testing.assert_array_equal(jitter(make_sample(seed))["image"], expected)
        orders.add(tuple(order))
    assert len(orders) > 12


@pytest.mark.parametrize("sigma", [0.8, 2.0, 3.0])
def test_blur_has_the_deviation_in_pixels(sigma):
    """A step edge becomes the normal distribution's curve."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 30:] = 240
    out = GaussianBlur([sigma, sigma], p=1.0)(make_sample(image=image))["image"]
    expected = [240 * 0.5 * (1 + math.erf((x - 29.5) / sigma / math.sqrt(2))) for x in range(60)]
    np.testing.assert_allclose(out[20, :, 0], expected, atol=4)
    assert (image[:, 30:] == 240).all()


def naive_discs(image, discs):
    out = image.copy()
    for (cx, cy), radius in discs:
        for y in range(image.shape[0]):
            for x in range(image.shape[1]):
                if ((cx - x) / radius) ** 2 + ((cy - y) / radius) ** 2 <= 1:
                    out[y, x] = 0
    return out


@pytest.mark.parametrize("patches", [1, 4])
def test_information_dropping_blackens_discs_near_visible_keypoints(patches):
    """The same random numbers give a loop's discs: keypoint, offset, radius; some hang over the border."""
    transform = InformationDropping([48, 64], prob_cutout=1.0, offset_factor=0.3, num_patch=patches)
    visible = np.zeros(17)
    visible[[2, 9]] = 1
    for seed in range(30):
        sample = make_sample(seed, image=np.full((64, 48, 3), 9, np.uint8), visible=visible)
        points = sample["keypoints"][[2, 9]]
        rng = np.random.default_rng(seed)
        rng.random()
        discs = [
            (points[rng.integers(2)] + 0.3 * 48 * rng.standard_normal(2), rng.uniform(4.8, 9.6))
            for _ in range(patches)
        ]
        np.testing.assert_array_equal(transform(sample)["image"], naive_discs(sample["image"], discs))


def test_information_dropping_offset_and_radius():
    """Without an offset the disc is centred on the keypoint; its radius is 10 to 20 % of the width."""
    transform = InformationDropping([48, 64], prob_cutout=1.0, offset_factor=0)
    visible = (np.arange(17) == 4).astype(np.float32)
    keypoints = np.full((17, 2), [24.0, 30.0])
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(300):
        image = np.full((64, 48, 3), 9, np.uint8)
        out = transform(make_sample(image=image, keypoints=keypoints, visible=visible, generator=rng))
        y, x = np.nonzero(out["image"][..., 0] == 0)
        np.testing.assert_allclose([x.mean(), y.mean()], [24, 30])
        areas.append(len(x))
    radii = np.sqrt(np.array(areas) / math.pi)
    assert radii.min() == pytest.approx(4.8, abs=0.4)
    assert radii.max() == pytest.approx(9.6, abs=0.4)
    nobody = make_sample(visible=np.zeros(17))
    assert transform(nobody)["image"] is IMAGE


def test_coarse_dropout_blackens_as_many_rectangles_as_it_says():
    transform = CoarseDropout([1, 1], [0.25, 0.5], [0.1, 0.3], p=1.0)
    rng = np.random.default_rng(0)
    shapes, tops, lefts = [], [], []
    for _ in range(500):
        image = np.full((64, 48, 3), 9, np.uint8)
        black = (transform(make_sample(image=image, generator=rng))["image"] == 0).all(axis=2)
        y, x = np.nonzero(black)
        shapes.append((np.ptp(y) + 1, np.ptp(x) + 1))
        assert black.sum() == math.prod(shapes[-1])  # one full rectangle, not cut off
        tops.append(y.min())
        lefts.append(x.max())
    np.testing.assert_array_equal(np.min(shapes, axis=0), [16, 5])
    np.testing.assert_array_equal(np.max(shapes, axis=0), [32, 14])
    assert (min(tops), max(lefts)) == (0, 47)
    many = CoarseDropout([3, 5], [0.02, 0.02], [0.02, 0.02], p=1.0)  # single pixels
    counts = [
        (many(make_sample(image=np.full((64, 48, 3), 9, np.uint8), generator=rng))["image"] == 0).sum() / 3
        for _ in range(300)
    ]
    assert max(counts) == 5
    assert np.mean(counts) == pytest.approx(4, abs=0.15)
    whole = CoarseDropout([1, 1], [1, 1], [1, 1], p=1.0)
    assert whole(make_sample())["image"].max() == 0


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("ColorJitter", "brightness", -0.1),
        ("ColorJitter", "hue", 0.6),
        ("GaussianBlur", "sigma_limit", [3, 1]),
        ("GaussianBlur", "sigma_limit", [0, 1]),
        ("CoarseDropout", "num_holes_range", [0, 2]),
        ("CoarseDropout", "hole_height_range", [0.5]),
        ("CoarseDropout", "hole_width_range", [0.5, 1.1]),
        ("AugmentationbyInformantionDropping", "num_patch", 0),
        ("AugmentationbyInformantionDropping", "offset_factor", -1),
    ],
)
def test_senseless_numbers_are_errors_that_name_the_key(name, key, value):
    with pytest.raises(ConfigError, match=rf"^{name}.*{key}.* expected "):
        create({name: {**ALWAYS[name], key: value}}, {})


def test_all_together_on_drawn_people():
    """What a config lists, in its order: the picture changes, the keypoints stay on the crop's person."""
    dataset = SyntheticPeopleDataset(SIZE, COCO17, num_images=4)
    steps = [
        RandomShift(shift_prob=1.0),
        TopDownAffine(SIZE, COCO17),
        *(create({name: ALWAYS[name]}, {}) for name in ("ColorJitter", "GaussianBlur", "CoarseDropout")),
    ]
    for index in range(4):
        results = []
        for kept in (steps, steps[:2]):
            sample = {**dataset[index], "generator": np.random.default_rng((0, 0, index))}
            for step in kept:
                sample = step(sample)
            results.append(sample)
        full, plain = results
        np.testing.assert_array_equal(full["keypoints"], plain["keypoints"])
        np.testing.assert_array_equal(full["visible"], plain["visible"])
        assert not np.array_equal(full["image"], plain["image"])
        assert (full["image"].dtype, full["image"].shape) == (np.uint8, (256, 192, 3))
