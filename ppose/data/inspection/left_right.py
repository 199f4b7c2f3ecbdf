"""People whose left and right labels contradict those of most others.

A pair of labels (left and right eye) and another point (the nose) are a triangle, which runs clockwise or
counter-clockwise however the picture is turned. Where nearly all people agree on that, someone whose
triangles run the other way has left and right swapped. One swapped pair alone points against the person's
other pairs, and arms and legs are longer than they would be without.
"""

from collections.abc import Iterator

import numpy as np

from ppose.annotations import People
from ppose.keypoints import KeypointSet

_AGREEMENT = 0.93  # of a relation that is believed; one swap in twenty leaves it above
_LEAST = 20  # people that have to show a relation
_CONTRADICTED = 0.8  # share of the believed relations
# Distances between a pair, in parts of the person's size: from which its direction means something, and of
# shoulders and hips that are not seen from the side.
_SMALLEST, _WIDE = 0.03, 0.15
_SMALLEST_TURN = 0.2  # sine of the angle in a triangle, cosine between two pairs
_SHORTER = 0.25  # by how much a swap back shortens the limbs of a pair, in parts of the size
_LONG = 0.95  # a limb of more than this quantile of its lengths is a long one


def find_swapped(people: People, keypoint_set: KeypointSet) -> dict[int, str]:
    """What is swapped, in words, of each row of people whose labels look swapped.

    Who shows too little to tell is taken to be right, and so is everybody where fewer than 20 people can be
    compared.
    """
    if not keypoint_set.flip_pairs or not len(people):
        return {}
    geometry = _Geometry(people, keypoint_set)
    # The pair beside a point without a partner, eyes and nose, has to say so too: who looks back over the
    # shoulder has all other triangles the other way round.
    all_swapped = _are_contradicted(geometry.turns()) & _are_contradicted(geometry.turns(beside=True))
    swapped = {int(row): "all" for row in np.flatnonzero(all_swapped)}
    for pair, (left, right) in enumerate(keypoint_set.flip_pairs):
        contradicted = _are_contradicted(geometry.directions(pair), least=2)
        # Wrists and ankles may cross; hips, which are joined, seem to where they are seen from the side only.
        is_joined = bool({(left, right), (right, left)} & set(keypoint_set.skeleton))
        is_clear = geometry.is_wide(pair) if is_joined else geometry.shortening(pair) > _SHORTER
        contradicted = contradicted & is_clear
        for row in np.flatnonzero(contradicted).tolist():
            swapped.setdefault(row, f"{keypoint_set.names[left]} and {keypoint_set.names[right]}")
    return dict(sorted(swapped.items()))


class _Geometry:
    """Relations between the labels of N people, in parts of each one's size."""

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
        """Masks (N,) of people who look the same way, as far as what is in sight of them tells.

        Told by the keypoints without a partner and the pairs beside them: a nose and both eyes in sight are
        someone from the front.
        """
        in_sight = (visibility == max(visibility.max(initial=0), 1)).astype(int)
        beside = self._pairs[self._beside]
        columns = [in_sight[:, self._singles], *(in_sight[:, pair].sum(axis=1)[:, None] for pair in beside)]
        looks = np.concatenate(columns, axis=1)
        for look in np.unique(looks, axis=0):
            yield (looks == look).all(axis=1)

    def turns(self, *, beside: bool = False) -> Iterator[np.ndarray]:
        """For each pair and other point: the way (N,) that their triangle runs, 1 or -1, 0 where unclear.

        Of each group of people who look the same way, with 0 for all others. ``beside``: of pairs that are
        joined to a point without a partner, with such points.
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
        """For each other pair: whether it points the same way as this one, 1 or -1 (N,), 0 where unclear."""
        for other in range(len(self._pairs)):
            if other != pair:
                product = (self._vectors[:, pair] * self._vectors[:, other]).sum(axis=1)
                cosine = product / (self._lengths[:, pair] * self._lengths[:, other] + 1e-9)
                known = self._has_pair[:, pair] & self._has_pair[:, other]
                yield np.sign(cosine) * (np.abs(cosine) > _SMALLEST_TURN) * known

    def is_wide(self, pair: int) -> np.ndarray:
        """Whether (N,) a pair is so far apart that it is not seen from the side."""
        return self._lengths[:, pair] > _WIDE

    def shortening(self, pair: int) -> np.ndarray:
        """How much shorter (N,) the limbs at a pair become when its labels change places.

        0 where none of them is longer than nearly all people's: arms and legs may cross.
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
    """Whether (N,) people contradict what most do in nearly all of at least ``least`` relations."""
    against, count = np.zeros(1), np.zeros(1)  # of nobody, unless a relation says more
    for sign in relations:
        shown = np.abs(sign).sum()
        balance = sign.sum()
        if shown < _LEAST or np.abs(balance) < (2 * _AGREEMENT - 1) * shown:
            continue
        against = against + (sign * np.sign(balance) < 0)
        count = count + (sign != 0)
    return np.asarray((count >= least) & (against >= _CONTRADICTED * np.maximum(count, 1)))
