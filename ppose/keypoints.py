"""Keypoint sets: what the keypoints of a dataset are called, how they mirror, connect and count in OKS."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ppose.errors import ConfigError
from ppose.workspace import register
from ppose.workspace.registry import suggest

# Between the eyes (0.025) and the shoulders (0.079) of COCO, for keypoints nobody has measured.
DEFAULT_SIGMA = 0.05


@dataclass(frozen=True)
class KeypointSet:
    """The K keypoints of a dataset; their order is the order of every keypoint array and heatmap.

    ``flip_pairs`` are index pairs (left, right) that change places in a mirrored image, ``skeleton`` the
    index pairs to draw as limbs, ``upper_body`` the indexes above the hips. ``sigmas`` are the K constants of
    OKS: the annotators' spread, in units of the person's size (COCO keypoint evaluation; k_i = 2 sigma_i).
    Raises ConfigError where these do not fit together.
    """

    name: str
    names: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    skeleton: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]
    upper_body: tuple[int, ...]

    def __post_init__(self) -> None:
        self._check_names()
        self._check_indexes("flip_pairs", [index for pair in self.flip_pairs for index in pair])
        self._check_indexes("skeleton", [index for limb in self.skeleton for index in limb])
        self._check_indexes("upper_body", self.upper_body)
        paired = [index for pair in self.flip_pairs for index in pair]
        for index in paired:
            if paired.count(index) > 1:
                raise self._error(
                    f"flip_pairs has '{self.names[index]}' ({index}) twice, expected once at most"
                )
        if len(self.sigmas) != self.num_keypoints:
            raise self._error(f"{len(self.sigmas)} sigmas for {self.num_keypoints} keypoints")
        for index, sigma in enumerate(self.sigmas):
            if not (math.isfinite(sigma) and sigma > 0):
                raise self._error(f"sigmas[{index}] is {sigma}, expected a number above 0")

    @property
    def num_keypoints(self) -> int:
        """How many keypoints there are, K."""
        return len(self.names)

    @property
    def flip_indices(self) -> np.ndarray:
        """Permutation (K,): keypoint i of a mirrored person is keypoint ``flip_indices[i]`` of the person."""
        indices = np.arange(self.num_keypoints)
        for a, b in self.flip_pairs:
            indices[[a, b]] = b, a
        return indices

    def has_flip_pairs(self, pairs: Sequence[Sequence[int]]) -> bool:
        """Whether these are the set's own flip pairs, in any order."""
        return {frozenset(pair) for pair in pairs} == {frozenset(pair) for pair in self.flip_pairs}

    def _check_names(self) -> None:
        if not self.names:
            raise self._error("names is empty, expected at least one keypoint")
        for name in self.names:
            if self.names.count(name) > 1:
                raise self._error(f"names has '{name}' twice")

    def _check_indexes(self, field: str, indexes: Sequence[int]) -> None:
        for index in indexes:
            if not 0 <= index < self.num_keypoints:
                raise self._error(f"{field} has {index}, expected 0 to {self.num_keypoints - 1}")

    def _error(self, problem: str) -> ConfigError:
        return ConfigError(f"keypoint set '{self.name}': {problem}")


@register(KeypointSet, names=("KeypointSet",))
def make_keypoint_set(
    name: str,
    names: Sequence[str],
    flip_pairs: Sequence[Sequence[int | str]],
    skeleton: Sequence[Sequence[int | str]] = (),
    sigmas: Sequence[float] | None = None,
    upper_body: Sequence[int | str] = (),
) -> KeypointSet:
    """A config's own keypoint set: keypoints in pairs, limbs and upper_body by name or by index from 0.

    ``flip_pairs`` may be empty where nothing mirrors. Without ``sigmas`` every keypoint has 0.05: OKS then
    compares models on this data, but is not on COCO's scale. Raises ConfigError.
    """
    if isinstance(names, str):
        raise ConfigError(f"keypoint set '{name}': names is the text '{names}', expected a list of names")
    names = tuple(names)
    return KeypointSet(
        name=name,
        names=names,
        flip_pairs=_read_pairs("flip_pairs", flip_pairs, name, names),
        skeleton=_read_pairs("skeleton", skeleton, name, names),
        sigmas=(DEFAULT_SIGMA,) * len(names) if sigmas is None else tuple(float(s) for s in sigmas),
        upper_body=tuple(_read_index("upper_body", keypoint, name, names) for keypoint in upper_body),
    )


def _read_pairs(
    field: str, pairs: Sequence[Sequence[int | str]], set_name: str, names: tuple[str, ...]
) -> tuple[tuple[int, int], ...]:
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2:
            raise ConfigError(
                f"keypoint set '{set_name}': {field} has {pair!r}, expected two keypoints: [a, b]"
            )
    return tuple(
        (_read_index(field, a, set_name, names), _read_index(field, b, set_name, names)) for a, b in pairs
    )


def _read_index(field: str, keypoint: int | str, set_name: str, names: tuple[str, ...]) -> int:
    if isinstance(keypoint, str) and keypoint in names:
        return names.index(keypoint)
    if isinstance(keypoint, (str, bool)):
        raise ConfigError(
            f"keypoint set '{set_name}': {field} has {keypoint!r}, expected one of its names or indexes"
            f"{suggest(str(keypoint), names)}"
        )
    return int(keypoint)


def get_keypoint_set(name: str) -> KeypointSet:
    """The built-in set of that name; raises ConfigError with the nearest known name."""
    if name not in BUILTIN_SETS:
        known = ", ".join(BUILTIN_SETS)
        raise ConfigError(
            f"unknown keypoint set '{name}', expected one of {known}{suggest(name, BUILTIN_SETS)}"
        )
    return BUILTIN_SETS[name]


_COCO_LIMBS = (
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
)
_COCO_LIMB_PAIRS = ((5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16))
_COCO_ARMS = ((5, 7), (7, 9), (6, 8), (8, 10))
_COCO_LEGS = ((11, 13), (13, 15), (12, 14), (14, 16))
_COCO_TRUNK = ((5, 6), (5, 11), (6, 12), (11, 12))
_COCO_FACE = ((0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6))
_COCO_FACE_SIGMAS = (0.026, 0.025, 0.025, 0.035, 0.035)
_COCO_LIMB_SIGMAS = (0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089)

# Sigmas of cocodataset.org's keypoint evaluation; skeleton as in its annotation files.
_COCO17 = KeypointSet(
    name="coco17",
    names=("nose", "left_eye", "right_eye", "left_ear", "right_ear", *_COCO_LIMBS),
    flip_pairs=((1, 2), (3, 4), *_COCO_LIMB_PAIRS),
    skeleton=(*_COCO_FACE, *_COCO_TRUNK, *_COCO_ARMS, *_COCO_LEGS),
    sigmas=(*_COCO_FACE_SIGMAS, *_COCO_LIMB_SIGMAS),
    upper_body=tuple(range(11)),
)

# MPII is measured with PCKh and has no sigmas of its own: these are mmpose's, which it took over from COCO.
# Flip pairs and upper body as in the official HRNet code.
_MPII16 = KeypointSet(
    name="mpii16",
    names=(
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
        *("pelvis", "thorax", "upper_neck", "head_top"),
        *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    ),
    flip_pairs=((5, 0), (4, 1), (3, 2), (15, 10), (14, 11), (13, 12)),
    skeleton=(
        *((0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9)),
        *((8, 12), (12, 11), (11, 10), (8, 13), (13, 14), (14, 15)),
    ),
    sigmas=(
        *(0.089, 0.083, 0.107, 0.107, 0.083, 0.089, 0.026, 0.026, 0.026, 0.026),
        *(0.062, 0.072, 0.179, 0.179, 0.072, 0.062),
    ),
    upper_body=tuple(range(7, 16)),
)

# Sigmas of CrowdPose's own evaluation code (Li et al., CVPR 2019).
_CROWDPOSE14 = KeypointSet(
    name="crowdpose14",
    names=(*_COCO_LIMBS, "top_head", "neck"),
    flip_pairs=tuple((a - 5, b - 5) for a, b in _COCO_LIMB_PAIRS),
    skeleton=(
        *((a - 5, b - 5) for a, b in (*_COCO_TRUNK, *_COCO_ARMS, *_COCO_LEGS)),
        *((12, 13), (13, 0), (13, 1)),
    ),
    sigmas=(*_COCO_LIMB_SIGMAS, 0.079, 0.079),
    upper_body=(0, 1, 2, 3, 4, 5, 12, 13),
)

# PoseTrack18 writes 17 keypoints in COCO's layout but annotates 15: the ears are in its files, so they keep
# their places, always with visibility 0. They count neither in a loss nor in OKS against annotations, and a
# network's ears mean nothing, so no limb is drawn to them. Sigmas are mmpose's, COCO's by position.
_POSETRACK18 = KeypointSet(
    name="posetrack18",
    names=("nose", "head_bottom", "head_top", "left_ear", "right_ear", *_COCO_LIMBS),
    flip_pairs=((3, 4), *_COCO_LIMB_PAIRS),
    skeleton=((0, 1), (0, 2), (1, 5), (1, 6), *_COCO_TRUNK, *_COCO_ARMS, *_COCO_LEGS),
    sigmas=_COCO17.sigmas,
    upper_body=tuple(range(11)),
)

# Halpe's 26 body keypoints: COCO's, then head, neck, hip and feet; sigmas of its evaluation code.
_HALPE26 = KeypointSet(
    name="halpe26",
    names=(
        *_COCO17.names,
        *("head", "neck", "hip", "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe"),
        *("left_heel", "right_heel"),
    ),
    flip_pairs=(*_COCO17.flip_pairs, (20, 21), (22, 23), (24, 25)),
    skeleton=(
        *(*_COCO_FACE, *_COCO_ARMS, *_COCO_LEGS),
        *((17, 18), (18, 19), (18, 5), (18, 6), (19, 11), (19, 12)),
        *((15, 20), (15, 22), (15, 24), (16, 21), (16, 23), (16, 25)),
    ),
    sigmas=(*_COCO17.sigmas, 0.026, 0.026, 0.066, *((0.079,) * 6)),
    upper_body=(*range(11), 17, 18),
)

BUILTIN_SETS: Mapping[str, KeypointSet] = MappingProxyType(
    {known.name: known for known in (_COCO17, _MPII16, _CROWDPOSE14, _POSETRACK18, _HALPE26)}
)
