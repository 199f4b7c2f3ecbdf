"""Random flip, scale, rotation, half body and shift: they only set numbers for the one warp that follows."""

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from ppose.errors import ConfigError
from ppose.geometry import bbox_xywh_to_center_scale
from ppose.keypoints import KeypointSet
from ppose.transforms.ranges import check_probability
from ppose.transforms.transform import Transform
from ppose.workspace import Given, register

_HALF_BODY_PADDING = 1.5  # as in the official HRNet code, of the tight box of the chosen half's keypoints
# How often the lower body is chosen first.
_LOWER_BODY_PROBABILITY = {"fair": 0.5, "published": 1 - NormalDist().cdf(0.5)}


@register(Transform, ignored=("pixel_std",))
class RandomFlipHalfBodyTransform:
    """Chooses half body, scale, rotation and flip at random, as the official HRNet code does.

    Reads keypoints (K, 2), visible (K,), center, scale and the sample's generator; changes center and scale,
    adds rotation (degrees, normal with deviation ``rot``, at most 2 ``rot``, in 60 % of samples) and flip,
    with probability ``prob_flip``; use 0 for objects that differ from their mirror image. ``scale`` is the
    deviation of the scale factor, which differs from 1 by at most that much.

    With probability ``prob_half_body``, if more than ``num_joints_half_body`` keypoints are visible, the crop
    shrinks to the visible keypoints of the upper or the lower body, or of the other half if the chosen one
    has fewer than three. ``half_body_choice``: "fair" chooses each half with probability 1/2, "published"
    takes the upper body in 69 % of cases, as the official code does. That code and its copies draw a standard
    normal number instead of a uniform one, and compare it to 0.5.

    ``upper_body_ids`` and ``flip_pairs``, if given, must be the keypoint set's own. A set without an upper
    body has no half-body crops.
    """

    def __init__(
        self,
        trainsize: Sequence[int],
        keypoint_set: Given[KeypointSet],
        scale: float = 0.35,
        rot: float = 40,
        prob_flip: float = 0.5,
        num_joints_half_body: int = 8,
        prob_half_body: float = 0.3,
        half_body_choice: Literal["fair", "published"] = "fair",
        upper_body_ids: Sequence[int] | None = None,
        flip_pairs: Sequence[Sequence[int]] | None = None,
    ) -> None:
        check_probability("RandomFlipHalfBodyTransform.prob_half_body", prob_half_body)
        check_probability("RandomFlipHalfBodyTransform.prob_flip", prob_flip)
        if prob_flip:
            keypoint_set.check_flip("RandomFlipHalfBodyTransform.prob_flip", "0")
        if flip_pairs is not None and not keypoint_set.has_flip_pairs(flip_pairs):
            raise ConfigError(
                f"RandomFlipHalfBodyTransform.flip_pairs are not those of the set '{keypoint_set.name}'"
            )
        upper = keypoint_set.upper_body if upper_body_ids is None else upper_body_ids
        if any(not 0 <= index < keypoint_set.num_keypoints for index in upper):
            raise ConfigError(
                f"RandomFlipHalfBodyTransform.upper_body_ids: '{keypoint_set.name}' has no such keypoints"
            )
        self._is_upper = np.isin(np.arange(keypoint_set.num_keypoints), list(upper))
        self._has_halves = self._is_upper.any() and not self._is_upper.all()
        self._flip_probability = prob_flip
        self._aspect_ratio = trainsize[0] / trainsize[1]
        self._scale, self._rotation = scale, rot
        self._half_body_minimum, self._half_body_probability = num_joints_half_body, prob_half_body
        self._lower_body_probability = _LOWER_BODY_PROBABILITY[half_body_choice]

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        rng: np.random.Generator = sample["generator"]
        visible = sample["visible"] > 0
        splits = self._has_halves and visible.sum() > self._half_body_minimum
        if splits and rng.random() < self._half_body_probability:
            self._take_half_body(sample, visible, rng)
        _scale_and_turn(sample, rng, self._scale, self._rotation, 0.6)
        sample["flip"] = bool(rng.random() < self._flip_probability)
        return sample

    def _take_half_body(self, sample: dict[str, Any], visible: np.ndarray, rng: np.random.Generator) -> None:
        halves = [visible & self._is_upper, visible & ~self._is_upper]
        if rng.random() < self._lower_body_probability:
            halves.reverse()
        chosen = next((half for half in halves if half.sum() > 2), None)
        if chosen is None:
            return
        points = sample["keypoints"][chosen]
        low, high = points.min(axis=0), points.max(axis=0)
        bbox_xywh = np.concatenate([low, np.maximum(high - low, 1)])
        _, scale = bbox_xywh_to_center_scale(bbox_xywh, self._aspect_ratio, padding=_HALF_BODY_PADDING)
        sample["center"], sample["scale"] = points.mean(axis=0), scale


def _scale_and_turn(
    sample: dict[str, Any], rng: np.random.Generator, scale: float, rotation: float, probability: float
) -> None:
    """Change scale by a factor and set rotation, both normal, clipped at one and two deviations."""
    factor = 1 + scale * min(max(rng.standard_normal(), -1.0), 1.0)
    sample["scale"] = sample["scale"] * factor
    turn = rotation * min(max(rng.standard_normal(), -2.0), 2.0)
    sample["rotation"] = turn if rng.random() < probability else 0.0


@register(Transform)
class TopDownGetRandomScaleRotation:
    """Chooses scale and rotation at random, as mmpose and PaddleDetection do.

    Reads scale and the sample's generator; multiplies scale by a normal factor of deviation ``scale_factor``,
    which differs from 1 by at most that much, and adds rotation in degrees: with probability ``rot_prob``
    normal of deviation ``rot_factor``, at most twice that.
    """

    def __init__(self, rot_factor: float = 40, scale_factor: float = 0.5, rot_prob: float = 0.6) -> None:
        check_probability("TopDownGetRandomScaleRotation.rot_prob", rot_prob)
        self._rotation, self._scale, self._probability = rot_factor, scale_factor, rot_prob

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        _scale_and_turn(sample, sample["generator"], self._scale, self._rotation, self._probability)
        return sample


@register(Transform)
class TopDownRandomFlip:
    """Mirrors with probability ``flip_prob``: reads the sample's generator, adds flip.

    ``flip_perm``, if given, must be the keypoint set's flip pairs.
    """

    def __init__(
        self,
        keypoint_set: Given[KeypointSet],
        flip_prob: float = 0.5,
        flip_perm: Sequence[Sequence[int]] | None = None,
    ) -> None:
        check_probability("TopDownRandomFlip.flip_prob", flip_prob)
        if flip_prob:
            keypoint_set.check_flip("TopDownRandomFlip.flip_prob", "0")
        if flip_perm is not None and not keypoint_set.has_flip_pairs(flip_perm):
            raise ConfigError(
                f"TopDownRandomFlip.flip_perm is not the pairs of the set '{keypoint_set.name}'"
            )
        self._probability = flip_prob

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        sample["flip"] = bool(sample["generator"].random() < self._probability)
        return sample


@register(Transform)
class TopDownRandomShiftBboxCenter:
    """Shifts the crop at random, as `RandomShift`, but uniformly up to ``shift_factor`` of the crop's size.

    As in PaddleDetection, and in mmpose before 1.0. Reads center, scale and the generator; changes center.
    """

    def __init__(self, shift_factor: float = 0.16, shift_prob: float = 0.3) -> None:
        check_probability("TopDownRandomShiftBboxCenter.shift_prob", shift_prob)
        self._factor, self._probability = shift_factor, shift_prob

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        return _shift(sample, self._probability, self._factor, lambda rng: rng.uniform(-1, 1, 2))


@register(Transform)
class RandomShift:
    """Shifts the crop at random, like a box of an inaccurate detector.

    Reads center, scale and the sample's generator; changes center. Place it before TopDownAffine, and after
    RandomFlipHalfBodyTransform, whose half body sets a new center.

    With probability ``shift_prob`` the center moves by ``shift_factor`` times the crop's size (w, h) times a
    normal number, truncated to -1 to 1, one for x and one for y. mmpose's RandomBBoxTransform draws the same
    numbers, but multiplies by the padded box before it has the input's aspect ratio: a narrow box moves less
    there.
    """

    def __init__(self, shift_factor: float = 0.16, shift_prob: float = 0.3) -> None:
        check_probability("RandomShift.shift_prob", shift_prob)
        self._factor, self._probability = shift_factor, shift_prob

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        return _shift(sample, self._probability, self._factor, _draw_truncated_normal)


def _shift(
    sample: dict[str, Any],
    probability: float,
    factor: float,
    draw: Callable[[np.random.Generator], np.ndarray],
) -> dict[str, Any]:
    """Move center, with this probability, by the numbers drawn for x and y, times factor and crop size."""
    rng: np.random.Generator = sample["generator"]
    if rng.random() < probability:
        sample["center"] = sample["center"] + factor * draw(rng) * sample["scale"]
    return sample


def _draw_truncated_normal(rng: np.random.Generator) -> np.ndarray:
    """Two normal numbers between -1 and 1, from uniform ones between the quantiles of both ends."""
    normal = NormalDist()
    quantiles = rng.uniform(normal.cdf(-1), normal.cdf(1), 2)
    return np.array([normal.inv_cdf(quantile) for quantile in quantiles])
