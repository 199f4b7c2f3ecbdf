"""Random changes of crop and picture: how often, how much, by the sample's generator alone."""

from statistics import NormalDist

import numpy as np
import pytest

from ppose.data import SyntheticPeopleDataset
from ppose.errors import ConfigError
from ppose.keypoints import get_keypoint_set
from ppose.transforms import (
    RandomFlipHalfBodyTransform,
    RandomShift,
    TopDownAffine,
    TopDownGetRandomScaleRotation,
    TopDownRandomFlip,
    TopDownRandomShiftBboxCenter,
)
from ppose.workspace import create

COCO17 = get_keypoint_set("coco17")
SIZE = [192, 256]
ALWAYS = {
    "AugmentationbyInformantionDropping": {"trainsize": [48, 64], "prob_cutout": 1.0},
    "CoarseDropout": {"p": 1.0},
    "ColorJitter": {"p": 1.0},
    "GaussianBlur": {"p": 1.0},
    "RandomShift": {"shift_prob": 1.0},
}
PROBABILITY_KEYS = {"AugmentationbyInformantionDropping": "prob_cutout", "RandomShift": "shift_prob"}


def differ(sample, other):
    return any(not np.array_equal(sample[key], other[key]) for key in ("image", "center"))


@pytest.mark.parametrize("name", ALWAYS)
def test_only_the_own_keys_change_and_nothing_in_place(make_sample, name):
    """The dataset hands out the same image and center again: the next sample must find them as they were."""
    before = make_sample()
    before["center"].flags.writeable = False
    out = create({name: ALWAYS[name]}, {})(dict(before))
    assert differ(out, before)
    assert out.keys() == before.keys()
    changed = "center" if name == "RandomShift" else "image"
    for key in before.keys() - {changed, "generator"}:
        np.testing.assert_array_equal(out[key], before[key])
    assert (out["image"].dtype, out["image"].shape) == (np.uint8, (64, 48, 3))


@pytest.mark.parametrize("name", ALWAYS)
def test_the_generator_alone_decides(make_sample, name):
    transform = create({name: ALWAYS[name]}, {})
    np.random.seed(0)  # noqa: NPY002, a global state that must not matter
    first = transform(make_sample(5))
    np.random.seed(1)  # noqa: NPY002
    transform(make_sample(6))
    again, other = transform(make_sample(5)), transform(make_sample(6))
    assert not differ(first, again)
    assert differ(first, other)


@pytest.mark.parametrize("name", ALWAYS)
def test_how_often(make_sample, name):
    key = PROBABILITY_KEYS.get(name, "p")
    transform = create({name: {**ALWAYS[name], key: 0.3}}, {})
    rng = np.random.default_rng(0)
    before = make_sample()
    changed = [differ(transform(make_sample(generator=rng)), before) for _ in range(1500)]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.04)
    with pytest.raises(ConfigError, match=rf"{name}\.{key}: got 1.5, expected a probability from 0 to 1"):
        create({name: {**ALWAYS[name], key: 1.5}}, {})


@pytest.mark.parametrize(("choice", "share"), [("fair", 0.5), ("published", 0.6915)])
def test_which_half_of_the_body(make_sample, choice, share):
    """As published: a standard normal number below 0.5."""
    transform = RandomFlipHalfBodyTransform(
        SIZE, COCO17, scale=0, rot=0, prob_half_body=1.0, half_body_choice=choice
    )
    keypoints = np.random.default_rng(1).uniform([8, 8], [40, 28], (17, 2))
    keypoints[11:, 1] += 30
    rng = np.random.default_rng(0)
    outs = [transform(make_sample(generator=rng, keypoints=keypoints)) for _ in range(2000)]
    assert np.mean([out["center"][1] < 32 for out in outs]) == pytest.approx(share, abs=0.03)


def test_the_other_half_where_too_little_of_the_chosen_one_is_visible(make_sample):
    transform = RandomFlipHalfBodyTransform(
        SIZE, COCO17, scale=0, rot=0, num_joints_half_body=4, prob_half_body=1.0
    )
    visible = np.isin(np.arange(17), [0, 1, *range(11, 17)])
    rng = np.random.default_rng(0)
    outs = [transform(make_sample(generator=rng, visible=visible)) for _ in range(50)]
    legs = make_sample()["keypoints"][11:].mean(axis=0)[1]
    np.testing.assert_allclose([out["center"][1] for out in outs], legs)


def test_shift_follows_the_truncated_normal_distribution(make_sample):
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


def test_shift_moves_image_and_keypoints_together(make_sample):
    """A bright spot on a keypoint is on it after the warp, and as far from the middle as the shift says."""
    y, x = np.mgrid[:400, :500]
    keypoints = np.full((17, 2), [260.0, 190.0])
    spot = np.exp(-((x - 260) ** 2 + (y - 190) ** 2) / 50) * 255
    image = np.repeat(spot[..., None], 3, axis=2).round().astype(np.uint8)
    for seed in range(5):
        sample = make_sample(
            seed, image=image, keypoints=keypoints, center=keypoints[0], scale=np.array([210.0, 280.0])
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


def test_the_published_steps_for_hands():
    """Each draws as its published code: normal numbers cut at deviations, and even shifts."""
    hand = get_keypoint_set("hand21")
    turn = TopDownGetRandomScaleRotation(rot_factor=90, scale_factor=0.3, rot_prob=0.6)
    flip = TopDownRandomFlip(hand, flip_prob=0.25, flip_perm=[])
    shift = TopDownRandomShiftBboxCenter(shift_factor=0.16, shift_prob=0.3)
    found = []
    for seed in range(4000):
        sample = {
            "generator": np.random.default_rng(seed),
            "center": np.array([50.0, 60.0]),
            "scale": np.array([100.0, 200.0]),
        }
        sample = shift(flip(turn(sample)))
        factor = sample["scale"] / [100, 200]
        assert factor[0] == pytest.approx(factor[1])
        moved = (sample["center"] - [50, 60]) / sample["scale"]
        found.append([factor[0], sample["rotation"], sample["flip"], *moved])
    factor, rotation, flips, x, y = np.array(found, np.float64).T
    assert (factor.min(), factor.max()) == pytest.approx((0.7, 1.3))
    assert np.abs(rotation).max() == 180
    assert np.mean(rotation == 0) == pytest.approx(0.4, abs=0.03)
    assert flips.mean() == pytest.approx(0.25, abs=0.03)
    for moved in (x, y):
        assert np.mean(moved != 0) == pytest.approx(0.3, abs=0.03)
        even = moved[moved != 0]
        assert np.abs(even).max() < 0.16
        assert even.std() == pytest.approx(0.16 / np.sqrt(3), rel=0.05)
    with pytest.raises(ConfigError, match="flip_perm is not the"):
        TopDownRandomFlip(hand, flip_perm=[[0, 1]])
    with pytest.raises(ConfigError, match="can_flip is false"):
        TopDownRandomFlip(get_keypoint_set("tango11"))
