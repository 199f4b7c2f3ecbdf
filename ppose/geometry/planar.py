"""Boxes to center and scale, and the affine maps between image, input and mirrored image; float64 throughout.

Pixels: x right, y down, the center of the top-left pixel is (0, 0). A matrix is (2, 3) and maps (x, y, 1).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ppose.errors import DataError


def bbox_xywh_to_center_scale(
    bbox_xywh: ArrayLike, aspect_ratio: float, padding: float = 1.25
) -> tuple[np.ndarray, np.ndarray]:
    """Return center (..., 2) and scale (..., 2) in image pixels (w, h) of boxes (..., 4).

    The side that is too short for the aspect ratio (w / h) grows around the center, then both sides by
    ``padding``; the center is (x + w / 2, y + h / 2) as in the official HRNet code. Raises DataError for a
    box without extent.

    >>> bbox_xywh_to_center_scale([10, 20, 30, 80], aspect_ratio=0.75)
    (array([25., 60.]), array([ 75., 100.]))
    """
    corner, size = np.split(np.asarray(bbox_xywh, np.float64), 2, axis=-1)
    height = np.maximum(size[..., 1], size[..., 0] / aspect_ratio)
    usable = np.isfinite(corner).all(axis=-1) & np.isfinite(height) & (height > 0) & (size >= 0).all(axis=-1)
    if not usable.all():
        bad = np.concatenate([corner, size], axis=-1)[~usable].reshape(-1, 4)[0].tolist()
        raise DataError(f"got the box {bad}, expected [x, y, width, height] in pixels with a positive size")
    scale = np.stack([height * aspect_ratio, height], axis=-1) * padding
    return corner + size / 2, scale


def bbox_xywh_to_xyxy(bbox_xywh: ArrayLike) -> np.ndarray:
    """Left, top, right, bottom of boxes (..., 4): from the form in files to the internal one."""
    corner, size = np.split(np.asarray(bbox_xywh, np.float64), 2, axis=-1)
    return np.concatenate([corner, corner + size], axis=-1)


def bbox_xyxy_to_xywh(bbox_xyxy: ArrayLike) -> np.ndarray:
    """The inverse of `bbox_xywh_to_xyxy`, up to rounding."""
    first, last = np.split(np.asarray(bbox_xyxy, np.float64), 2, axis=-1)
    return np.concatenate([first, last - first], axis=-1)


def clip_boxes_xywh(bbox_xywh: ArrayLike, image_size: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes (..., 4) clipped to images of size (..., 2), and (...,) which of them are valid.

    As the official HRNet code prepares COCO: the last covered pixel is x + w - 1, and the result's width is
    the distance between the first and the last pixel, so a box inside the image shrinks by one pixel. A box
    outside of the image is invalid; here, so is a box of a single pixel, which then has no extent.
    """
    corner, size = np.split(np.asarray(bbox_xywh, np.float64), 2, axis=-1)
    first = np.maximum(corner, 0)
    last = np.minimum(np.asarray(image_size, np.float64) - 1, first + np.maximum(size - 1, 0))
    extent = last - first
    valid = (extent >= 0).all(axis=-1) & (extent > 0).any(axis=-1)
    return np.concatenate([first, extent], axis=-1), valid


def get_warp_matrix(
    center: ArrayLike, scale: ArrayLike, rotation: ArrayLike, output_size: Sequence[int]
) -> np.ndarray:
    """Return the matrix (..., 2, 3) from image pixels to input pixels.

    ``center`` (..., 2) maps to output_size / 2, and the width of ``scale`` (..., 2) to the output's; the
    height follows, since pixels stay square. A positive ``rotation`` (...,) in degrees rotates the person
    counter-clockwise in the output. As in the official HRNet code.
    """
    center, scale, radians = _as_warp_arrays(center, scale, rotation)
    factor = output_size[0] / scale[..., 0]
    cos, sin = np.cos(radians) * factor, np.sin(radians) * factor
    linear = _stack_matrix(cos, sin, -sin, cos)
    return _join(linear, center, np.asarray(output_size) / 2)


def get_udp_warp_matrix(
    center: ArrayLike, scale: ArrayLike, rotation: ArrayLike, output_size: Sequence[int]
) -> np.ndarray:
    """Return the matrix (..., 2, 3) from image pixels to input pixels that is exact under mirroring.

    The box's sides map to the centers of the border pixels, 0 and output_size - 1, separately in x and y
    (UDP, Huang et al., CVPR 2020). A positive ``rotation`` (degrees) rotates clockwise in the output, unlike
    in `get_warp_matrix`; both are as published.
    """
    center, scale, radians = _as_warp_arrays(center, scale, rotation)
    last = np.asarray(output_size, np.float64) - 1
    factor_x, factor_y = np.moveaxis(last / scale, -1, 0)
    cos, sin = np.cos(radians), np.sin(radians)
    linear = _stack_matrix(cos * factor_x, -sin * factor_x, sin * factor_y, cos * factor_y)
    return _join(linear, center, last / 2)


def invert_warp(matrix: ArrayLike) -> np.ndarray:
    """Return the inverse (..., 2, 3) of matrices (..., 2, 3)."""
    matrix = np.asarray(matrix, np.float64)
    linear = np.linalg.inv(matrix[..., :2])
    return np.concatenate([linear, -linear @ matrix[..., 2:]], axis=-1)


def transform_points(points: ArrayLike, matrix: ArrayLike) -> np.ndarray:
    """Map points (..., 2) by one matrix (2, 3), or points (N, K, 2) by one matrix each (N, 2, 3)."""
    points, matrix = np.asarray(points, np.float64), np.asarray(matrix, np.float64)
    if matrix.ndim == 3 and points.ndim != 3:
        raise ValueError(f"got points {points.shape} for matrices {matrix.shape}, expected (N, K, 2)")
    shift = matrix[..., 2] if matrix.ndim == 2 else matrix[:, None, :, 2]
    return points @ np.swapaxes(matrix[..., :2], -1, -2) + shift


def mirror_warp(warp: np.ndarray, x: float) -> np.ndarray:
    """Return the warp (2, 3) of an image first mirrored at the vertical line at x: p -> 2 x - p."""
    return warp @ np.array([[-1.0, 0.0, 2 * x], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def warp_of_reduced(warp: np.ndarray, reduction: int) -> np.ndarray:
    """Return the warp (2, 3) of an image with one pixel per r x r: pixel i is at r i + (r - 1) / 2."""
    offset = (reduction - 1) / 2
    return warp @ np.array([[reduction, 0.0, offset], [0.0, reduction, offset], [0.0, 0.0, 1.0]])


def _as_warp_arrays(
    center: ArrayLike, scale: ArrayLike, rotation: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.asarray(center, np.float64), np.asarray(scale, np.float64), np.deg2rad(rotation)


def _stack_matrix(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """[[a, b], [c, d]] over leading axes."""
    return np.stack([a, b, c, d], axis=-1).reshape(*np.shape(a), 2, 2)


def _join(linear: np.ndarray, center: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The matrix with this linear part that maps center to target."""
    shift = target[..., None] - linear @ center[..., None]
    return np.concatenate([linear, shift], axis=-1)
