"""Blackens random parts of the image, as if something hid them; keypoints stay unchanged.

A hidden keypoint still counts in the loss: the network must infer it from its surroundings.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ppose.errors import ConfigError
from ppose.transforms.ranges import check_probability, check_range
from ppose.transforms.transform import Transform
from ppose.workspace import register

_SMALLEST_RADIUS, _LARGEST_RADIUS = 0.1, 0.2  # as in PaddleDetection, of the width of trainsize


@register(Transform, names=("AugmentationbyInformantionDropping",))
class InformationDropping:
    """Blackens discs near keypoints (AID, Huang et al., arXiv:2008.07139), as PaddleDetection does.

    Reads image (H, W, 3), keypoints (K, 2), visible (K,) and the sample's generator; replaces image.

    With probability ``prob_cutout`` it draws ``num_patch`` times a visible keypoint, a center beside it
    (normal in x and y with deviation ``offset_factor`` times the width of ``trainsize`` (w, h)) and a radius
    from 0.1 to 0.2 of that width. These are pixels of the image at this step: PP-TinyPose's configs have this
    before TopDownAffine, so that the discs are smaller on large people; the paper has it after the warp.
    """

    def __init__(
        self,
        trainsize: Sequence[int],
        prob_cutout: float = 0.0,
        offset_factor: float = 0.2,
        num_patch: int = 1,
    ) -> None:
        name = "AugmentationbyInformantionDropping"
        check_probability(f"{name}.prob_cutout", prob_cutout)
        if not offset_factor >= 0 or num_patch < 1:
            raise ConfigError(
                f"{name}: got offset_factor {offset_factor} and num_patch {num_patch}, expected 0 or more "
                "and 1 or more"
            )
        self._probability, self._num_patch = prob_cutout, num_patch
        self._offset = offset_factor * trainsize[0]
        self._radii = (_SMALLEST_RADIUS * trainsize[0], _LARGEST_RADIUS * trainsize[0])

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        rng: np.random.Generator = sample["generator"]
        points = sample["keypoints"][sample["visible"] > 0]
        if rng.random() < self._probability and len(points):
            sample["image"] = sample["image"].copy()  # the dataset may return the same array again
            for _ in range(self._num_patch):
                center = rng.choice(points) + self._offset * rng.standard_normal(2)
                _blacken_disc(sample["image"], center, rng.uniform(*self._radii))
        return sample


def _blacken_disc(image: np.ndarray, center: np.ndarray, radius: float) -> None:
    size = (image.shape[1], image.shape[0])
    x0, y0 = np.clip(np.floor(center - radius), 0, size).astype(int)
    x1, y1 = np.clip(np.ceil(center + radius) + 1, 0, size).astype(int)
    y, x = np.ogrid[y0:y1, x0:x1]
    image[y0:y1, x0:x1][(x - center[0]) ** 2 + (y - center[1]) ** 2 <= radius**2] = 0


@register(Transform)
class CoarseDropout:
    """Blackens rectangles anywhere in the image (Cutout, DeVries and Taylor, arXiv:1708.04552).

    Reads image (H, W, 3) and the sample's generator; replaces image. Place it after TopDownAffine.

    The keys are those of albumentations: with probability ``p``, a number of rectangles from
    ``num_holes_range``, each with a height from ``hole_height_range`` and a width from ``hole_width_range``,
    as shares of the image's, wholly inside it; each range is [smallest, largest].
    """

    def __init__(
        self,
        num_holes_range: Sequence[int] = (1, 2),
        hole_height_range: Sequence[float] = (0.1, 0.2),
        hole_width_range: Sequence[float] = (0.1, 0.2),
        p: float = 0.5,
    ) -> None:
        check_probability("CoarseDropout.p", p)
        check_range("CoarseDropout.num_holes_range", num_holes_range, 1, 1000)
        check_range("CoarseDropout.hole_height_range", hole_height_range, 0, 1)
        check_range("CoarseDropout.hole_width_range", hole_width_range, 0, 1)
        self._counts, self._probability = (num_holes_range[0], num_holes_range[1]), p
        self._smallest, self._largest = np.array([hole_height_range, hole_width_range], np.float64).T

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        rng: np.random.Generator = sample["generator"]
        if rng.random() < self._probability:
            image = sample["image"].copy()  # the dataset may return the same array again
            shape = np.array(image.shape[:2])
            for _ in range(rng.integers(*self._counts, endpoint=True)):
                hole = np.maximum(1, np.rint(shape * rng.uniform(self._smallest, self._largest))).astype(int)
                top, left = rng.integers(shape - hole, endpoint=True)
                image[top : top + hole[0], left : left + hole[1]] = 0
            sample["image"] = image
        return sample
