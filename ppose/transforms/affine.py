"""The one warp that moves the image and the keypoints from the image to the network's input."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from ppose.geometry import (
    bbox_xywh_to_center_scale,
    get_udp_warp_matrix,
    get_warp_matrix,
    mirror_matrix,
    transform_points,
)
from ppose.keypoints import KeypointSet
from ppose.workspace import Given, register


@register(kind="transform")
class TopDownAffine:
    """Cuts the person out: warps the image, and the keypoints with it, to the network's input.

    Reads image (H, W, 3), center, scale (image pixels) and, where present, rotation (degrees), flip (bool),
    keypoints (K, 2), visible (K,); a flip mirrors the image before the warp and swaps left and right.
    Replaces image by (h, w, 3), moves keypoints to input pixels; adds warp (2, 3), image to input pixels.

    ``use_udp``: pixel centers of the borders map to each other (UDP, Huang et al., CVPR 2020).
    """

    def __init__(
        self, trainsize: Sequence[int], keypoint_set: Given[KeypointSet], use_udp: bool = False
    ) -> None:
        self._size = (int(trainsize[0]), int(trainsize[1]))
        self._flip_indices = keypoint_set.flip_indices
        self._make_warp = get_udp_warp_matrix if use_udp else get_warp_matrix

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        warp = self._make_warp(sample["center"], sample["scale"], sample.get("rotation", 0.0), self._size)
        flip = sample.get("flip", False)
        if flip:
            warp = warp @ np.vstack([mirror_matrix(sample["image"].shape[1]), [0, 0, 1]])
        sample["image"] = cv2.warpAffine(sample["image"], warp, self._size, flags=cv2.INTER_LINEAR)
        if "keypoints" in sample:
            keypoints = transform_points(sample["keypoints"], warp)
            order = self._flip_indices if flip else slice(None)
            sample["keypoints"], sample["visible"] = keypoints[order], sample["visible"][order]
        sample["warp"] = warp
        return sample


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
