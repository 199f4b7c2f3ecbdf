"""Geometry against the published warp matrices and naive computations."""

import cv2
import numpy as np
import pytest

from ppose.errors import DataError
from ppose.geometry import (
    bbox_xywh_to_center_scale,
    clip_boxes_xywh,
    get_udp_warp_matrix,
    get_warp_matrix,
    invert_warp,
    mirror_warp,
    transform_points,
)


@pytest.fixture(scope="module")
def warps(reference):
    with np.load(reference / "reference/codecs/mmpose_codecs.npz") as file:
        return {name: file[name] for name in file.files if "warp" in name}


def _corners(center, scale):
    return center[:, None] + scale[:, None] * (np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0.3, 0.8]]) - 0.5)


@pytest.mark.parametrize(
    ("make", "name"), [(get_warp_matrix, "warp_matrix"), (get_udp_warp_matrix, "udp_warp_matrix")]
)
def test_warps_map_points_as_published(warps, make, name):
    center, scale = warps["warp_center"], warps["warp_scale_wh_px"]
    matrix = make(center, scale, warps["warp_rotation_deg"], tuple(warps["warp_output_wh"]))
    points = _corners(center, scale)
    expected = [
        np.hstack([p, np.ones((5, 1))]) @ m.astype(float).T for p, m in zip(points, warps[name], strict=True)
    ]
    np.testing.assert_allclose(transform_points(points, matrix), expected, atol=1e-3, rtol=0)


def test_inverse_warps_map_points_as_published(warps):
    center, scale = warps["warp_center"], warps["warp_scale_wh_px"]
    inverse = invert_warp(get_warp_matrix(center, scale, warps["warp_rotation_deg"], (192, 256)))
    points = np.random.default_rng(0).uniform(0, 192, (6, 17, 2))
    np.testing.assert_allclose(
        transform_points(points, inverse),
        transform_points(points, warps["warp_matrix_inv"]),
        atol=1e-3,
        rtol=0,
    )


def test_inverse_undoes_any_warp():
    rng = np.random.default_rng(1)
    matrix = get_udp_warp_matrix(
        rng.uniform(0, 500, (4, 2)), rng.uniform(20, 400, (4, 2)), rng.uniform(-90, 90, 4), (48, 64)
    )
    points = rng.uniform(-50, 500, (4, 9, 2))
    there = transform_points(points, matrix)
    np.testing.assert_allclose(transform_points(there, invert_warp(matrix)), points, atol=1e-8)


def test_plain_warp_keeps_angles_and_udp_meets_the_border_pixels():
    center, scale = np.array([100.0, 50.0]), np.array([60.0, 80.0])
    sides = np.array([[70.0, 10.0], [130.0, 90.0]])
    plain = get_warp_matrix(center, scale, 0, (192, 256))
    np.testing.assert_allclose(transform_points(sides, plain), [[0, 0], [192, 256]])
    udp = get_udp_warp_matrix(center, scale, 0, (192, 256))
    np.testing.assert_allclose(transform_points(sides, udp), [[0, 0], [191, 255]], atol=1e-9)


def test_rotation_turns_the_way_that_is_documented():
    right_of_center = np.array([20.0, 10.0])
    plain = get_warp_matrix([10.0, 10.0], [20.0, 20.0], 90.0, (20, 20))
    np.testing.assert_allclose(transform_points(right_of_center, plain), [10, 0], atol=1e-9)
    udp = get_udp_warp_matrix([10.0, 10.0], [20.0, 20.0], 90.0, (21, 21))
    np.testing.assert_allclose(transform_points(right_of_center, udp), [10, 20], atol=1e-9)


def test_points_move_with_the_pixels_of_a_flipped_warp():
    image = np.zeros((80, 120), np.float32)
    image[33, 47] = 1
    warp = get_warp_matrix([60.0, 40.0], [90.0, 120.0], 25.0, (180, 240))
    warp = mirror_warp(warp, 59.5)
    moved = cv2.warpAffine(image, warp, (180, 240), flags=cv2.INTER_LINEAR)
    total = moved.sum()
    rows, columns = np.indices(moved.shape)
    centroid = [(moved * columns).sum() / total, (moved * rows).sum() / total]
    np.testing.assert_allclose(transform_points([47.0, 33.0], warp), centroid, atol=0.05)


def test_one_matrix_for_all_and_one_a_person_agree():
    points, matrix = np.random.default_rng(2).random((3, 5, 2)), np.random.default_rng(3).random((2, 3))
    many = transform_points(points, np.stack([matrix] * 3))
    np.testing.assert_allclose(transform_points(points, matrix), many)
    for n, k in np.ndindex(3, 5):
        np.testing.assert_allclose(many[n, k], matrix @ [*points[n, k], 1])
    with pytest.raises(ValueError, match=r"expected \(N, K, 2\)"):
        transform_points(points[0], np.stack([matrix] * 5))


def _naive_center_scale(box, aspect_ratio, padding):
    w, h = box[2:]
    if w > aspect_ratio * h:
        h = w / aspect_ratio
    elif w < aspect_ratio * h:
        w = h * aspect_ratio
    return [box[0] + box[2] * 0.5, box[1] + box[3] * 0.5], [w * padding, h * padding]


def test_boxes_grow_to_the_aspect_ratio():
    boxes = np.random.default_rng(4).uniform(1, 300, (2, 50, 4))
    center, scale = bbox_xywh_to_center_scale(boxes, 0.75)
    for index in np.ndindex(2, 50):
        expected_center, expected_scale = _naive_center_scale(boxes[index], 0.75, 1.25)
        np.testing.assert_allclose(center[index], expected_center)
        np.testing.assert_allclose(scale[index], expected_scale)


@pytest.mark.parametrize("box", [[1, 2, 0, 0], [1, 2, -3, 5], [1, 2, np.nan, 5], [np.inf, 2, 3, 4]])
def test_a_box_without_extent_is_an_error(box):
    with pytest.raises(DataError, match="expected"):
        bbox_xywh_to_center_scale(box, 0.75)
    with pytest.raises(DataError, match="expected"):
        bbox_xywh_to_center_scale([[0, 0, 1, 1], box], 0.75)


def test_clipping_is_the_official_one():
    rng = np.random.default_rng(5)
    boxes = np.concatenate([rng.uniform(-60, 160, (300, 2)), rng.uniform(-2, 120, (300, 2))], axis=1)
    sizes = rng.integers(40, 130, (300, 2))
    clipped, valid = clip_boxes_xywh(boxes, sizes)
    assert 20 < valid.sum() < 280
    for (x, y, w, h), (width, height), box, ok in zip(boxes, sizes, clipped, valid, strict=True):
        x1, y1 = max(0, x), max(0, y)
        x2, y2 = min(width - 1, x1 + max(0, w - 1)), min(height - 1, y1 + max(0, h - 1))
        assert ok == (x2 >= x1 and y2 >= y1 and (x2 > x1 or y2 > y1))
        np.testing.assert_allclose(box, [x1, y1, x2 - x1, y2 - y1])


def test_clipping_by_hand():
    boxes, valid = clip_boxes_xywh(
        [[-10, 5, 30, 20], [90, 5, 30, 20], [120, 5, 9, 9], [3, 3, 1, 1]], [100, 50]
    )
    np.testing.assert_array_equal(boxes[:2], [[0, 5, 29, 19], [90, 5, 9, 19]])
    assert valid.tolist() == [True, True, False, False]
