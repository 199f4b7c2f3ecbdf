"""Transforms: one warp for image and keypoints, random choices within their bounds, exact normalisation."""

import cv2
import numpy as np
import pytest

from ppose.errors import ConfigError, DataError
from ppose.keypoints import get_keypoint_set, make_keypoint_set
from ppose.transforms import (
    Decode,
    NormalizeImage,
    Permute,
    RandomFlipHalfBodyTransform,
    TopDownAffine,
    TopDownEvalAffine,
    read_image,
)

COCO17 = get_keypoint_set("coco17")
SIZE = [192, 256]


def dotted_image(points, shape=(400, 500)):
    """Black, with a smooth spot at each of the points (x, y)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.zeros(shape)
    for px, py in points:
        image = np.maximum(image, 255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 50))
    return np.repeat(image[..., None], 3, axis=2).round().astype(np.uint8)


KEYPOINTS = np.random.default_rng(3).uniform([180, 120], [320, 300], (17, 2))
IMAGE = dotted_image([KEYPOINTS[5]])


def make_sample(**changes):
    return {
        "image": IMAGE,
        "keypoints": KEYPOINTS, "visible": np.arange(17, dtype=np.float32),
        "center": np.array([250.0, 210.0]), "scale": np.array([210.0, 280.0]),
        **changes,
    }  # fmt: skip


@pytest.mark.parametrize("use_udp", [False, True])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("rotation", [0.0, 33.0])
def test_image_and_keypoints_move_together(use_udp, flip, rotation):
    out = TopDownAffine(SIZE, COCO17, use_udp)(make_sample(flip=flip, rotation=rotation))
    assert out["image"].shape == (256, 192, 3)
    where = 6 if flip else 5  # left shoulder becomes right shoulder
    assert out["visible"][where] == 5
    patch = out["image"][..., 0].astype(float)
    patch[patch < 128] = 0
    y, x = np.mgrid[:256, :192]
    spot = np.array([(patch * x).sum(), (patch * y).sum()]) / patch.sum()
    np.testing.assert_allclose(spot, out["keypoints"][where], atol=0.35)


def test_a_mirrored_image_gives_the_mirrored_sample():
    """Flipping in the warp equals mirroring the picture and swapping the labels beforehand."""
    width = IMAGE.shape[1]
    mirrored_center = np.array([width - 1 - 250.0, 210.0])
    in_warp = TopDownAffine(SIZE, COCO17)(make_sample(flip=True, rotation=20.0))
    by_hand = make_sample(rotation=20.0, center=mirrored_center)
    by_hand["image"] = by_hand["image"][:, ::-1].copy()
    by_hand["keypoints"] = (by_hand["keypoints"] * [-1, 1] + [width - 1, 0])[COCO17.flip_indices]
    by_hand["visible"] = by_hand["visible"][COCO17.flip_indices]
    by_hand = TopDownAffine(SIZE, COCO17)(by_hand)
    np.testing.assert_allclose(in_warp["keypoints"], by_hand["keypoints"], atol=1e-9)
    np.testing.assert_array_equal(in_warp["visible"], by_hand["visible"])
    assert np.abs(in_warp["image"].astype(int) - by_hand["image"]).max() <= 1


@pytest.mark.parametrize(("height", "width"), [(400, 100), (100, 400), (300, 225)])
def test_whole_images_of_any_shape_fit_in(height, width):
    """Tall and wide pictures alike are inside the input, none is cut."""
    sample = {"image": np.full((height, width, 3), 200, np.uint8)}
    out = TopDownEvalAffine(SIZE, COCO17)(sample)
    corners = np.array([[0, 0, 1], [width - 1, 0, 1], [0, height - 1, 1], [width - 1, height - 1, 1]])
    moved = corners @ out["warp"].T
    assert (moved > -1).all()
    assert (moved < [192, 256]).all()
    covered = (out["image"][..., 0] > 100).mean()
    expected = min(width / height / 0.75, height / width * 0.75)
    assert covered == pytest.approx(expected, abs=0.02)


def test_random_choices_follow_the_published_distribution():
    transform = RandomFlipHalfBodyTransform(SIZE, COCO17, scale=0.35, rot=45, prob_half_body=0.0)
    rng = np.random.default_rng(0)
    outs = [transform(make_sample(generator=rng)) for _ in range(4000)]
    factors = np.array([out["scale"][0] / 210 for out in outs])
    assert factors.min() >= 0.65 - 1e-9
    assert factors.max() <= 1.35 + 1e-9
    assert np.mean(factors < 0.651) == pytest.approx(0.159, abs=0.02)  # clipped at one deviation
    turns = np.array([out["rotation"] for out in outs])
    assert np.abs(turns).max() <= 90
    assert np.mean(turns == 0) == pytest.approx(0.4, abs=0.03)
    flips = np.array([out["flip"] for out in outs])
    assert flips.mean() == pytest.approx(0.5, abs=0.03)
    np.testing.assert_allclose([out["center"] for out in outs], [[250.0, 210.0]] * 4000)


def test_half_body_takes_either_half_by_a_fair_coin():
    transform = RandomFlipHalfBodyTransform(SIZE, COCO17, scale=0, rot=0, prob_half_body=1.0)
    rng = np.random.default_rng(0)
    keypoints = np.zeros((17, 2))
    keypoints[:11] = rng.uniform([200, 100], [300, 180], (11, 2))
    keypoints[11:] = rng.uniform([200, 220], [300, 300], (6, 2))
    tops = []
    for _ in range(1000):
        out = transform(make_sample(generator=rng, keypoints=keypoints, visible=np.ones(17)))
        tops.append(out["center"][1] < 200)
        assert out["scale"][0] / out["scale"][1] == pytest.approx(0.75)
    assert np.mean(tops) == pytest.approx(0.5, abs=0.05)
    few = make_sample(generator=rng, visible=(np.arange(17) < 8).astype(float))
    np.testing.assert_allclose(transform(few)["scale"], [210, 280])  # 8 visible are not more than 8


def test_without_an_upper_body_there_is_no_half_and_prob_flip_decides_on_flips():
    names = [f"k{index}" for index in range(17)]
    for upper in ([], names):
        whole = make_keypoint_set("whole", names, [], upper_body=upper)
        for probability, share in ((0.0, 0.0), (0.2, 0.2), (1.0, 1.0)):
            transform = RandomFlipHalfBodyTransform(
                SIZE, whole, scale=0, rot=0, prob_half_body=1.0, prob_flip=probability
            )
            rng = np.random.default_rng(0)
            outs = [transform(make_sample(generator=rng, visible=np.ones(17))) for _ in range(500)]
            assert np.mean([out["flip"] for out in outs]) == pytest.approx(share, abs=0.05 * (0 < share < 1))
            assert all((out["scale"] == [210, 280]).all() for out in outs)


def test_flip_pairs_must_be_those_of_the_set():
    with pytest.raises(ConfigError, match="flip_pairs"):
        RandomFlipHalfBodyTransform(SIZE, COCO17, flip_pairs=[[1, 2]])


def test_normalise_and_permute_samples_and_batches():
    batch = np.random.default_rng(0).integers(0, 255, (2, 8, 6, 3), dtype=np.uint8)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    steps = [NormalizeImage(mean, std), Permute()]
    out = {"image": batch}
    for step in steps:
        out = step(out)
    naive = np.empty((2, 3, 8, 6))
    for n in range(2):
        for c in range(3):
            naive[n, c] = (batch[n, :, :, c] / 255.0 - mean[c]) / std[c]
    np.testing.assert_allclose(out["image"], naive, atol=1e-5)
    assert out["image"].dtype == np.float32
    one = Permute()(NormalizeImage(mean, std)({"image": batch[0]}))
    np.testing.assert_array_equal(one["image"], out["image"][0])
    unscaled = NormalizeImage(mean, std, is_scale=False)({"image": batch[0]})["image"]
    np.testing.assert_allclose(unscaled[..., 0], (batch[0, ..., 0] - 0.485) / 0.229, rtol=1e-5)


def test_a_photo_with_a_film_behind_it_is_whole(tmp_path):
    """Phones append a film to the JPEG, and anything may stand in it."""
    _, data = cv2.imencode(".jpg", np.zeros((20, 40, 3), np.uint8))
    (tmp_path / "a.jpg").write_bytes(data.tobytes() + b"film \xff\xda film")
    assert read_image(tmp_path / "a.jpg").shape == (20, 40, 3)


def test_normalising_needs_three_numbers():
    for mean, std in (([0, 0], [1, 1, 1]), ([0, 0, 0], [1, 0, 1])):
        with pytest.raises(ConfigError, match="three numbers"):
            NormalizeImage(mean, std)


def test_read_image_formats(tmp_path):
    colour = np.zeros((20, 30, 3), np.uint8)
    colour[..., 2] = 250  # red, in OpenCV's order
    for name, image in (
        ("c.png", colour),
        ("grey.png", colour[..., 2]),
        ("rgba.png", np.dstack([colour, np.full((20, 30), 7, np.uint8)])),
        ("deep.png", colour.astype(np.uint16) * 257),
    ):
        cv2.imwrite(str(tmp_path / name), image)
        out = read_image(tmp_path / name)
        assert out.shape == (20, 30, 3)
        assert out.dtype == np.uint8
        assert out[0, 0].tolist() == ([250, 250, 250] if name == "grey.png" else [250, 0, 0])


def test_exif_orientation_is_followed_only_when_asked(tmp_path):
    ok, data = cv2.imencode(".jpg", np.zeros((20, 40, 3), np.uint8))
    assert ok
    # An APP1 segment with one EXIF entry: orientation (0x0112) = 6, a quarter turn.
    tiff = b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
    segment = b"Exif\x00\x00" + tiff
    jpeg = data.tobytes()
    file = tmp_path / "turned.jpg"
    file.write_bytes(jpeg[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + jpeg[2:])
    assert read_image(file).shape == (20, 40, 3)
    assert Decode()({"image_file": file})["image"].shape == (40, 20, 3)


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_bad_images_are_named(tmp_path, ending):
    noise = np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8)
    good = tmp_path / f"good{ending}"
    cv2.imwrite(str(good), noise)
    bad = tmp_path / f"bad{ending}"
    for data, expected in (
        (good.read_bytes()[:-200], "image is truncated"),
        (good.read_bytes()[:40], "image is truncated"),
        (b"", "not a readable image"),
        (b"<html></html>", "not a readable image"),
    ):
        bad.write_bytes(data)
        with pytest.raises(DataError, match=f"{expected}: .*bad"):
            read_image(bad)
    with pytest.raises(DataError, match="not found"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(DataError, match="cannot read image"):
        read_image(tmp_path)


@pytest.mark.parametrize("is_scale", [True, False])
def test_a_normalised_image_comes_back(is_scale):
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    normalize = NormalizeImage([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], is_scale)
    np.testing.assert_array_equal(normalize.undo(normalize({"image": image})["image"]), image)
    np.testing.assert_array_equal(normalize.undo(np.float32([[[-1e6, 0, 1e6]]]))[0, 0, [0, 2]], [0, 255])


def test_normalised_channels_are_in_the_networks_order():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    mean = [103.94, 116.78, 123.68]
    normalize = NormalizeImage(mean, is_scale=False, channel_order="bgr")
    found = normalize({"image": image})["image"]
    np.testing.assert_allclose(found, image[..., ::-1].astype(np.float64) - mean, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(normalize.undo(found), image)
