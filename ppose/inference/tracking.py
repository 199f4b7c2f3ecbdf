"""Who is who from one frame to the next."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ppose.inference.one_euro import OneEuroFilter
from ppose.inference.poses import Pose
from ppose.metrics.oks import oks

Similarity = Literal["oks", "iou"]

_LEAST_SIMILARITY = 0.3  # of a person in two frames
_PATIENCE_SECONDS = 1.0  # that a person may be out of sight


@dataclass
class _Track:
    number: int
    pose: Pose
    time: float
    smooth: OneEuroFilter = field(default_factory=OneEuroFilter)


class Tracker:
    """Gives people numbers that they keep, and smooths their keypoints where ``smooth`` is true.

    Two people in different frames are one by the similarity of their poses (oks, by the sigmas and the mean
    of their boxes' areas) or boxes (iou); the most similar are paired first, down to 0.3. Who is not seen
    for a second gets a new number.
    """

    def __init__(
        self, sigmas: Sequence[float], *, similarity: Similarity = "oks", smooth: bool = False
    ) -> None:
        self._sigmas, self._similarity, self._smooth = sigmas, similarity, smooth
        self._tracks: list[_Track] = []
        self._next = 1

    def update(self, poses: Sequence[Pose], time: float) -> list[tuple[int, Pose]]:
        """The people of the next frame, at a time in seconds, with their numbers; in the order given."""
        self._tracks = [t for t in self._tracks if time - t.time <= _PATIENCE_SECONDS]
        partners = self._pair(poses)
        result = []
        for index, pose in enumerate(poses):
            track = partners.get(index)
            if track is None:
                track = _Track(self._next, pose, time)
                self._tracks.append(track)
                self._next += 1
            track.pose, track.time = pose, time
            if self._smooth:
                size = max(math.sqrt(_area(pose.bbox_xyxy)), 1.0)  # boxes may have no width
                pose = dataclasses.replace(pose, keypoints=track.smooth(pose.keypoints, time, size))
            result.append((track.number, pose))
        return result

    def _pair(self, poses: Sequence[Pose]) -> dict[int, _Track]:
        pairs = [
            (self._similar(track.pose, pose), index, track)
            for track in self._tracks
            for index, pose in enumerate(poses)
        ]
        partners: dict[int, _Track] = {}
        taken: set[int] = set()
        for likeness, index, track in sorted(pairs, key=lambda pair: -pair[0]):
            if likeness >= _LEAST_SIMILARITY and index not in partners and track.number not in taken:
                partners[index] = track
                taken.add(track.number)
        return partners

    def _similar(self, before: Pose, now: Pose) -> float:
        if self._similarity == "iou":
            return box_iou(before.bbox_xyxy, now.bbox_xyxy)
        area = (_area(before.bbox_xyxy) + _area(now.bbox_xyxy)) / 2
        return float(oks(before.keypoints, now.keypoints, area, self._sigmas))


def box_iou(box: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes (left, top, right, bottom).

    >>> box_iou(np.array([0, 0, 2, 2]), np.array([1, 0, 3, 2]))
    0.3333333333333333
    """
    width, height = np.maximum(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0)
    common = width * height
    union = _area(box) + _area(other) - common
    return float(common / union) if union else 0.0


def _area(box: np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
