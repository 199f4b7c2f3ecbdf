"""The one warp that moves the image and the keypoints from the image to the network's input."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from ppose.geometry import (
    bbox_xywh_to_center_scale,
    get_udp_warp_matrix,
    get_warp_matrix,
    invert_warp,
    mirror_warp,
    transform_points,
    warp_of_reduced,
)
from ppose.keypoints import KeypointSet
from ppose.transforms.decode import LazySample, read_image_part
from ppose.transforms.jpeg import REDUCTIONS
from ppose.workspace import Given, register


@register(kind="transform")
class TopDownAffine:
    """Cuts the person out: warps the image, and the keypoints with it, to the network's input.

    Reads image (H, W, 3), center, scale (image pixels) and, where present, rotation (degrees), flip (bool),
    keypoints (K, 2), visible (K,); a flip mirrors the image at the center and swaps left and right.
    Replaces image by (h, w, 3), moves keypoints to input pixels; adds warp (2, 3), image to input pixels.

    ``use_udp``: pixel centers of the borders map to each other (UDP, Huang et al., CVPR 2020).
    ``partial_decoding``: of an image that nobody has read yet, only what the warp needs is decoded: rows down
    to the lowest that it sees, at 1/2, 1/4 or 1/8 where there is still a pixel or more for each of the
    input's. That is quicker, and smoother where a warp of all pixels would skip some. People of one image
    that come one after the other are quicker without it, since the image is then decoded once for all.
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
        is_part = self._partial_decoding and isinstance(sample, LazySample) and "image" not in sample
        if is_part:
            reduction = _find_reduction(warp)
            rows = self._find_rows(warp, reduction)
            image, reduction = read_image_part(sample["image_file"], rows, reduction)
            warp = warp_of_reduced(warp, reduction)
        else:
            image = sample["image"]
        image = cv2.warpAffine(image, warp, self._size, flags=cv2.INTER_LINEAR)
        return image if image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)

    def _find_rows(self, warp: np.ndarray, reduction: int) -> int:
        """How many of the image's rows the warp reads; an interpolated point lies between two."""
        _, (by_x, by_y, y) = invert_warp(warp)
        lowest = y + max(by_x * (self._size[0] - 1), 0) + max(by_y * (self._size[1] - 1), 0)
        return math.ceil(max(lowest, 0)) + 2 * reduction + 1


def _find_reduction(warp: np.ndarray) -> int:
    """The largest reduction of the image that the warp does not have to enlarge again, in any direction."""
    enlargement = np.hypot(warp[:, 0], warp[:, 1]).max()
    return max((r for r in REDUCTIONS if r * enlargement <= 1), default=1)


@register(kind="transform")
class TopDownEvalAffine:
    """TopDownAffine for inference: a sample without a box is the whole image as one person.

    Reads and writes what TopDownAffine does; adds center and scale where they are missing.
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
