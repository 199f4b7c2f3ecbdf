"""People whose left and right labels contradict those of most others.

A pair of labels (left and right eye) and another point (the nose) form a triangle, which runs clockwise or
counter-clockwise however the picture is rotated. If nearly all people agree on this, a person whose triangles
run the other way has left and right swapped. A single swapped pair points against the person's other pairs,
and makes arms and legs longer.
"""

from collections.abc import Iterator

import numpy as np

from ppose.annotations import People
from ppose.keypoints import KeypointSet

_AGREEMENT = 0.93  # lowest agreement of a trusted relation; one swap in twenty leaves it above
_LEAST = 20  # people that must show a relation
_CONTRADICTED = 0.8  # share of the trusted relations
# Distances between a pair, as shares of the person's size: from which its direction is meaningful, and from
# which shoulders and hips are not seen from the side.
_SMALLEST, _WIDE = 0.03, 0.15
_SMALLEST_TURN = 0.2  # sine of the angle in a triangle, cosine between two pairs
_SHORTER = 0.25  # by how much swapping back shortens the limbs of a pair, as a share of the size
_LONG = 0.95  # a limb above this quantile of its lengths is long


def find_swapped(people: People, keypoint_set: KeypointSet) -> dict[int, str]:
    """Describe what is swapped, by row, for people whose labels look swapped.

    People who show too little are assumed correct; so is everybody if fewer than 20 people can be compared.
    """
    if not keypoint_set.flip_pairs or not len(people):
        return {}
    geometry = _Geometry(people, keypoint_set)
    # The pair beside an unpaired point (eyes and nose) must agree too: a person who looks back over the
    # shoulder has all other triangles reversed.
    all_swapped = _are_contradicted(geometry.turns()) & _are_contradicted(geometry.turns(beside=True))
    swapped = {int(row): "all" for row in np.flatnonzero(all_swapped)}
    for pair, (left, right) in enumerate(keypoint_set.flip_pairs):
        contradicted = _are_contradicted(geometry.directions(pair), least=2)
        # Wrists and ankles may cross; hips, which are joined, seem to cross only in a side view.
        is_joined = bool({(left, right), (right, left)} & set(keypoint_set.skeleton))
        is_clear = geometry.is_wide(pair) if is_joined else geometry.shortening(pair) > _SHORTER
        contradicted = contradicted & is_clear
        for row in np.flatnonzero(contradicted).tolist():
            swapped.setdefault(row, f"{keypoint_set.names[left]} and {keypoint_set.names[right]}")
    return dict(sorted(swapped.items()))


class _Geometry:
    """Relations between the labels of N people, as shares of each person's size."""

    def __init__(self, people: People, keypoint_set: KeypointSet) -> None:
        self._pairs = np.array(keypoint_set.flip_pairs)
        self._skeleton = keypoint_set.skeleton
        size = np.sqrt(np.maximum(people.bboxes_xywh[:, 2:].prod(axis=1), 1))
        self._points = people.keypoints / size[:, None, None]
        self._known = people.visibility > 0
        left, right = self._pairs.T
        self._vectors = self._points[:, left] - self._points[:, right]
        self._middles = (self._points[:, left] + self._points[:, right]) / 2
        self._has_both = self._known[:, left] & self._known[:, right]
        self._lengths = np.linalg.norm(self._vectors, axis=-1)
        self._has_pair = self._has_both & (self._lengths > _SMALLEST)
        self._singles = np.setdiff1d(np.arange(keypoint_set.num_keypoints), self._pairs)
        linked = [{a, b} for a, b in keypoint_set.skeleton if {a, b} & set(self._singles.tolist())]
        self._beside = [n for n, pair in enumerate(self._pairs) if any(link & set(pair) for link in linked)]
        self._groups = list(self._group_alike(people.visibility))

    def _group_alike(self, visibility: np.ndarray) -> Iterator[np.ndarray]:
        """Masks (N,) of people who face the same way, as far as their visible keypoints tell.

        Judged by the unpaired keypoints and the pairs beside them: a visible nose and both eyes mean a person
        seen from the front.
        """
        in_sight = (visibility == max(visibility.max(initial=0), 1)).astype(int)
        beside = self._pairs[self._beside]
        columns = [in_sight[:, self._singles], *(in_sight[:, pair].sum(axis=1)[:, None] for pair in beside)]
        looks = np.concatenate(columns, axis=1)
        for look in np.unique(looks, axis=0):
            yield (looks == look).all(axis=1)

    def turns(self, *, beside: bool = False) -> Iterator[np.ndarray]:
        """For each pair and other point: the direction (N,) of their triangle, 1 or -1, 0 if unclear.

        For each group of people who face the same way, with 0 for all others. ``beside``: only pairs that are
        joined to an unpaired point, with such points.
        """
        for pair in self._beside if beside else range(len(self._pairs)):
            for others, known in self._single_points() if beside else self._other_points(pair):
                spoke = others - self._middles[:, pair]
                across = self._vectors[:, pair]
                cross = across[:, 0] * spoke[:, 1] - across[:, 1] * spoke[:, 0]
                turn = cross / (self._lengths[:, pair] * np.linalg.norm(spoke, axis=1) + 1e-9)
                sign = np.sign(turn) * (np.abs(turn) > _SMALLEST_TURN) * (known & self._has_pair[:, pair])
                for group in self._groups:
                    yield np.where(group, sign, 0)

    def _single_points(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for keypoint in self._singles:
            yield self._points[:, keypoint], self._known[:, keypoint]

    def _other_points(self, pair: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from self._single_points()
        for other in range(len(self._pairs)):
            if other != pair:
                yield self._middles[:, other], self._has_both[:, other]

    def directions(self, pair: int) -> Iterator[np.ndarray]:
        """For each other pair: whether it points the same way as this one, 1 or -1 (N,), 0 if unclear."""
        for other in range(len(self._pairs)):
            if other != pair:
                product = (self._vectors[:, pair] * self._vectors[:, other]).sum(axis=1)
                cosine = product / (self._lengths[:, pair] * self._lengths[:, other] + 1e-9)
                known = self._has_pair[:, pair] & self._has_pair[:, other]
                yield np.sign(cosine) * (np.abs(cosine) > _SMALLEST_TURN) * known

    def is_wide(self, pair: int) -> np.ndarray:
        """Whether (N,) a pair is too far apart for a side view."""
        return self._lengths[:, pair] > _WIDE

    def shortening(self, pair: int) -> np.ndarray:
        """How much shorter (N,) the limbs at a pair become when its labels are swapped.

        0 if none of them is longer than nearly all people's: arms and legs may cross.
        """
        partner = np.arange(self._points.shape[1])
        partner[self._pairs[pair]] = self._pairs[pair][::-1]
        shorter, is_long = np.zeros(len(self._points)), np.zeros(len(self._points), bool)
        for a, b in self._skeleton:
            if partner[a] == a and partner[b] == b:
                continue
            now = np.linalg.norm(self._points[:, a] - self._points[:, b], axis=1)
            then = np.linalg.norm(self._points[:, partner[a]] - self._points[:, partner[b]], axis=1)
            known = self._known[:, [a, b, partner[a], partner[b]]].all(axis=1)
            shorter += np.where(known, now - then, 0)
            if known.any():
                is_long |= known & (now > np.quantile(now[known], _LONG))
        return np.where(is_long, shorter, 0)


def _are_contradicted(relations: Iterator[np.ndarray], least: int = 1) -> np.ndarray:
    """Whether (N,) people contradict the majority in nearly all of at least ``least`` relations."""
    against, count = np.zeros(1), np.zeros(1)  # for nobody, unless there are relations
    for sign in relations:
        shown = np.abs(sign).sum()
        balance = sign.sum()
        if shown < _LEAST or np.abs(balance) < (2 * _AGREEMENT - 1) * shown:
            continue
        against = against + (sign * np.sign(balance) < 0)
        count = count + (sign != 0)
    return np.asarray((count >= least) & (against >= _CONTRADICTED * np.maximum(count, 1)))
