"""Keypoint sets, and how a config describes its own."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppose.errors import ConfigError
from ppose.workspace import register
from ppose.workspace.registry import suggest

# Between the eyes (0.025) and the shoulders (0.079) of COCO, for keypoints without measured sigmas.
DEFAULT_SIGMA = 0.05


@dataclass(frozen=True)
class KeypointSet:
    """The K keypoints of a dataset; their order is the order of every keypoint array and heatmap.

    ``flip_pairs`` are index pairs (left, right) that swap in a mirrored image, ``skeleton`` the index pairs
    to draw as limbs, ``upper_body`` the indexes above the hips. ``sigmas`` are the K constants of OKS: the
    annotators' spread, in units of the person's size (COCO keypoint evaluation; k_i = 2 sigma_i).
    ``can_flip`` is false for objects that differ from their mirror image, as most spacecraft: training and
    the flip test then refuse to flip. Raises ConfigError if these are inconsistent.
    """

    name: str
    names: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    skeleton: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]
    upper_body: tuple[int, ...]
    can_flip: bool = True

    def __post_init__(self) -> None:
        self._check_names()
        self._check_indexes("flip_pairs", [index for pair in self.flip_pairs for index in pair])
        self._check_indexes("skeleton", [index for limb in self.skeleton for index in limb])
        self._check_indexes("upper_body", self.upper_body)
        paired = [index for pair in self.flip_pairs for index in pair]
        if (index := _first_twice(paired)) is not None:
            raise self._error(f"flip_pairs has '{self.names[index]}' ({index}) twice, expected at most once")
        if len(self.sigmas) != self.num_keypoints:
            raise self._error(f"{len(self.sigmas)} sigmas for {self.num_keypoints} keypoints")
        if self.flip_pairs and not self.can_flip:
            raise self._error("it has flip_pairs, but can_flip is false")
        for index, sigma in enumerate(self.sigmas):
            if not (math.isfinite(sigma) and sigma > 0):
                raise self._error(f"sigmas[{index}] is {sigma}, expected a number above 0")

    @property
    def num_keypoints(self) -> int:
        """The number of keypoints, K."""
        return len(self.names)

    @property
    def flip_indices(self) -> np.ndarray:
        """Permutation (K,): keypoint i of a mirrored person is keypoint ``flip_indices[i]`` of the person."""
        indices = np.arange(self.num_keypoints)
        for a, b in self.flip_pairs:
            indices[[a, b]] = b, a
        return indices

    def check_flip(self, key: str, off: str) -> None:
        """Raise ConfigError unless the set can flip; the config's ``key`` flips, but not with ``off``."""
        if not self.can_flip:
            raise self._error(f"can_flip is false, but {key} flips images; set it to {off}")

    def has_flip_pairs(self, pairs: Sequence[Sequence[int]]) -> bool:
        """Whether these are the set's own flip pairs, in any order."""
        return {frozenset(pair) for pair in pairs} == {frozenset(pair) for pair in self.flip_pairs}

    def _check_names(self) -> None:
        if not self.names:
            raise self._error("names is empty, expected at least one keypoint")
        if (name := _first_twice(self.names)) is not None:
            raise self._error(f"names has '{name}' twice")

    def _check_indexes(self, field: str, indexes: Sequence[int]) -> None:
        for index in indexes:
            if not 0 <= index < self.num_keypoints:
                raise self._error(f"{field} has {index}, expected 0 to {self.num_keypoints - 1}")

    def _error(self, problem: str) -> ConfigError:
        return ConfigError(f"keypoint set '{self.name}': {problem}")


def _first_twice(values: Sequence[Any]) -> Any:
    """The first repeated value; None if all differ."""
    counts = Counter(values)
    return next((value for value in values if counts[value] > 1), None)


@register(KeypointSet, names=("KeypointSet",))
def make_keypoint_set(
    name: str,
    names: Sequence[str],
    flip_pairs: Sequence[Sequence[int | str]],
    skeleton: Sequence[Sequence[int | str]] = (),
    sigmas: Sequence[float] | None = None,
    upper_body: Sequence[int | str] = (),
    can_flip: bool = True,
) -> KeypointSet:
    """A config's own keypoint set: keypoints in pairs, limbs and upper_body by name or by index from 0.

    ``flip_pairs`` may be empty if all keypoints keep their names in a mirrored image; ``can_flip`` is false
    for objects that differ from their mirror image. Without ``sigmas`` every keypoint has 0.05: OKS then
    compares models on this data, but is not on COCO's scale. Raises ConfigError.
    """
    if isinstance(names, str):
        raise ConfigError(f"keypoint set '{name}': names is '{names}', expected a list of names")
    names = tuple(names)
    places = {keypoint: index for index, keypoint in reversed([*enumerate(names)])}
    return KeypointSet(
        name=name,
        names=names,
        flip_pairs=_read_pairs("flip_pairs", flip_pairs, name, places),
        skeleton=_read_pairs("skeleton", skeleton, name, places),
        sigmas=(DEFAULT_SIGMA,) * len(names) if sigmas is None else tuple(float(s) for s in sigmas),
        upper_body=tuple(_read_index("upper_body", keypoint, name, places) for keypoint in upper_body),
        can_flip=can_flip,
    )


def _read_pairs(
    field: str, pairs: Sequence[Sequence[int | str]], set_name: str, places: Mapping[str, int]
) -> tuple[tuple[int, int], ...]:
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2:
            raise ConfigError(
                f"keypoint set '{set_name}': {field} has {pair!r}, expected two keypoints: [a, b]"
            )
    return tuple(
        (_read_index(field, a, set_name, places), _read_index(field, b, set_name, places)) for a, b in pairs
    )


def _read_index(field: str, keypoint: int | str, set_name: str, places: Mapping[str, int]) -> int:
    if isinstance(keypoint, str) and keypoint in places:
        return places[keypoint]
    if isinstance(keypoint, (str, bool)):
        raise ConfigError(
            f"keypoint set '{set_name}': {field} has {keypoint!r}, expected one of its names or indexes"
            f"{suggest(str(keypoint), places)}"
        )
    return int(keypoint)
