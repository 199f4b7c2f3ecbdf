"""Trackers for comparison: ppose's former greedy one, and ByteTrack, restated from its paper.

ByteTrack (Zhang et al., ECCV 2022) with its published settings: boxes that score at least 0.5 are matched
with all tracks by the IoU with a Kalman filter's prediction (0.2 or more); those of at least 0.1 with the
remaining tracks of the last frame (0.5 or more). A person found twice in a row, first with 0.6 or more,
becomes a track; one not seen for 30 frames is dropped. The filter is SORT's with DeepSORT's noise: center,
aspect ratio, height, and velocities per frame.
"""

from dataclasses import dataclass

import lap
import numpy as np

from ppose.inference.poses import Pose
from ppose.metrics.iou import areas_of, ious
from ppose.metrics.oks import oks

LEAST_SIMILARITY, PATIENCE = 0.3, 1.0  # of the greedy one, in seconds
HIGH, LOW, NEW = 0.5, 0.1, 0.6
FIRST_COST, SECOND_COST, NEW_COST = 0.8, 0.5, 0.7
FORGOTTEN = 30
POSITION, VELOCITY = 1 / 20, 1 / 160


class Greedy:
    """Matches people with tracks greedily by OKS or IoU, the most similar pair first."""

    def __init__(self, sigmas: np.ndarray, similarity: str) -> None:
        self._sigmas, self._similarity = sigmas, similarity
        self._tracks: list[tuple[int, Pose, float]] = []
        self._next = 1

    def update(self, poses: list[Pose], time: float) -> list[int]:
        """The track numbers of these people."""
        kept = [track for track in self._tracks if time - track[2] <= PATIENCE]
        partners: dict[int, int] = {}
        likeness = self._compare([pose for _, pose, _ in kept], poses)
        for place in np.argsort(-likeness, axis=None, kind="stable"):
            row, column = np.unravel_index(place, likeness.shape)
            if likeness[row, column] < LEAST_SIMILARITY:
                break
            if column not in partners and row not in partners.values():
                partners[int(column)] = int(row)
        numbers = []
        for column, pose in enumerate(poses):
            if column in partners:
                number = kept[partners[column]][0]
                kept[partners[column]] = (number, pose, time)
            else:
                number, self._next = self._next, self._next + 1
                kept.append((number, pose, time))
            numbers.append(number)
        self._tracks = kept
        return numbers

    def _compare(self, before: list[Pose], now: list[Pose]) -> np.ndarray:
        if not before or not now:
            return np.zeros((len(before), len(now)))
        boxes, others = (np.array([pose.bbox_xyxy for pose in poses]) for poses in (before, now))
        if self._similarity == "iou":
            return ious(boxes, others)
        keypoints, of_others = (np.array([pose.keypoints for pose in poses]) for poses in (before, now))
        areas = (areas_of(boxes)[:, None] + areas_of(others)) / 2
        return oks(keypoints[:, None], of_others, areas, self._sigmas)


@dataclass
class Track:
    number: int
    mean: np.ndarray  # (8,)
    covariance: np.ndarray  # (8, 8)
    seen: int
    is_confirmed: bool = False


class ByteTrack:
    """Tracks boxes from frame to frame."""

    def __init__(self) -> None:
        self._tracks: list[Track] = []
        self._frame, self._next = 0, 1

    def update(self, boxes: np.ndarray, scores: np.ndarray) -> list[tuple[int, int]]:
        """(track number, index) of the matched boxes_xyxy (N, 4)."""
        self._frame += 1
        for track in self._tracks:
            self._predict(track)
        high = np.flatnonzero(scores >= HIGH)
        low = np.flatnonzero((scores >= LOW) & (scores < HIGH))
        known = [track for track in self._tracks if track.is_confirmed]
        pairs, known, high = match(known, boxes, high, FIRST_COST, scores)
        recent = [track for track in known if track.seen == self._frame - 1]
        more, _, _ = match(recent, boxes, low, SECOND_COST)
        new = [track for track in self._tracks if not track.is_confirmed]
        last, _, high = match(new, boxes, high, NEW_COST, scores)
        for track, index in [*pairs, *more, *last]:
            self._correct(track, boxes[index])
        self._tracks = [
            track
            for track in self._tracks
            if track.seen == self._frame or (track.is_confirmed and self._frame - track.seen <= FORGOTTEN)
        ]
        result = [(track.number, int(index)) for track, index in [*pairs, *more, *last]]
        for index in high[scores[high] >= NEW]:
            track = begin(self._next, boxes[index], self._frame)
            track.is_confirmed = self._frame == 1
            self._tracks.append(track)
            if track.is_confirmed:
                result.append((track.number, int(index)))
            self._next += 1
        return result

    def _predict(self, track: Track) -> None:
        step = np.eye(8) + np.eye(8, k=4)
        if track.seen != self._frame - 1:
            track.mean[7] = 0  # as published: a lost track's height stays constant
        height = track.mean[3]
        noise = [POSITION * height] * 2 + [1e-2, POSITION * height]
        noise += [VELOCITY * height] * 2 + [1e-5, VELOCITY * height]
        track.mean = step @ track.mean
        track.covariance = step @ track.covariance @ step.T + np.diag(np.square(noise))

    def _correct(self, track: Track, box: np.ndarray) -> None:
        height = track.mean[3]
        noise = np.diag(np.square([POSITION * height, POSITION * height, 1e-1, POSITION * height]))
        gain = track.covariance[:, :4] @ np.linalg.inv(track.covariance[:4, :4] + noise)
        track.mean = track.mean + gain @ (to_state(box) - track.mean[:4])
        track.covariance = track.covariance - gain @ track.covariance[:4]
        track.seen, track.is_confirmed = self._frame, True


def begin(number: int, box: np.ndarray, frame: int) -> Track:
    state = to_state(box)
    height = state[3]
    noise = [2 * POSITION * height] * 2 + [1e-2, 2 * POSITION * height]
    noise += [10 * VELOCITY * height] * 2 + [1e-5, 10 * VELOCITY * height]
    return Track(number, np.concatenate([state, np.zeros(4)]), np.diag(np.square(noise)), frame)


def match(
    tracks: list[Track],
    boxes: np.ndarray,
    indexes: np.ndarray,
    limit: float,
    scores: np.ndarray | None = None,
) -> tuple[list[tuple[Track, int]], list[Track], np.ndarray]:
    """Pairs of tracks and these boxes, and the unmatched ones of both; ``scores`` weight the IoU."""
    if not tracks or not len(indexes):
        return [], tracks, indexes
    likeness = ious(np.array([to_box(track.mean) for track in tracks]), boxes[indexes])
    if scores is not None:
        likeness = likeness * scores[indexes]
    _, partners, _ = lap.lapjv(1 - likeness, extend_cost=True, cost_limit=limit)
    pairs = [(track, indexes[column]) for track, column in zip(tracks, partners, strict=True) if column >= 0]
    left = [track for track, column in zip(tracks, partners, strict=True) if column < 0]
    return pairs, left, np.setdiff1d(indexes, [index for _, index in pairs])


def to_state(box: np.ndarray) -> np.ndarray:
    """Center, width by height, height."""
    size = box[2:] - box[:2]
    return np.array([*(box[:2] + box[2:]) / 2, size[0] / size[1], size[1]])


def to_box(mean: np.ndarray) -> np.ndarray:
    half = np.array([mean[2] * mean[3], mean[3]]) / 2
    return np.concatenate([mean[:2] - half, mean[:2] + half])
