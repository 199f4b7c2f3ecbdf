"""The warp of image and keypoints to the network's input."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from ppose.errors import DataError
from ppose.geometry import (
    bbox_xywh_to_center_scale,
    get_udp_warp_matrix,
    get_warp_matrix,
    mirror_warp,
    transform_points,
    warp_of_reduced,
)
from ppose.keypoints import KeypointSet
from ppose.pixel_limit import LARGEST_LIMIT
from ppose.transforms.decode import LazySample, read_image_part
from ppose.transforms.jpeg import REDUCTIONS
from ppose.transforms.transform import Transform
from ppose.workspace import Given, register


@register(Transform)
class TopDownAffine:
    """Crops the person: warps the image and the keypoints to the network's input.

    Reads image (H, W, 3), center, scale (image pixels) and, where present, rotation (degrees), flip (bool),
    keypoints (K, 2), visible (K,); a flip mirrors the image at the center and swaps left and right.
    Replaces image by (h, w, 3), moves keypoints to input pixels; adds warp (2, 3), image to input pixels.

    ``use_udp``: pixel centers of the borders map to each other (UDP, Huang et al., CVPR 2020).
    ``partial_decoding``: decodes only what the warp needs of an image that is not read yet: rows down to the
    lowest one used, reduced to 1/2, 1/4 or 1/8 as long as each input pixel still has one pixel or more. That
    is faster, and smoother where a warp of all pixels would skip some. For consecutive people of one image it
    is slower, since without it the image is decoded only once.
    """

    def __init__(
        self,
        trainsize: Sequence[int],
        keypoint_set: Given[KeypointSet],
        use_udp: bool = False,
        partial_decoding: bool = False,
    ) -> None:
        self._size = (int(trainsize[0]), int(trainsize[1]))
        self._flip_indices = keypoint_set.flip_indices
        self._make_warp = get_udp_warp_matrix if use_udp else get_warp_matrix
        self._partial_decoding = partial_decoding

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        warp = self._make_warp(sample["center"], sample["scale"], sample.get("rotation", 0.0), self._size)
        flip = sample.get("flip", False)
        if flip:
            warp = mirror_warp(warp, sample["center"][0])
        sample["image"] = self._cut_out(sample, warp)
        if "keypoints" in sample:
            keypoints = transform_points(sample["keypoints"], warp)
            order = self._flip_indices if flip else slice(None)
            sample["keypoints"], sample["visible"] = keypoints[order], sample["visible"][order]
        sample["warp"] = warp
        return sample

    def _cut_out(self, sample: dict[str, Any], warp: np.ndarray) -> np.ndarray:
        part = None
        if self._partial_decoding and isinstance(sample, LazySample) and "image" not in sample:
            asked = _find_part(warp, self._size)
            part = read_image_part(sample["image_file"], *asked, sample.get("annotated_size"))
        image, reduction = (sample["image"], 1) if part is None else part
        if image.shape[0] * image.shape[1] > LARGEST_LIMIT:
            raise DataError(
                f"an image of {image.shape[1]} x {image.shape[0]} pixels is too large for OpenCV's warp: "
                f"expected at most {LARGEST_LIMIT:,}"
            )
        warp = warp_of_reduced(warp, reduction)
        image = cv2.warpAffine(image, warp, self._size, flags=cv2.INTER_LINEAR)
        return image if image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)


def _find_part(warp: np.ndarray, size: tuple[int, int]) -> tuple[int, int]:
    """How many of the image's rows the warp reads, and the largest reduction that loses no detail."""
    (a, b, c), (d, e, f) = warp.tolist()
    enlargement = max(math.hypot(a, b), math.hypot(d, e))
    reduction = max((r for r in REDUCTIONS if r * enlargement <= 1), default=1)
    # y of the input's corners in the image, by the inverse warp.
    corners = ((x - c, y - f) for x in (0, size[0] - 1) for y in (0, size[1] - 1))
    lowest = max((a * y - d * x) / (a * e - b * d) for x, y in corners)
    # An interpolated point lies between two pixels, of r rows each.
    return math.ceil(max(lowest, 0)) + 2 * reduction + 1, reduction


@register(Transform)
class TopDownEvalAffine:
    """TopDownAffine for inference: treats the whole image as one person if the sample has no box.

    Reads and writes the keys of TopDownAffine; adds center and scale if missing.
    """

    def __init__(
        self, trainsize: Sequence[int], keypoint_set: Given[KeypointSet], use_udp: bool = False
    ) -> None:
        self._affine = TopDownAffine(trainsize, keypoint_set, use_udp)
        self._aspect_ratio = trainsize[0] / trainsize[1]

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        if "center" not in sample:
            height, width = sample["image"].shape[:2]
            whole = np.array([0.0, 0.0, width, height])
            sample["center"], sample["scale"] = bbox_xywh_to_center_scale(
                whole, self._aspect_ratio, padding=1.0
            )
        return self._affine(sample)
